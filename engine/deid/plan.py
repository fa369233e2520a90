"""
A profile compiled: for each segment a table with one treatment per field.

Rules of this file: a field's treatment is chosen once, by the layers' rules or its kind; what
searches text runs in a second pass, after all identifiers of the message are known (``LATER``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.deid import (
    actions,
    cuts,
    mask_actions,
    pseudonym_actions,
    shapes,
    surrogate_actions,
)
from engine.deid.actions import Treatment
from engine.deid.catalogue import SLOTS, Row, catalogue
from engine.deid.collect import collector
from engine.deid.components import ComponentRule, with_components
from engine.deid.identity import patient_number
from engine.deid.rules import Decision, Layer, Rule
from engine.deid.run import Run
from engine.deid.values import collect_value, teller, value_treatment
from engine.hl7.path import Path, parse_path

#: kinds a profile keeps on purpose although they find somebody
FINDS_SOMEBODY = frozenset(
    {
        "patient_id", "government_id", "insurance_id", "order_id", "device", "patient_name",
        "relative", "staff", "staff_private", "address", "contact", "birth_date", "message_id",
    }
)  # fmt: skip
#: datatypes that keep components beside the identifier
_COMPOSITE = shapes.NUMBER | shapes.ENTITY | shapes.ENTITY_PAIR | shapes.STAFF | shapes.STAFF_NESTED


@dataclass(slots=True)
class Table:
    """The treatments of one segment, by field number; [0] is unused."""

    segment: str
    first: list[Treatment | None] = field(default_factory=list)
    #: treatments of the second pass, None where the first has done all
    later: list[Treatment | None] = field(default_factory=list)
    #: fields whose dates stay: a second pass only for what is no date
    dates: set[int] = field(default_factory=set)
    decisions: dict[int, Decision] = field(default_factory=dict)
    components: dict[int, dict[str, Decision]] = field(default_factory=dict)

    @property
    def limit(self) -> int:
        """Fields from here on are unknown."""
        return len(self.first)


class Planner:
    """Compiles the layers of one profile."""

    def __init__(self, layers: Sequence[Layer], templates: list[str]) -> None:
        self.layers = layers
        #: texts of replace rules, filled while compiling; treatments know their index
        self.templates = templates
        self.kinds: dict[str, Decision] = {}
        for layer in reversed(layers):
            for kind, rule in layer.kinds.items():
                self.kinds[kind] = Decision(rule, f"{layer.name}: kinds {kind}")
        own = {
            text: kind for layer in reversed(layers) for text, kind in layer.observations.items()
        }
        #: which observations (OBX-3) have an identifier as their value
        self.tell = teller(own)
        self._field_rules = [_by_field(layer.fields) for layer in layers]
        self._free_text = [_free_text(layer.free_text) for layer in layers]
        self._rows = self._all_rows()

    def segment_decision(self, segment: str) -> Decision | None:
        """Return the rule that drops the whole segment, None where a field of it is decided."""
        for layer, rules in zip(self.layers, self._field_rules, strict=True):
            if segment in layer.drop:
                return Decision(Rule("drop"), f"{layer.name}: segments drop {segment}")
            if any(name == segment for name, _ in rules):
                return None
        return None

    def _all_rows(self) -> dict[str, dict[int, Row]]:
        """Return the catalogue's rows and those of fields only the profile names."""
        rows: dict[str, dict[int, Row]] = {}
        for row in catalogue().values():
            rows.setdefault(row.segment, {})[row.field] = row
        for rules in self._field_rules:
            for segment, number in rules:
                found = rows.setdefault(segment, {})
                found.setdefault(number, Row(segment, number, "", "", "unknown", ""))
        return rows

    def segments(self) -> list[str]:
        """Return the segments that the catalogue or the profile knows."""
        return list(self._rows)

    def rows(self, segment: str) -> list[Row]:
        """Return the known fields of a segment."""
        return list(self._rows.get(segment, {}).values())

    @property
    def arrival_time(self) -> bool:
        """Whether MSH-7 becomes the arrival time (a rule of the profile's own may decide else)."""
        row = self._rows["MSH"].get(7)
        return row is not None and self.decide(row)[0].rule.action == "arrival"

    def tables(self) -> dict[str, Table]:
        """Return the table of every segment that is not dropped."""
        return {
            name: self._table(name, list(found.values()))
            for name, found in self._rows.items()
            if self.segment_decision(name) is None
        }

    def original_tables(self) -> dict[str, list[Treatment | None]]:
        """Return for every segment what remembers the fields that the profile does not keep."""
        tables = {}
        for name, found in self._rows.items():
            treatments: list[Treatment | None] = [None] * (1 + max(found))
            for row in found.values():
                if row.kind == "value" and name == "OBX":
                    treatments[row.field] = collect_value(2, self.kinds, self.tell)
                elif self.decide(row)[0].rule.action != "keep":
                    treatments[row.field] = actions.clear(row.kind, row.datatype)
            tables[name] = treatments
        return tables

    def dropped_tables(self) -> dict[str, list[Treatment | None]]:
        """Return for dropped segments what remembers their fields: NK1 goes, Jane is looked for."""
        tables = {}
        for name, found in self._rows.items():
            if self.segment_decision(name) is not None:
                treatments: list[Treatment | None] = [None] * (1 + max(found))
                for row in found.values():
                    if collector(row.kind, row.datatype) is not None:
                        treatments[row.field] = actions.clear(row.kind, row.datatype)
                tables[name] = treatments
        return tables

    def _table(self, segment: str, rows: list[Row]) -> Table:
        size = 1 + max(row.field for row in rows)
        table = Table(segment, [_drop] * size, [None] * size)
        table.first[0] = None
        for row in rows:
            decision, parts = self.decide(row)
            table.decisions[row.field] = decision
            if parts:
                table.components[row.field] = parts
            first, later = self._treatments(row, decision.rule)
            if parts:
                first, later = self._with_components(row, first, later, parts)
            table.first[row.field], table.later[row.field] = first, later
            if decision.rule.action == "keep" and row.datatype in shapes.DATE and not parts:
                table.dates.add(row.field)
        return table

    def decide(self, row: Row) -> tuple[Decision, dict[str, Decision]]:
        """Return what becomes of the field, and of components with rules of their own."""
        place = (row.segment, row.field)
        parts: dict[str, Decision] = {}
        for layer, rules, texts in zip(
            self.layers, self._field_rules, self._free_text, strict=True
        ):
            for inner, (path, rule) in rules.get(place, {}).items():
                if inner:
                    parts.setdefault(inner, Decision(rule, f"{layer.name}: fields {path}"))
            if "" in rules.get(place, {}):
                path, rule = rules[place][""]
                return Decision(rule, f"{layer.name}: fields {path}"), parts
            if place in texts:
                where = f"{row.segment}-{row.field}"
                return Decision(Rule("scrub"), f"{layer.name}: free_text {where}"), parts
            if row.segment in layer.drop:
                where = f"{layer.name}: segments drop {row.segment}"
                return Decision(Rule("clear"), where), parts
        if row.kind in ("message_time", "value", "unknown"):
            words = {
                "message_time": Decision(Rule("arrival"), "always: MSH-7 is the arrival time"),
                "value": Decision(Rule("value"), "by OBX-2 and OBX-3"),
                "unknown": Decision(Rule("clear"), "unknown: the catalogue has no such field"),
            }
            return words[row.kind], parts
        return self.kinds[row.kind], parts

    def _treatments(self, row: Row, rule: Rule) -> tuple[Treatment | None, Treatment | None]:
        """Return the treatments of the first and second pass."""
        action = rule.action
        if row.kind == "value":
            if action in ("value", "scrub"):
                type_field = 2 if row.segment == "OBX" else 5
                free = action == "scrub"
                make = value_treatment(self._by_kind, type_field, self.tell, searches_text=free)
                return collect_value(type_field, self.kinds, self.tell), make
            if action == "clear":
                return collect_value(2, self.kinds, self.tell, empty=True), None
        if action == "replace":
            return self._replacement(row, rule.template), None
        if row.kind == "patient_id" and action in ("pseudonym", "surrogate", "mask"):
            explicit = rule is not self.kinds["patient_id"].rule
            if not explicit:
                by_type = {
                    kind: self._by_kind(kind, "CX", SLOTS.get((row.segment, row.field), ""))
                    for kind in ("patient_id", "government_id", "insurance_id")
                }
                return patient_number(by_type), actions.search_rest("CX")
        treat = self.build(action, row)
        if action in ("pseudonym", "surrogate", "mask") and row.datatype in _COMPOSITE:
            return treat, actions.search_rest(row.datatype)
        if action == "keep" and row.kind in ("date", "birth_date", "time_of_day"):
            return None, actions.keep_date(row.datatype)
        if action == "scrub" and row.datatype in shapes.PLACE:
            return treat, actions.scrub(row.kind, row.datatype)
        if action in ("scrub", "zip3") and row.datatype in shapes.ADDRESS:
            return treat, cuts.without_identifiers
        if action == "scrub":
            return _collect_only(collector(row.kind, row.datatype)), treat
        return treat, None

    def _by_kind(self, kind: str, datatype: str, slot: str = "") -> Treatment | None:
        """Return the treatment of a kind in a datatype; for values and numbers by type."""
        action = self.kinds[kind].rule.action
        if action == "keep" and kind in ("date", "birth_date", "time_of_day"):
            return actions.keep_date(datatype)
        if action == "scrub" and datatype in shapes.PLACE:
            return actions.both(cuts.unit(kind, datatype), actions.scrub(kind, datatype))
        return self.build(action, Row("", 0, datatype, "", kind, ""), slot)

    def build(self, action: str, row: Row, slot: str = "") -> Treatment | None:
        """Return the treatment of one action on one datatype."""
        kind, datatype = row.kind, row.datatype
        slot = slot or SLOTS.get((row.segment, row.field), "")
        makers: dict[str, Callable[[], Treatment | None]] = {
            "keep": lambda: actions.keep(kind, datatype),
            "clear": lambda: actions.clear(kind, datatype),
            "mask": lambda: mask_actions.mask(kind, datatype),
            "pseudonym": lambda: pseudonym_actions.pseudonym(kind, datatype, slot),
            "surrogate": lambda: surrogate_actions.surrogate(kind, datatype, slot),
            "date_shift": lambda: cuts.on_dates(kind, datatype, cuts.shifted),
            "year": lambda: cuts.on_dates(kind, datatype, cuts.year),
            "age_cap": lambda: _age_cap(kind, datatype),
            "zip3": lambda: cuts.region(kind, datatype, town=False),
            "scrub": lambda: _scrub(kind, datatype),
            "arrival": lambda: None,
        }
        return makers[action]()

    def _replacement(self, row: Row, template: str) -> Treatment:
        index = len(self.templates)
        self.templates.append(template)
        forget = actions.clear(row.kind, row.datatype)

        def treat(value: str, run: Run) -> str:
            forget(value, run)
            return run.values[index]

        return treat

    def _with_components(
        self,
        row: Row,
        first: Treatment | None,
        later: Treatment | None,
        parts: Mapping[str, Decision],
    ) -> tuple[Treatment | None, Treatment | None]:
        rules = []
        for inner, decision in parts.items():
            if decision.rule.action == "replace":
                self.templates.append(decision.rule.template)
            numbers = tuple(int(number) for number in inner.split("."))
            index = len(self.templates) - 1
            rules.append(ComponentRule(numbers, decision.rule.action, index, row))
        whole = parts.get("1")
        if whole and whole.rule.action == "pseudonym" and row.datatype in shapes.NUMBER:
            rules = [rule for rule in rules if rule.numbers != (1,)]
            first = pseudonym_actions.pseudonym(
                row.kind, row.datatype, SLOTS.get((row.segment, row.field), "")
            )
            later = None
            if not rules:
                return first, later
        if later is not None or any(rule.action == "scrub" for rule in rules):
            both = later or first if first is None or later is None else actions.both(first, later)
            return _collect_only(collector(row.kind, row.datatype)), with_components(both, rules)
        return with_components(first, rules), None


