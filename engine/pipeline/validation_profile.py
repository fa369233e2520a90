"""
What a validation profile may say: how a site tightens or loosens the standard.

Rules of this file: it reads a mapping (YAML, scalars as text) and knows no message; every
fault is collected with its place, so that `check` can show them all.

    standard: "2.5.1"
    checks: {tables: off, structure: off}
    ignore: [PID-4, NK1, ZPI]
    segments: {required: [PV1], optional: [EVN], forbidden: [NTE], unknown: report}
    fields:
      PID-3:   {required: yes, repeat: 5}
      PID-5.1: {required: yes, length: 50}
      PID-8:   {values: [M, F, U]}
      PV1-19:  {required: no, matches: 'V\\d{6}'}
    tables: {"0001": [M, F, U], "0004": {add: [X]}}
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from engine.hl7.definitions import VERSIONS
from engine.hl7.errors import PathError
from engine.hl7.path import FIRST, Path, parse_path

#: what is checked; a profile may switch each off
CHECKS = ("structure", "required", "repetition", "length", "datatype", "table")

_ON = frozenset({"true", "yes", "on"})
_OFF = frozenset({"false", "no", "off"})
_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")


@dataclass(frozen=True, slots=True)
class FieldRule:
    """What a profile says of one field or component; None leaves it to the standard."""

    required: bool | None = None
    #: how often it may stand there
    repeat: int | None = None
    #: characters at most
    length: int | None = None
    #: closed list of allowed values
    values: frozenset[str] | None = None
    #: the whole value must match
    pattern: re.Pattern[str] | None = None
    #: another datatype than the standard's
    datatype: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileFault:
    """Something wrong in a profile."""

    loc: tuple[str | int, ...]
    what: str
    fix: str = ""


@dataclass(slots=True)
class ValidationProfile:
    """A profile, read."""

    standard: str | None = None
    off: frozenset[str] = frozenset()
    ignored_segments: frozenset[str] = frozenset()
    #: (segment, field) or (segment, field, component)
    ignored_fields: frozenset[tuple[str, int]] = frozenset()
    required_segments: tuple[str, ...] = ()
    optional_segments: frozenset[str] = frozenset()
    forbidden_segments: frozenset[str] = frozenset()
    #: whether segments the standard does not know are findings; Z-segments never are
    reports_unknown: bool = True
    #: (segment, field) and (segment, field, component)
    fields: dict[tuple[str | int, ...], FieldRule] = field(default_factory=dict)
    tables: dict[str, frozenset[str]] = field(default_factory=dict)
    added_codes: dict[str, frozenset[str]] = field(default_factory=dict)


def parse_validation_profile(
    written: Mapping[str, Any],
) -> tuple[ValidationProfile, list[ProfileFault]]:
    """Return the profile *written* describes and everything wrong with it."""
    reader = _Reader()
    reader.each(
        written,
        (),
        {
            "standard": reader.standard,
            "checks": reader.checks,
            "ignore": reader.ignore,
            "segments": reader.segments,
            "fields": reader.fields,
            "tables": reader.tables,
            "about": lambda value, loc: None,
        },
    )
    return reader.profile, reader.faults


class _Reader:
    """Collects the profile and its faults."""

    def __init__(self) -> None:
        self.profile = ValidationProfile()
        self.faults: list[ProfileFault] = []

    def fault(self, loc: tuple[str | int, ...], what: str, fix: str = "") -> None:
        self.faults.append(ProfileFault(loc, what, fix))

    def each(
        self,
        written: Any,
        loc: tuple[str | int, ...],
        known: Mapping[str, Callable[[Any, tuple[str | int, ...]], None]],
    ) -> None:
        """Hand each value of a mapping to its reader; an unknown key is a fault."""
        if not isinstance(written, Mapping):
            self.fault(loc, "this is no mapping", "write keys and values: " + ", ".join(known))
            return
        for key, value in written.items():
            if key in known:
                known[key](value, (*loc, key))
            elif not str(key).startswith("x-"):
                near = get_close_matches(str(key), known, 1)
                fix = f"did you mean {near[0]}?" if near else "known: " + ", ".join(known)
                self.fault((*loc, str(key)), f"unknown key {key}", fix)

    def standard(self, value: Any, loc: tuple[str | int, ...]) -> None:
        if value in VERSIONS:
            self.profile.standard = value
        else:
            self.fault(loc, f"there is no standard {value}", "known: " + ", ".join(VERSIONS))

    def checks(self, value: Any, loc: tuple[str | int, ...]) -> None:
        off: set[str] = set()

        def switch(name: str) -> Callable[[Any, tuple[str | int, ...]], None]:
            return lambda value, loc: off.add(name) if self.switch(value, loc) is False else None

        self.each(value, loc, {name: switch(name) for name in CHECKS})
        self.profile.off = frozenset(off)

    def ignore(self, value: Any, loc: tuple[str | int, ...]) -> None:
        segments: set[str] = set()
        fields: set[tuple[str, int]] = set()
        for at, text in enumerate(self.names(value, loc)):
            if _SEGMENT.fullmatch(text):
                segments.add(text)
                continue
            path = self.path(text, (*loc, at))
            if path is not None and path.field is not None:
                fields.add((path.segment, path.field))
        self.profile.ignored_segments = frozenset(segments)
        self.profile.ignored_fields = frozenset(fields)

    def segments(self, value: Any, loc: tuple[str | int, ...]) -> None:
        profile = self.profile

        def required(value: Any, loc: tuple[str | int, ...]) -> None:
            profile.required_segments = tuple(self.segment_names(value, loc))

        def optional(value: Any, loc: tuple[str | int, ...]) -> None:
            profile.optional_segments = frozenset(self.segment_names(value, loc))

        def forbidden(value: Any, loc: tuple[str | int, ...]) -> None:
            profile.forbidden_segments = frozenset(self.segment_names(value, loc))

        def unknown(value: Any, loc: tuple[str | int, ...]) -> None:
            profile.reports_unknown = value == "report"
            if value not in ("report", "allow"):
                self.fault(loc, f"unknown value {value}", "write report or allow")

        known = {"required": required, "optional": optional, "forbidden": forbidden}
        self.each(value, loc, {**known, "unknown": unknown})

    def fields(self, value: Any, loc: tuple[str | int, ...]) -> None:
        if not isinstance(value, Mapping):
            self.fault(loc, "this is no mapping", "write PID-8: {required: yes}")
            return
        for text, rule in value.items():
            path = self.path(str(text), (*loc, str(text)))
            if path is not None and path.field is not None:
                key: tuple[str | int, ...] = (path.segment, path.field)
                key += () if path.component is None else (path.component,)
                self.profile.fields[key] = self.rule(rule, (*loc, str(text)))

    def rule(self, value: Any, loc: tuple[str | int, ...]) -> FieldRule:
        found: dict[str, Any] = {}

        def put(name: str, read: Callable[[Any, tuple[str | int, ...]], Any]) -> Any:
            return lambda value, loc: found.__setitem__(name, read(value, loc))

        self.each(
            value,
            loc,
            {
                "required": put("required", self.switch),
                "repeat": put("repeat", self.number),
                "length": put("length", self.number),
                "values": put("values", lambda value, loc: frozenset(self.names(value, loc))),
                "matches": put("pattern", self.pattern),
                "datatype": put("datatype", lambda value, loc: str(value)),
            },
        )
        return FieldRule(**found)

    def tables(self, value: Any, loc: tuple[str | int, ...]) -> None:
        if not isinstance(value, Mapping):
            self.fault(loc, "this is no mapping", 'write "0001": [M, F]')
            return
        for number, codes in value.items():
            here = (*loc, str(number))
            if not re.fullmatch(r"\d{4}", str(number)):
                self.fault(here, f"{number} is no table number", 'write four digits: "0001"')
            elif isinstance(codes, Mapping):
                self.each(codes, here, {"add": self._adder(str(number))})
            else:
                self.profile.tables[str(number)] = frozenset(self.names(codes, here))

    def _adder(self, number: str) -> Callable[[Any, tuple[str | int, ...]], None]:
        def add(value: Any, loc: tuple[str | int, ...]) -> None:
            self.profile.added_codes[number] = frozenset(self.names(value, loc))

        return add

    # -- scalars ---------------------------------------------------------------------------

    def switch(self, value: Any, loc: tuple[str | int, ...]) -> bool | None:
        text = str(value).lower()
        if text in _ON or text in _OFF:
            return text in _ON
        self.fault(loc, f"{value} is neither yes nor no")
        return None

    def number(self, value: Any, loc: tuple[str | int, ...]) -> int | None:
        if str(value).isdigit() and int(value) > 0:
            return int(value)
        self.fault(loc, f"{value} is no number above 0")
        return None

    def pattern(self, value: Any, loc: tuple[str | int, ...]) -> re.Pattern[str] | None:
        try:
            return re.compile(str(value))
        except re.error as error:
            self.fault(loc, f"this is no regular expression: {error}")
            return None

    def names(self, value: Any, loc: tuple[str | int, ...]) -> list[str]:
        if isinstance(value, list):
            return [str(one) for one in value]
        self.fault(loc, "this is no list", "write [A, B]")
        return []

    def segment_names(self, value: Any, loc: tuple[str | int, ...]) -> list[str]:
        names = self.names(value, loc)
        for at, name in enumerate(names):
            if not _SEGMENT.fullmatch(name):
                self.fault((*loc, at), f"{name} is no segment", "three capitals or digits")
        return [name for name in names if _SEGMENT.fullmatch(name)]

    def path(self, text: str, loc: tuple[str | int, ...]) -> Path | None:
        try:
            path = parse_path(text)
        except PathError as error:
            self.fault(loc, error.what, error.fix)
            return None
        plain = path.is_plain and path.segment_selector is FIRST and path.subcomponent is None
        if not plain or path.field is None:
            self.fault(loc, f"{text} is no field or component", "write PID-8 or PID-5.1")
            return None
        return path
