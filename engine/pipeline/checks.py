"""
What can be said of an expression before there is a message.

Rules of this file: every objection is collected, not only the first; kinds are worked out from the
leaves up; nothing is run.
"""

from __future__ import annotations

import re

from jinja2 import nodes

from engine.pipeline.call_checks import CallChecks
from engine.pipeline.comparison_checks import ComparisonChecks
from engine.pipeline.filter_specs import Kind
from engine.pipeline.known import nearest

_ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod)
_LOOP_WORDS = frozenset({"index", "index0", "first", "last", "length", "revindex"})


class Checker(CallChecks, ComparisonChecks):
    """Works out the kind of each part of one expression or template, and collects objections."""

    # -- conditions ------------------------------------------------------------------------

    def check_condition(self, node: nodes.Node) -> None:
        """Check an expression that is asked for yes or no."""
        self._refuse_constants(node)
        self.kind_of(node)

    def _refuse_constants(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.And | nodes.Or):
            self._refuse_constants(node.left)
            self._refuse_constants(node.right)
        elif isinstance(node, nodes.Not):
            self._refuse_constants(node.node)
        elif isinstance(node, nodes.Const) and not isinstance(node.value, bool):
            self.object(
                "LNG-013",
                f"{node.value!r} alone is always true",
                "compare it: PV1-2 == 'I' or PV1-2 == 'E', or PV1-2 in ['I', 'E']",
                offset=max(self._text.find(str(node.value)), 0),
            )

    # -- kinds -----------------------------------------------------------------------------

    def kind_of(self, node: nodes.Node) -> Kind:
        """Return what kind of value *node* gives; objections are noted on the way."""
        method = getattr(self, f"_kind_of_{type(node).__name__.lower()}", None)
        if method is not None:
            kind: Kind = method(node)
            return kind
        if isinstance(node, _ARITHMETIC):
            return self._kind_of_arithmetic(node)
        word = type(node).__name__.lower()
        return self.object("LNG-001", f"this cannot be used in an expression ({word})")

    def _kind_of_const(self, node: nodes.Const) -> Kind:
        if isinstance(node.value, str):
            return Kind.TEXT
        if isinstance(node.value, bool):
            return Kind.YES_NO
        if node.value is None:
            return self.object("LNG-003", "none means nothing here", "write '' or is null")
        return Kind.NUMBER

    def _kind_of_list(self, node: nodes.List) -> Kind:
        for item in node.items:
            self.kind_of(item)
        return Kind.LIST

    def _kind_of_tuple(self, node: nodes.Tuple) -> Kind:
        path = self.path_of(node.items[0]) if node.items else None
        after = node.items[1] if len(node.items) == 2 else None
        while isinstance(after, nodes.Filter):
            after = after.node
        fix = ""
        if path is not None and isinstance(after, nodes.Const) and isinstance(after.value, int):
            fix = f"a component is written with a dot: {path}.{after.value}"
        what = "a list is written in square brackets: ['A', 'B']"
        return self.object("LNG-001", what, fix, offset=self.place_of(node))

    def _kind_of_name(self, node: nodes.Name) -> Kind:
        path = self.path_of(node)
        if path is not None:
            return Kind.LIST if path.has_all else Kind.TEXT
        known = self.local.get(node.name) or self._known.kind_of(node.name)
        if known is not None:
            return known
        return self._unknown_name(node.name)

    def _unknown_name(self, name: str) -> Kind:
        offset = self.name_place(name)
        if name.lower() in ("null", "nil"):
            fix = "write '' for empty, or VALUE is null for the HL7 null"
            return self.object("LNG-003", f"{name} means nothing here", fix, offset=offset)
        looks_like = name[:3].upper()
        if name[3:].isdigit() and looks_like.isalnum():
            fix = f"a path is written {looks_like}-{name[3:]}"
        elif name.upper() != name and len(name) == 3:
            fix = (
                f"a path is written in capitals: {self._as_path(name)}; text needs quotes: '{name}'"
            )
        else:
            fix = nearest(name, self._known.names()) or f"text needs quotes: '{name}'"
        return self.object("LNG-003", f"there is no variable {name}", fix, offset=offset)

    def _as_path(self, name: str) -> str:
        """Return what follows *name* in the text as the path it was probably meant to be."""
        rest = re.match(r"(?:\[[^\]]*\])?-[\d.]+", self._text[self.name_place(name) + len(name) :])
        return name.upper() + (rest[0] if rest else "-1")

    def _kind_of_getattr(self, node: nodes.Getattr) -> Kind:
        if isinstance(node.node, nodes.Name):
            if node.node.name == "vars":
                return self._kind_of_site_var(node.attr)
            if node.node.name == "loop" and "loop" in self.local:
                return self._kind_of_loop_word(node.attr)
            if self.path_of(node.node) is not None:
                return self.object(
                    "LNG-002",
                    f"{self.path_of(node.node)}.{node.attr} is not a path",
                    "write a path as PID-5.1",
                    offset=self.place_of(node),
                )
            self._kind_of_name(node.node)
        return self.object("LNG-001", f"nothing has a .{node.attr}", "write VALUE | filter")

    def _kind_of_loop_word(self, word: str) -> Kind:
        if word not in _LOOP_WORDS:
            return self.object(
                "LNG-003", f"loop has no {word}", f"known are {', '.join(sorted(_LOOP_WORDS))}"
            )
        return Kind.YES_NO if word in ("first", "last") else Kind.NUMBER

    def _kind_of_site_var(self, name: str) -> Kind:
        if name not in self._known.site_vars:
            fix = nearest(name, self._known.site_vars) or "define it under vars"
            return self.object(
                "LNG-003", f"there is no vars.{name}", fix, offset=self.name_place(name)
            )
        return Kind.TEXT

    def _kind_of_getitem(self, node: nodes.Getitem) -> Kind:
        self.kind_of(node.node)
        return self.object(
            "LNG-001", "[ ] takes nothing out of a value", "write | first, | last or | mid(…)"
        )

    def _kind_of_condexpr(self, node: nodes.CondExpr) -> Kind:
        self.check_condition(node.test)
        one = self.kind_of(node.expr1)
        two = self.kind_of(node.expr2) if node.expr2 is not None else Kind.TEXT
        return one if one == two else Kind.ANY

    def _kind_of_and(self, node: nodes.And) -> Kind:
        one, two = self.kind_of(node.left), self.kind_of(node.right)
        return one if one == two else Kind.ANY

    _kind_of_or = _kind_of_and

    def _kind_of_not(self, node: nodes.Not) -> Kind:
        self.kind_of(node.node)
        return Kind.YES_NO

    def _kind_of_concat(self, node: nodes.Concat) -> Kind:
        for part in node.nodes:
            if self.kind_of(part) is Kind.LIST:
                self.refuse_list(part)
        return Kind.TEXT
