"""
What can be said of an expression before there is a message.

Rules of this file: every objection is collected, not only the first; kinds are worked out from the
leaves up; nothing is run.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jinja2 import nodes

from engine.hl7.path import Path
from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import FilterSpec, Kind
from engine.pipeline.filters import FILTERS, GONE, TESTS
from engine.pipeline.paths_in_jinja import PATH_PREFIX, Rewritten
from engine.pipeline.regexes import check_replacement, compile_regex
from engine.pipeline.tables import Table
from engine.pipeline.time_filters import check_form

#: the values of every run
BUILT_IN = {
    "message_id": Kind.TEXT,
    "control_id": Kind.TEXT,
    "received_at": Kind.MOMENT,
    "inbound": Kind.TEXT,
    "route": Kind.TEXT,
    "site": Kind.TEXT,
    "part": Kind.NUMBER,
}
_ORDER = {"lt", "lteq", "gt", "gteq"}
_ARITHMETIC = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod)
_LOOP_WORDS = frozenset({"index", "index0", "first", "last", "length", "revindex"})


@dataclass(frozen=True, slots=True)
class Known:
    """What an expression may refer to at its place in the configuration."""

    #: variables of let, with and the like
    variables: Mapping[str, Kind] = field(default_factory=dict)
    #: {{ vars.NAME }}
    site_vars: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    #: functions beyond the usual ones (pseudonym in de-identification profiles)
    functions: frozenset[str] = frozenset()
    #: whether delivery_id is known (names of files)
    has_delivery: bool = False

    def kind_of(self, name: str) -> Kind | None:
        """Return the kind of variable *name*, None where there is none."""
        if name == "delivery_id" and self.has_delivery:
            return Kind.TEXT
        return self.variables.get(name) or BUILT_IN.get(name)

    def names(self) -> list[str]:
        """Return every variable that can be named here."""
        extra = ["delivery_id"] if self.has_delivery else []
        return [*self.variables, *BUILT_IN, "vars", *extra]


class Checker:
    """Works out the kind of each part of one expression or template, and collects objections."""

    def __init__(self, known: Known, rewritten: Rewritten, text: str) -> None:
        self._known = known
        self._rewritten = rewritten
        self._text = text
        #: names that for and set introduce
        self.local: dict[str, Kind] = {}
        self.objections: list[LanguageError] = []
        self.tables_used: set[str] = set()

    def object(self, what: str, fix: str = "", *, code: str = "LNG-003", offset: int = 0) -> Kind:
        """Note an objection; the kind is then unknown."""
        self.objections.append(LanguageError(what, fix, code=code, offset=offset))
        return Kind.ANY

    # -- places ----------------------------------------------------------------------------

    def path_of(self, node: nodes.Node) -> Path | None:
        """Return the path *node* stands for, None where it is something else."""
        if isinstance(node, nodes.Name) and node.name.startswith(PATH_PREFIX):
            return self._rewritten.paths[int(node.name[len(PATH_PREFIX) :])]
        return None

    def place_of(self, node: nodes.Node) -> int:
        """Return where in the text *node* begins, as near as is known."""
        for inner in [node, *node.find_all(nodes.Name)]:
            if isinstance(inner, nodes.Name):
                if inner.name.startswith(PATH_PREFIX):
                    return self._rewritten.offsets[int(inner.name[len(PATH_PREFIX) :])]
                return self._rewritten.names.get(inner.name, 0)
        return 0

    def name_place(self, name: str) -> int:
        """Return where the name *name* was first written."""
        return self._rewritten.names.get(name, 0)

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
        return self.object(f"this cannot be used in an expression ({word})")

    def _kind_of_const(self, node: nodes.Const) -> Kind:
        if isinstance(node.value, str):
            return Kind.TEXT
        if isinstance(node.value, bool):
            return Kind.YES_NO
        if node.value is None:
            return self.object("none means nothing here", "write '' or is null")
        return Kind.NUMBER

    def _kind_of_list(self, node: nodes.List) -> Kind:
        for item in node.items:
            self.kind_of(item)
        return Kind.LIST

    def _kind_of_tuple(self, node: nodes.Tuple) -> Kind:
        return self.object("a list is written in square brackets: ['A', 'B']")

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
        looks_like = name[:3].upper()
        if name[3:].isdigit() and looks_like.isalnum():
            fix = f"a path is written {looks_like}-{name[3:]}"
        elif name.upper() != name and len(name) == 3:
            fix = (
                f"a path is written in capitals: {self._as_path(name)}; text needs quotes: '{name}'"
            )
        else:
            fix = nearest(name, self._known.names()) or f"text needs quotes: '{name}'"
        return self.object(f"there is no variable {name}", fix, offset=offset)

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
                    f"{self.path_of(node.node)}.{node.attr} is not a path",
                    "write a path as PID-5.1",
                    code="LNG-002",
                    offset=self.place_of(node),
                )
            self._kind_of_name(node.node)
        return self.object(f"nothing has a .{node.attr}", "write VALUE | filter")

    def _kind_of_loop_word(self, word: str) -> Kind:
        if word not in _LOOP_WORDS:
            return self.object(f"loop has no {word}", f"known are {', '.join(sorted(_LOOP_WORDS))}")
        return Kind.YES_NO if word in ("first", "last") else Kind.NUMBER

    def _kind_of_site_var(self, name: str) -> Kind:
        if name not in self._known.site_vars:
            fix = nearest(name, self._known.site_vars) or "define it under vars"
            return self.object(f"there is no vars.{name}", fix, offset=self.name_place(name))
        return Kind.TEXT

    def _kind_of_getitem(self, node: nodes.Getitem) -> Kind:
        self.kind_of(node.node)
        return self.object("[ ] takes nothing out of a value", "write | first, | last or | mid(…)")

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
                self._refuse_list(part)
        return Kind.TEXT

    def _refuse_list(self, node: nodes.Node) -> Kind:
        return self.object(
            "this is a list, one value is needed",
            "add | join('~'), | first or | last, or leave out [*]",
            offset=self.place_of(node),
        )

    def _kind_of_arithmetic(self, node: Any) -> Kind:
        for side in (node.left, node.right):
            kind = self.kind_of(side)
            if kind not in (Kind.NUMBER, Kind.ANY):
                self.object(
                    f"{_described(kind)} is not calculated with {node.operator}",
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
            self.object("only a number has a sign", offset=self.place_of(node))
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
                self.object(
                    f"{path} alone means the segment", f"quote it if it is text: '{path}'",
                    offset=self.place_of(side),
                )  # fmt: skip
                return
        if operand.op in _ORDER:
            for kind in (left, right):
                if kind not in (Kind.NUMBER, Kind.ANY):
                    self.object(
                        f"{_described(kind)} is not ordered; only numbers are",
                        "write VALUE | number, or VALUE | date_diff(OTHER)",
                        offset=place,
                    )
                    return
            return
        if {left, right} == {Kind.TEXT, Kind.NUMBER}:
            self.object(
                "text is compared with a number",
                "quote the number, or write VALUE | number",
                offset=place,
            )
        elif Kind.LIST in (left, right) and left != right and Kind.ANY not in (left, right):
            self.object(
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
                "in needs a list on its right",
                "write in ['A', 'B']; for a part of a text write VALUE | matches('…')",
                offset=place,
            )
        if left is Kind.LIST:
            self.object("in needs one value on its left", "leave out [*]", offset=place)
        if isinstance(right_node, nodes.List):
            kinds = {self.kind_of(item) for item in right_node.items}
            if left in (Kind.TEXT, Kind.NUMBER) and kinds & {Kind.TEXT, Kind.NUMBER} - {left}:
                self.object(
                    "text is compared with a number",
                    "quote the numbers in the list: ['1', '2']",
                    offset=place,
                )

    # -- filters, tests, functions ---------------------------------------------------------

    def _kind_of_test(self, node: nodes.Test) -> Kind:
        self.kind_of(node.node)
        if node.name not in TESTS:
            fix = nearest(node.name, TESTS) or "known are is null, is empty, is number"
            self.object(f"there is no test is {node.name}", fix, offset=self.name_place(node.name))
        return Kind.YES_NO

    def _kind_of_call(self, node: nodes.Call) -> Kind:
        name = node.node.name if isinstance(node.node, nodes.Name) else ""
        for argument in node.args:
            self.kind_of(argument)
        if name in self._known.functions:
            return Kind.TEXT
        if name == "lookup":
            return self._check_lookup(node, node.args, first_key=2)
        if name in FILTERS:
            return self.object(
                f"{name} is a filter", f"write VALUE | {name}", offset=self.name_place(name)
            )
        if name == "each":
            return self.object("each(…) goes with for", "write {% for n in each('OBX') %}")
        functions = ["lookup", *self._known.functions]
        return self.object(
            f"there is no function {name or '…'}", nearest(name, functions),
            offset=self.name_place(name),
        )  # fmt: skip

    def _kind_of_filter(self, node: nodes.Filter) -> Kind:
        assert node.node is not None
        taken = self.kind_of(node.node)
        spec = FILTERS.get(node.name)
        if spec is None:
            fix = GONE.get(node.name) or nearest(node.name, FILTERS)
            place = self.name_place(node.name)
            return self.object(f"there is no filter {node.name}", fix, offset=place)
        self._check_taken(spec, taken, node)
        self._check_arguments(spec, node)
        self._check_constants(spec, node)
        if spec.gives is Kind.ANY:
            given = self.kind_of(node.args[0]) if node.args else Kind.ANY
            return taken if given == taken else Kind.ANY
        if spec.name == "number" and node.kwargs:
            given = self.kind_of(node.kwargs[0].value)
            return Kind.NUMBER if given is Kind.NUMBER else Kind.ANY
        return spec.gives

    def _check_taken(self, spec: FilterSpec, taken: Kind, node: nodes.Filter) -> None:
        place = self.place_of(node)
        if Kind.ANY in (spec.takes, taken) or spec.takes == taken:
            counts = spec.takes is Kind.ANY and spec.gives is Kind.NUMBER and spec.name != "length"
            if taken is Kind.LIST and counts:
                self._refuse_list(node.node or node)
            return
        if taken is Kind.LIST:
            self._refuse_list(node.node or node)
        elif spec.takes is Kind.LIST:
            self.object(f"{spec.name} needs a list", "write a path with [*]", offset=place)
        elif spec.takes is Kind.MOMENT:
            self.object(
                "date is for received_at", "for an HL7 time write hl7_date(…)", offset=place
            )
        elif taken is Kind.YES_NO:
            self.object(f"{spec.name} does not take yes/no", offset=place)

    def _check_arguments(self, spec: FilterSpec, node: nodes.Filter) -> None:
        place = self.name_place(spec.name)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self.object("* and ** are not used here", offset=place)
        count = len(node.args)
        if count < spec.required or (count > len(spec.arguments) and spec.more is None):
            self.object(
                f"{spec.name} is called with {count} values", f"write {spec.example}", offset=place
            )
        for kwarg in node.kwargs:
            self.kind_of(kwarg.value)
            if kwarg.key not in spec.named:
                self.object(
                    f"{spec.name} knows no {kwarg.key}=", f"write {spec.example}", offset=place
                )
        wanted = [*spec.arguments, *([spec.more] * count if spec.more else [])]
        for argument, kind in zip(node.args, wanted, strict=False):
            given = self.kind_of(argument)
            if given is Kind.LIST or ({given, kind} == {Kind.TEXT, Kind.NUMBER}):
                self.object(
                    f"{spec.name} takes {kind.value} here, not {given.value}",
                    f"write {spec.example}",
                    offset=place,
                )

    def _check_constants(self, spec: FilterSpec, node: nodes.Filter) -> None:
        """Check what is written out: patterns, forms, tables and columns."""
        place = self.name_place(spec.name)
        texts = [arg.value if isinstance(arg, nodes.Const) else None for arg in node.args]
        if spec.name == "lookup":
            self._check_lookup(node, node.args, first_key=2, keys_before=1)
        elif spec.name in ("matches", "regex_replace") and texts:
            if not isinstance(texts[0], str):
                self.object(
                    "the pattern must be written out", f"write {spec.example}", offset=place
                )
                return
            try:
                regex = compile_regex(texts[0])
                if spec.name == "regex_replace" and isinstance(texts[-1], str):
                    check_replacement(regex, texts[-1])
            except LanguageError as error:
                self.object(error.what, error.fix, code=error.code, offset=place)
        elif spec.name in ("hl7_date", "to_hl7", "date") and texts and isinstance(texts[0], str):
            wrong = check_form(texts[0])
            if wrong:
                self.object(wrong, f"write {spec.example}", offset=place)

    def _check_lookup(
        self, node: Any, arguments: list[nodes.Expr], *, first_key: int, keys_before: int = 0
    ) -> Kind:
        place = self.name_place("lookup")
        names = [arg.value if isinstance(arg, nodes.Const) else None for arg in arguments[:2]]
        if len(names) < 2 or not all(isinstance(name, str) for name in names):
            return self.object(
                "lookup needs a table and a column in quotes",
                "write PID-8 | lookup('sex', 'lis')",
                offset=place,
            )
        table = self._known.tables.get(str(names[0]))
        if table is None:
            fix = nearest(str(names[0]), self._known.tables)
            return self.object(f"there is no table {names[0]}", fix, code="LNG-004", offset=place)
        self.tables_used.add(table.name)
        if names[1] not in table.columns:
            fix = nearest(str(names[1]), table.columns) or f"it has {', '.join(table.columns)}"
            self.object(
                f"the table {table.name} has no column {names[1]}", fix, code="LNG-004",
                offset=place,
            )  # fmt: skip
        keys = keys_before + len(arguments) - first_key
        if not 1 <= keys < len(table.columns):
            self.object("lookup needs a value to look up", offset=place)
        return Kind.TEXT


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a proposal for *name*, or ""."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""


def _described(kind: Kind) -> str:
    return kind.value if kind is not Kind.ANY else "this"
