"""
The field-level validator: what a message has wrong by the standard or a site's profile of it.

Rules of this file: it walks what is there and asks the compiled rules; all findings are
given, none ever quotes a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.hl7.definitions import definitions
from engine.hl7.delimiters import Delimiters
from engine.hl7.escapes import unescape
from engine.hl7.message import Message
from engine.hl7.segment import Segment
from engine.hl7.tables import segment_name
from engine.model.counting import count_of
from engine.pipeline.validation_profile import (
    ProfileFault,
    ValidationProfile,
    parse_validation_profile,
)
from engine.pipeline.validation_rules import (
    FieldCheck,
    InsideCheck,
    LeafCheck,
    RuleSet,
    SegmentCheck,
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a message; safe to log."""

    #: "PID-8", "OBX[3]-5.2", or a segment's name
    path: str
    #: "Administrative sex"
    name: str
    #: structure, required, repetition, length, datatype or table
    rule: str
    what: str

    def __str__(self) -> str:
        name = f" ({self.name})" if self.name else ""
        return f"{self.path}{name}: {self.what}"


def compile_validator(
    standard: str = "declared", profile: Mapping[str, Any] | None = None
) -> tuple[Validator, list[ProfileFault]]:
    """
    Return a validator and what is wrong with its profile.

    Args:
        standard: a version, or ``declared`` for what MSH-12 of each message says.
        profile: what a profile file holds, as plain YAML; its own standard comes first.
    """
    read, faults = parse_validation_profile(profile or {})
    version = read.standard or (None if standard == "declared" else standard)
    return Validator(version, read), faults


class Validator:
    """Checks messages; keeps what it compiled per version."""

    def __init__(self, version: str | None, profile: ValidationProfile) -> None:
        self._version = version
        self._profile = profile
        self._rules: dict[str, RuleSet] = {}

    def validate(self, message: Message) -> list[Violation]:
        """Return everything that is wrong, structure first, then segment by segment."""
        version = self._version or message.header.version
        rules = self._rules.get(version)
        if rules is None:
            rules = RuleSet(definitions(version), self._profile)
            # Declared versions are what senders write; their number must stay bounded.
            if len(self._rules) < 64:
                self._rules[version] = rules
        names = message.segment_names()
        found = list(_profile_violations(rules, names))
        if "structure" not in self._profile.off:
            found += _structure_violations(rules, message, names)
        walk = _Walk(rules, message.delimiters, found)
        seen: Counter[str] = Counter()
        for segment in message.segments():
            name = segment.name
            check = rules.segment(name) if name else None
            if check is None:
                continue
            seen[name] += 1
            before = len(found)
            walk.segment(segment, check)
            if len(found) > before and names.count(name) > 1:
                _number(found, before, name, seen[name])
        return found


def _profile_violations(rules: RuleSet, names: list[str]) -> Iterator[Violation]:
    """Yield what the profile alone demands of the segments."""
    profile = rules.profile
    if "required" not in profile.off:
        yield from (_missing(name) for name in profile.required_segments if name not in names)
    for name in dict.fromkeys(names):
        if name in profile.forbidden_segments:
            yield Violation(name, segment_name(name), "structure", "the profile forbids it")


def _structure_violations(
    rules: RuleSet, message: Message, names: list[str]
) -> Iterator[Violation]:
    """Yield what is wrong with the order and number of segments."""
    version, profile = rules.known.version, rules.profile
    check = rules.structure_of(message)
    if check is None:
        what = f"version {version} has no structure for this message type"
        yield Violation("MSH-9", "Message type", "structure", what)
        return
    ignored = profile.ignored_segments
    kept = [at for at, name in enumerate(names) if name and name[0] != "Z" and name not in ignored]
    for position, name, is_missing in check.find_faults([names[at] for at in kept]):
        if is_missing:
            if name not in profile.required_segments:
                yield _missing(name)
            continue
        at = kept[position]
        label = _label(name, names[: at + 1].count(name), names.count(name))
        if rules.known.fields(name) is not None:
            what = f"segment {at + 1} of the message may not stand there"
            yield Violation(label, segment_name(name), "structure", what)
        elif profile.reports_unknown:
            what = f"version {version} knows no such segment"
            yield Violation(label, segment_name(name), "structure", what)


