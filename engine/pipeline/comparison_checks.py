"""What may be compared and calculated with what."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import nodes

from engine.pipeline.filter_specs import Kind
from engine.pipeline.objections import Objections, described

_ORDER = frozenset({"lt", "lteq", "gt", "gteq"})


def _is_number(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value) is not None


class ComparisonChecks(Objections):
    """Checks comparisons and arithmetic."""

    def _kind_of_arithmetic(self, node: Any) -> Kind:
        for side in (node.left, node.right):
            kind = self.kind_of(side)
            if kind not in (Kind.NUMBER, Kind.ANY):
                self.object(
                    "LNG-011",
                    f"{described(kind)} is not calculated with {node.operator}",
                    self._arithmetic_fix(node, side),
                    offset=self.place_of(side),
                )
        return Kind.NUMBER

    def _arithmetic_fix(self, node: Any, side: nodes.Node) -> str:
        path = self.path_of(side)
        if node.operator == "-" and path is not None and path.field is None:
            return f"a path is written without blanks: {path}-5"
        if node.operator == "-" and path is not None and isinstance(node.right, nodes.Const):
            return f"a component is written with a dot: {path}.{node.right.value}"
        if node.operator == "+":
            return "join texts with ~; for a sum write VALUE | number"
        return "write VALUE | number"

    def _kind_of_neg(self, node: nodes.Neg) -> Kind:
        if self.kind_of(node.node) not in (Kind.NUMBER, Kind.ANY):
            self.object("LNG-011", "only a number has a sign", offset=self.place_of(node))
        return Kind.NUMBER

    _kind_of_pos = _kind_of_neg

    def _kind_of_compare(self, node: nodes.Compare) -> Kind:
        left_node: nodes.Node = node.expr
        left = self.kind_of(left_node)
        for operand in node.ops:
            right = self.kind_of(operand.expr)
            if operand.op in ("in", "notin"):
                self._check_membership(left, left_node, operand.expr, right)
            else:
                self._check_pair(left, left_node, right, operand)
            left_node, left = operand.expr, right
        return Kind.YES_NO

    def _check_pair(
        self, left: Kind, left_node: nodes.Node, right: Kind, operand: nodes.Operand
    ) -> None:
        place = self.place_of(left_node) or self.place_of(operand.expr)
        for side in (left_node, operand.expr):
            path = self.path_of(side)
            if path is not None and path.field is None:
                self.object("LNG-011",
                    f"{path} alone means the segment", f"quote it if it is text: '{path}'",
                    offset=self.place_of(side),
                )  # fmt: skip
                return
        for quoted, kind in ((left_node, right), (operand.expr, left)):
            if kind is Kind.NUMBER and isinstance(quoted, nodes.Const) and _is_number(quoted.value):
                self.object(
                    "LNG-011",
                    f"a number is compared with the text '{quoted.value}'",
                    f"take the quotes off: {quoted.value}",
                    offset=place,
                )
                return
        if operand.op in _ORDER:
            for kind in (left, right):
                if kind not in (Kind.NUMBER, Kind.ANY):
                    self.object(
                        "LNG-011",
                        f"{described(kind)} is not ordered; only numbers are",
                        "write VALUE | number, or VALUE | date_diff(OTHER)",
                        offset=place,
                    )
                    return
            return
        if {left, right} == {Kind.TEXT, Kind.NUMBER}:
            self.object(
                "LNG-011",
                "text is compared with a number",
                "quote the number, or write VALUE | number",
                offset=place,
            )
        elif Kind.LIST in (left, right) and left != right and Kind.ANY not in (left, right):
            self.object(
                "LNG-011",
                "a list is compared with one value",
                "write 'X' in OBX[*]-3.1, or leave out [*]",
                offset=place,
            )

    def _check_membership(
        self, left: Kind, left_node: nodes.Node, right_node: nodes.Node, right: Kind
    ) -> None:
        place = self.place_of(left_node)
        if right not in (Kind.LIST, Kind.ANY):
            self.object(
                "LNG-011",
                "in needs a list on its right",
                "write in ['A', 'B']; for a part of a text write VALUE | matches('…')",
                offset=place,
            )
        if left is Kind.LIST:
            self.object("LNG-011", "in needs one value on its left", "leave out [*]", offset=place)
        if isinstance(right_node, nodes.List):
            kinds = {self.kind_of(item) for item in right_node.items}
            if left in (Kind.TEXT, Kind.NUMBER) and kinds & {Kind.TEXT, Kind.NUMBER} - {left}:
                self.object(
                    "LNG-011",
                    "text is compared with a number",
                    "quote the numbers in the list: ['1', '2']",
                    offset=place,
                )
