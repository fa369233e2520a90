"""
The standard's definitions under a profile, compiled to plain tuples for the validator.

Rules of this file: a segment, datatype and structure is compiled when it is first met;
what cannot be wrong about a value compiles to None and costs nothing later.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import NamedTuple

from engine.hl7.definitions import Definitions, PartDefinition
from engine.hl7.delimiters import HEADER_NAMES
from engine.hl7.message import Message
from engine.pipeline.validation_profile import FieldRule, ValidationProfile
from engine.pipeline.validation_structure import StructureCheck
from engine.pipeline.validation_types import EXPECTED, LENGTHS, Matches, shape_of


class LeafCheck(NamedTuple):
    """What one value must be; None where it does not matter."""

    matches: Matches | None
    expected: str
    length: int
    codes: frozenset[str] | None
    table: str
    pattern: Matches | None
    #: whether only its length can be wrong
    is_length_only: bool


class InsideCheck(NamedTuple):
    """What the components of a datatype must be."""

    #: how many there are
    size: int
    #: those that can be wrong, by their number
    leaves: tuple[tuple[int, LeafCheck], ...]
    #: of them, those whose wrongness is not only their length
    strict: tuple[tuple[int, LeafCheck], ...]
    #: of a value with one component only
    first: LeafCheck | None
    #: up to this length of the whole, no component is too long
    free_length: int
    required: tuple[int, ...]
    names: tuple[str, ...]
    datatype: str


class FieldCheck(NamedTuple):
    """What one field must be."""

    #: "PID-5"
    path: str
    name: str
    max_count: int | None
    leaf: LeafCheck | None
    inside: InsideCheck | None
    #: whether it must not have components
    is_primitive: bool
    datatype: str
    #: whether any value can be wrong at all
    is_checked: bool
    #: up to this length a value without any structure cannot be wrong; -1: any can
    free_length: int
    #: whether another field (OBX-2) says what it is
    is_observation: bool


class SegmentCheck(NamedTuple):
    """What one segment must be."""

    #: by number; [0] stands for the name
    fields: tuple[FieldCheck | None, ...]
    required: tuple[int, ...]


_PRIMITIVE = frozenset({"ST", "ID", "IS", "NM", "SI", "DT", "TM", "DTM"})


class RuleSet:
    """One version under one profile."""

    def __init__(self, known: Definitions, profile: ValidationProfile) -> None:
        self.known = known
        self.profile = profile
        self._off = profile.off
        self._segments: dict[str, SegmentCheck | None] = {}
        self._structures: dict[tuple[str, str, str], StructureCheck | None] = {}
        self._insides: dict[str, InsideCheck | None] = {}
        self._observed: dict[str, FieldCheck] = {}

    def structure_of(self, message: Message) -> StructureCheck | None:
        """Return what the message type's structure demands, None when there is none."""
        header = message.header
        key = (header.message_code, header.trigger, header.structure)
        if key not in self._structures:
            found = self.known.structure_for(*key)
            optional = self.profile.optional_segments
            check = None if found is None else StructureCheck(found, optional=optional)
            # Types are what senders write; their number must stay bounded.
            if len(self._structures) >= 512:
                self._structures.clear()
            self._structures[key] = check
        return self._structures[key]

    def segment(self, name: str) -> SegmentCheck | None:
        """Return the checks of a segment, None where nothing is known of it."""
        if name not in self._segments:
            if len(self._segments) >= 1024:
                self._segments.clear()
            self._segments[name] = self._compile_segment(name)
        return self._segments[name]

    def observation(self, field: FieldCheck, datatype: str) -> FieldCheck:
        """Return OBX-5 as OBX-2 says it is."""
        if datatype in ("TX", "FT", "ST"):
            # Text is read as it stands: carets and tildes in it are not structure.
            return field
        if not self.known.components(datatype) and not shape_of(datatype):
            return field
        if datatype not in self._observed:
            part = PartDefinition(field.name, datatype, repeats=True, max_count=field.max_count)
            self._observed[datatype] = self._compile_field(("OBX", 5), part)
        return self._observed[datatype]

    # -- compiling -------------------------------------------------------------------------

    def _compile_segment(self, name: str) -> SegmentCheck | None:
        parts = self.known.fields(name)
        profile = self.profile
        if parts is None or name in profile.ignored_segments or name[:1] == "Z":
            parts = self._site_defined(name)
            if parts is None:
                return None
        fields: list[FieldCheck | None] = [None]
        required: list[int] = []
        for number, part in enumerate(parts, 1):
            if (name, number) in profile.ignored_fields or (number <= 2 and name in HEADER_NAMES):
                fields.append(None)
                continue
            fields.append(self._compile_field((name, number), part))
            rule = profile.fields.get((name, number))
            must = part.required if rule is None or rule.required is None else rule.required
            if must and "required" not in self._off:
                required.append(number)
        return SegmentCheck(tuple(fields), tuple(required))

    def _site_defined(self, name: str) -> tuple[PartDefinition, ...] | None:
        """Return what the profile alone says of a segment the standard does not know."""
        if name in self.profile.ignored_segments:
            return None
        numbers = [int(key[1]) for key in self.profile.fields if key[0] == name]
        if not numbers:
            return None
        # Fields behind the last one the profile speaks of are free: there is room for them.
        return tuple(PartDefinition("", "varies", repeats=True, max_count=None) for _ in range(200))

    def _compile_field(self, key: tuple[str, int], part: PartDefinition) -> FieldCheck:
        rule = self.profile.fields.get(key)
        datatype = rule.datatype if rule and rule.datatype else part.datatype
        inner_rules = {
            int(found[2]): inner
            for found, inner in self.profile.fields.items()
            if len(found) == 3 and found[:2] == key
        }
        inside = self._compile_inside(datatype, inner_rules)
        is_primitive = inside is None and datatype in _PRIMITIVE and "datatype" not in self._off
        leaf = self._compile_leaf(datatype, part.table, rule)
        is_observation = key == ("OBX", 5) and datatype == "varies"
        return FieldCheck(
            free_length=-1 if is_observation else _free_length(leaf, inside),
            path=f"{key[0]}-{key[1]}",
            name=part.name,
            max_count=rule.repeat if rule and rule.repeat else part.max_count,
            leaf=leaf,
            inside=inside,
            is_primitive=is_primitive,
            datatype=datatype,
            is_checked=is_primitive or leaf is not None or inside is not None,
            is_observation=is_observation,
        )

    def _compile_inside(self, datatype: str, rules: Mapping[int, FieldRule]) -> InsideCheck | None:
        if not rules and datatype in self._insides:
            return self._insides[datatype]
        parts = self.known.components(datatype)
        if parts is None and rules:
            parts = tuple(PartDefinition("", "varies") for _ in range(max(rules)))
        compiled = None
        if parts is not None:
            leaves = []
            required = []
            for number, part in enumerate(parts, 1):
                rule = rules.get(number)
                kind = rule.datatype if rule and rule.datatype else part.datatype
                if datatype == "TS" and number == 1:
                    kind = "DTM"
                nested = self.known.components(kind)
                leaf = None if nested and not rule else self._compile_leaf(kind, part.table, rule)
                if leaf is not None:
                    leaves.append((number, leaf))
                if rule is not None and rule.required and "required" not in self._off:
                    required.append(number)
            names = tuple(part.name for part in parts)
            compiled = InsideCheck(
                size=len(parts),
                leaves=tuple(leaves),
                strict=tuple(leaf for leaf in leaves if not leaf[1].is_length_only),
                first=next((leaf for number, leaf in leaves if number == 1), None),
                free_length=min((leaf.length for _, leaf in leaves), default=0),
                required=tuple(required),
                names=names,
                datatype=datatype,
            )
        if not rules:
            self._insides[datatype] = compiled
        return compiled

    def _compile_leaf(self, datatype: str, table: str, rule: FieldRule | None) -> LeafCheck | None:
        off = self._off
        matches = shape_of(datatype) if "datatype" not in off else None
        length = rule.length if rule else None
        if length is None and self.known.version in ("2.5", "2.5.1", "2.6"):
            length = LENGTHS.get(datatype)
        codes = None if "table" in off else self._codes(datatype, table, rule)
        pattern = rule.pattern.fullmatch if rule and rule.pattern else None
        if "length" in off:
            length = None
        only_length = matches is None and codes is None and pattern is None
        if only_length and length is None:
            return None
        limit = sys.maxsize if length is None else length
        expected = EXPECTED.get(datatype, "")
        return LeafCheck(matches, expected, limit, codes, table, pattern, only_length)

    def _codes(self, datatype: str, table: str, rule: FieldRule | None) -> frozenset[str] | None:
        """Return the allowed codes; sites extend IS tables, so those need a profile."""
        if rule is not None and rule.values is not None:
            return rule.values
        if not table:
            return None
        profile = self.profile
        if table in profile.tables:
            return profile.tables[table]
        added = profile.added_codes.get(table)
        if datatype != "ID" and added is None:
            return None
        found = self.known.table(table)
        if found is None:
            return None
        return found.codes | added if added else found.codes


def _free_length(leaf: LeafCheck | None, inside: InsideCheck | None) -> int:
    """Return how long a value without structure may be without being looked at; -1: not at all."""
    checks = [leaf, inside.first if inside else None]
    if (inside and inside.required) or any(one and not one.is_length_only for one in checks):
        return -1
    return min((one.length for one in checks if one), default=sys.maxsize)