def _drop(value: str, run: Run) -> str:
    """Empty a field that is not in the catalogue."""
    return ""


def _scrub(kind: str, datatype: str) -> Treatment:
    if datatype in shapes.ADDRESS:
        return cuts.region(kind, datatype, town=True)
    if datatype in shapes.PLACE:
        return cuts.unit(kind, datatype)
    return actions.scrub(kind, datatype)


def _age_cap(kind: str, datatype: str) -> Treatment:
    if datatype in shapes.DATE:
        return cuts.on_dates(kind, datatype, cuts.capped)
    return actions.in_place(cuts.capped_age)


def _collect_only(collect: Callable[[str, Run], None] | None) -> Treatment | None:
    if collect is None:
        return None

    def treat(value: str, run: Run) -> str:
        if run.identifiers.is_new(collect, value):
            mark = run.repetition
            for part in value.split(mark) if mark in value else (value,):
                collect(part, run)
        return value

    return treat


def _by_field(
    fields: Mapping[str, Rule],
) -> dict[tuple[str, int], dict[str, tuple[str, Rule]]]:
    """Return (segment, field) -> {"" or "1" or "4.2": (path, rule)}."""
    found: dict[tuple[str, int], dict[str, tuple[str, Rule]]] = {}
    for text, rule in fields.items():
        path = parse_path(text)
        if path.field is not None:
            found.setdefault((path.segment, path.field), {})[inner_of(path)] = (text, rule)
    return found


def inner_of(path: Path) -> str:
    """Return the component part of a path: "", "1" or "4.2"."""
    numbers = [path.component, path.subcomponent]
    return ".".join(str(number) for number in numbers if number is not None)


def _free_text(paths: Sequence[str]) -> set[tuple[str, int]]:
    found = set()
    for text in paths:
        path = parse_path(text)
        if path.field is not None:
            found.add((path.segment, path.field))
    return found