class _Walk:
    """One validation: walks the segments of a message and collects what is wrong."""

    def __init__(self, rules: RuleSet, marks: Delimiters, found: list[Violation]) -> None:
        self._rules = rules
        self._off = rules.profile.off
        self._between_repetitions, self._between, self._inner, self._sign = marks.cuts
        self._marks = marks
        self._found = found

    def _note(self, path: str, name: str, rule: str, what: str) -> None:
        self._found.append(Violation(path, name, rule, what))

    def segment(self, segment: Segment, check: SegmentCheck) -> None:
        """Check every field that is there, and that those are there which must be."""
        values, known = segment.fields(), check.fields
        size = len(values)
        for number in check.required:
            if number >= size or not values[number]:
                field = known[number]
                name = field.name if field else ""
                self._note(f"{segment.name}-{number}", name, "required", "is empty")
        if size > len(known) and "structure" not in self._off and any(values[len(known) :]):
            name = segment.name
            what = f"{name} has {len(known) - 1} fields in version {self._rules.known.version}"
            self._note(f"{name}-{len(known)}", "", "structure", what)
        between_repetitions, between = self._between_repetitions, self._between
        for value, field in zip(values, known, strict=False):
            if not value or field is None:
                continue
            if (
                len(value) <= field.free_length
                and between not in value
                and between_repetitions not in value
            ):
                continue
            if value == '""':
                continue
            if field.is_observation:
                field = self._rules.observation(field, values[2])
            if between_repetitions in value:
                self._repeated(value, field)
            elif field.is_checked:
                self._value(value, field, field.path)

    def _repeated(self, value: str, field: FieldCheck) -> None:
        repetitions = value.split(self._between_repetitions)
        most = field.max_count
        if most is not None and len(repetitions) > most and "repetition" not in self._off:
            allowed = f"at most {most}" if most > 1 else "one"
            what = f"{count_of(len(repetitions), 'repetition')}, {allowed} allowed"
            self._note(field.path, field.name, "repetition", what)
        if field.is_checked:
            for at, repetition in enumerate(repetitions, 1):
                if repetition:
                    self._value(repetition, field, f"{field.path}[{at}]")

    def _value(self, value: str, field: FieldCheck, path: str) -> None:
        """Check one repetition of a field."""
        inside = field.inside
        if inside is not None:
            if self._between in value or inside.required:
                self._inside(value, inside, field.name, path)
            elif inside.first is not None:
                self._leaf(value, inside.first, f"{path}.1", field.name, inside.names[0])
        elif self._between in value and field.is_primitive:
            what = f"has components, {field.datatype} has none"
            self._note(path, field.name, "datatype", what)
            return
        if field.leaf is not None:
            self._leaf(value, field.leaf, path, field.name)

    def _inside(self, value: str, inside: InsideCheck, name: str, path: str) -> None:
        parts = value.split(self._between)
        size = len(parts)
        if size > inside.size and any(parts[inside.size :]) and "datatype" not in self._off:
            what = f"has more than the {inside.size} components of {inside.datatype}"
            self._note(path, name, "datatype", what)
        # Where only lengths can be wrong and the whole is short enough, none of them is.
        leaves = inside.strict if len(value) <= inside.free_length else inside.leaves
        for number, leaf in leaves:
            if number > size:
                break
            part = parts[number - 1]
            if part:
                self._leaf(part, leaf, f"{path}.{number}", name, inside.names[number - 1])
        for number in inside.required:
            if number > size or not parts[number - 1]:
                full = f"{name} / {inside.names[number - 1]}"
                self._note(f"{path}.{number}", full, "required", "is empty")

    def _leaf(self, value: str, leaf: LeafCheck, path: str, name: str, part: str = "") -> None:
        if leaf.is_length_only and len(value) <= leaf.length:
            return
        if self._inner in value and part:
            value = value.split(self._inner, 1)[0]
        if not value or value == '""':
            return
        what, rule = _fault(unescape(value, self._marks), leaf)
        if what:
            self._note(path, f"{name} / {part}" if part else name, rule, what)


def _fault(value: str, leaf: LeafCheck) -> tuple[str, str]:
    """Return what is wrong with a value and by which rule; two empty texts when nothing is."""
    if leaf.matches is not None and not leaf.matches(value):
        return f"is not {leaf.expected}", "datatype"
    if len(value) > leaf.length:
        return f"has {count_of(len(value), 'character')}, the most is {leaf.length}", "length"
    if leaf.codes is not None and value not in leaf.codes:
        where = f"table {leaf.table}" if leaf.table else "the allowed values"
        return f"is not in {where}", "table"
    if leaf.pattern is not None and not leaf.pattern(value):
        return "does not match the profile's pattern", "datatype"
    return "", ""


def _missing(name: str) -> Violation:
    return Violation(name, segment_name(name), "structure", "the segment is missing")


def _label(name: str, number: int, total: int) -> str:
    return f"{name}[{number}]" if total > 1 else name


def _number(found: list[Violation], start: int, name: str, number: int) -> None:
    """Say which of several segments the violations from *start* on are about."""
    for at in range(start, len(found)):
        old = found[at]
        path = f"{name}[{number}]{old.path[len(name) :]}"
        found[at] = Violation(path, old.name, old.rule, old.what)
