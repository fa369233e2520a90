"""What filters, tests and functions are called with."""

from __future__ import annotations

from typing import Any

from jinja2 import nodes

from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import FilterSpec, Kind
from engine.pipeline.filters import FILTERS, GONE, TESTS
from engine.pipeline.known import nearest
from engine.pipeline.objections import Objections
from engine.pipeline.regexes import check_replacement, compile_regex
from engine.pipeline.time_filters import check_form


class CallChecks(Objections):
    """Checks filters, tests and functions."""

    def _kind_of_test(self, node: nodes.Test) -> Kind:
        self.kind_of(node.node)
        if node.name not in TESTS:
            fix = nearest(node.name, TESTS) or "known are is null, is empty, is number"
            self.object(
                "LNG-003",
                f"there is no test is {node.name}",
                fix,
                offset=self.name_place(node.name),
            )
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
                "LNG-003",
                f"{name} is a filter",
                f"write VALUE | {name}",
                offset=self.name_place(name),
            )
        if name == "each":
            return self.object(
                "LNG-003", "each(…) goes with for", "write {% for n in each('OBX') %}"
            )
        functions = ["lookup", *self._known.functions]
        return self.object("LNG-003",
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
            return self.object("LNG-003", f"there is no filter {node.name}", fix, offset=place)
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
                self.refuse_list(node.node or node)
            return
        if taken is Kind.LIST:
            self.refuse_list(node.node or node)
        elif spec.takes is Kind.LIST:
            self.object(
                "LNG-011", f"{spec.name} needs a list", "write a path with [*]", offset=place
            )
        elif spec.takes is Kind.MOMENT:
            self.object(
                "LNG-011",
                "date is for received_at",
                "for an HL7 time write hl7_date(…)",
                offset=place,
            )
        elif taken is Kind.YES_NO:
            self.object("LNG-011", f"{spec.name} does not take yes/no", offset=place)

    def _check_arguments(self, spec: FilterSpec, node: nodes.Filter) -> None:
        place = self.name_place(spec.name)
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            self.object("LNG-012", "* and ** are not used here", offset=place)
        count = len(node.args)
        if count < spec.required or (count > len(spec.arguments) and spec.more is None):
            self.object(
                "LNG-012",
                f"{spec.name} is called with {count} values",
                f"write {spec.example}",
                offset=place,
            )
        for kwarg in node.kwargs:
            self.kind_of(kwarg.value)
            if kwarg.key not in spec.named:
                self.object(
                    "LNG-012",
                    f"{spec.name} knows no {kwarg.key}=",
                    f"write {spec.example}",
                    offset=place,
                )
        wanted = [*spec.arguments, *([spec.more] * count if spec.more else [])]
        for argument, kind in zip(node.args, wanted, strict=False):
            given = self.kind_of(argument)
            if given is Kind.LIST or ({given, kind} == {Kind.TEXT, Kind.NUMBER}):
                self.object(
                    "LNG-012",
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
                    "LNG-012",
                    "the pattern must be written out",
                    f"write {spec.example}",
                    offset=place,
                )
                return
            try:
                regex = compile_regex(texts[0])
                if spec.name == "regex_replace" and isinstance(texts[-1], str):
                    check_replacement(regex, texts[-1])
            except LanguageError as error:
                self.object(error.code, error.what, error.fix, offset=place)
        elif spec.name in ("hl7_date", "to_hl7", "date") and texts and isinstance(texts[0], str):
            wrong = check_form(texts[0])
            if wrong:
                self.object("LNG-012", wrong, f"write {spec.example}", offset=place)

    def _check_lookup(
        self, node: Any, arguments: list[nodes.Expr], *, first_key: int, keys_before: int = 0
    ) -> Kind:
        place = self.name_place("lookup")
        names = [arg.value if isinstance(arg, nodes.Const) else None for arg in arguments[:2]]
        if len(names) < 2 or not all(isinstance(name, str) for name in names):
            return self.object(
                "LNG-012",
                "lookup needs a table and a column in quotes",
                "write PID-8 | lookup('sex', 'lis')",
                offset=place,
            )
        table = self._known.tables.get(str(names[0]))
        if table is None:
            fix = nearest(str(names[0]), self._known.tables)
            return self.object("LNG-004", f"there is no table {names[0]}", fix, offset=place)
        self.tables_used.add(table.name)
        if names[1] not in table.columns:
            fix = nearest(str(names[1]), table.columns) or f"it has {', '.join(table.columns)}"
            self.object("LNG-004",
                f"the table {table.name} has no column {names[1]}", fix,
                offset=place,
            )  # fmt: skip
        keys = keys_before + len(arguments) - first_key
        if not 1 <= keys < len(table.columns):
            self.object("LNG-012", "lookup needs a value to look up", offset=place)
        return Kind.TEXT
