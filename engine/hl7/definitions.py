"""
What the standard says of one version: segments, fields, datatypes, structures, tables.

Rules of this file: the knowledge is hl7apy's, turned into plain records the first time a
version (and then a segment, a datatype, a structure) is asked for; hl7apy is imported in
one function only. Nothing here knows a message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import import_module
from typing import Any

VERSIONS = (
    "2.1",
    "2.2",
    "2.3",
    "2.3.1",
    "2.4",
    "2.5",
    "2.5.1",
    "2.6",
    "2.7",
    "2.8",
    "2.8.1",
    "2.8.2",
)


#: in a code list: not a code, but room for codes of others
_PLACEHOLDER = re.compile(r"_|\.\.\.|nnn|zzz")


@dataclass(frozen=True, slots=True)
class PartDefinition:
    """A field of a segment, or a component of a datatype."""

    #: "Patient name"
    name: str
    #: "XPN", "ST", "varies"
    datatype: str
    required: bool = False
    repeats: bool = False
    #: how often it may stand there; None without limit
    max_count: int | None = 1
    #: "0001", or "" where no table binds it
    table: str = ""


@dataclass(frozen=True, slots=True)
class StructureNode:
    """A segment or group inside a message structure."""

    name: str
    min_count: int
    #: None without limit
    max_count: int | None
    #: of a group, in order; empty for a segment
    members: tuple[StructureNode, ...] = ()
    #: whether only one of the members stands there
    is_choice: bool = False

    @property
    def is_group(self) -> bool:
        """Whether it holds segments rather than being one."""
        return bool(self.members)


@dataclass(frozen=True, slots=True)
class Table:
    """A code table."""

    name: str
    codes: frozenset[str]


class Definitions:
    """The definitions of one HL7 version; get one from `definitions`."""

    def __init__(self, version: str) -> None:
        self.version = version
        self._fields: dict[str, tuple[PartDefinition, ...] | None] = {}
        self._datatypes: dict[str, tuple[PartDefinition, ...] | None] = {}
        self._structures: dict[str, StructureNode | None] = {}

    @cached_property
    def _source(self) -> Any:
        return import_module("hl7apy.v" + self.version.replace(".", "_"))

    def fields(self, segment: str) -> tuple[PartDefinition, ...] | None:
        """Return the fields of *segment* in order, None when the version does not know it."""
        if segment not in self._fields:
            self._fields[segment] = self._compile_segment(segment)
        return self._fields[segment]

    def field(self, segment: str, number: int) -> PartDefinition | None:
        """Return field *number* (from 1) of *segment*."""
        fields = self.fields(segment)
        return fields[number - 1] if fields and 0 < number <= len(fields) else None

    def components(self, datatype: str) -> tuple[PartDefinition, ...] | None:
        """Return the components of *datatype*, None where it has none (ST, NM, …)."""
        if datatype not in self._datatypes:
            found = self._source.DATATYPES_STRUCTS.get(datatype)
            compiled = tuple(_part(child) for child in found) if found else None
            self._datatypes[datatype] = compiled
        return self._datatypes[datatype]

    def segment_names(self) -> tuple[str, ...]:
        """Return the names of all segments the version knows."""
        return tuple(name for name in self._source.SEGMENTS if len(name) == 3)

    def structure_names(self) -> tuple[str, ...]:
        """Return the names of all message structures: ADT_A01, ORU_R01, …"""
        return tuple(self._source.MESSAGES)

    def structure(self, name: str) -> StructureNode | None:
        """Return the message structure *name* (ADT_A01), None when the version has none."""
        if name not in self._structures:
            found = self._source.MESSAGES.get(name)
            self._structures[name] = (
                None if found is None else StructureNode(name, 1, 1, self._members(found[1]))
            )
        return self._structures[name]

    def structure_for(self, code: str, trigger: str, declared: str = "") -> StructureNode | None:
        """Return the structure of a message type; *declared* is MSH-9.3 and wins if it exists."""
        name = structure_name(code, trigger)
        own = f"{code}_{trigger}" if trigger else code
        for candidate in (declared, own, name, code):
            found = self.structure(candidate) if candidate else None
            if found is not None:
                return found
        return None

    def table(self, number: str) -> Table | None:
        """Return table *number* ("0001"); None when it is not known, or not a closed list."""
        found = getattr(self._source, "TABLES", {}).get("HL7" + number)
        if not found or not found[1] or any(_PLACEHOLDER.search(code) for code in found[1]):
            return None
        codes = {code.strip() for entry in found[1] for code in entry.split(",")}
        if number == "0125":
            # Value types: later guides use datatypes the printed table forgot.
            codes |= set(self._source.DATATYPES_STRUCTS)
        return Table(_words(found[0]), frozenset(codes))

    def _compile_segment(self, segment: str) -> tuple[PartDefinition, ...] | None:
        found = self._source.SEGMENTS.get(segment)
        # A choice is "any segment"; a bare name is a segment withdrawn in this version.
        if found is None or found[0] == "choice" or len(found) < 2:
            return None
        children = found[1] if found[0] == "sequence" else found
        numbered = {int(child[0].rpartition("_")[2]): _part(child) for child in children}
        if not numbered:
            return None
        return tuple(numbered.get(at, _WITHDRAWN) for at in range(1, max(numbered) + 1))

    def _members(self, children: Any) -> tuple[StructureNode, ...]:
        return tuple(self._node(child) for child in children)

    def _node(self, child: Any) -> StructureNode:
        name, _, (low, high), kind = child
        limit = None if high == -1 else high
        if kind != "GRP":
            return StructureNode(name, low, limit)
        shape, inside = self._source.GROUPS[name]
        return StructureNode(name, low, limit, self._members(inside), shape == "choice")


#: a field that later versions took out; its number stays free
_WITHDRAWN = PartDefinition("Withdrawn", "WD", repeats=True, max_count=None)


def _part(child: Any) -> PartDefinition:
    _, described, (low, high), _ = child
    datatype, name, table = described[2:5]
    if datatype is None or high == 0:
        return PartDefinition(_words(name), "WD", repeats=True, max_count=None)
    return PartDefinition(
        name=_words(name),
        datatype=datatype,
        required=low > 0,
        repeats=high == -1 or high > 1,
        max_count=None if high == -1 else high,
        table=(table or "").removeprefix("HL7"),
    )


def _words(name: str) -> str:
    """Return PATIENT_NAME as "Patient name"; other spellings keep their capitals."""
    text = name.replace("_", " ").strip()
    return text.capitalize() if text.isupper() else text


@lru_cache(maxsize=32)
def definitions(version: str) -> Definitions:
    """Return the definitions nearest to *version* (MSH-12.1 as it is written)."""
    exact = nearest_version(version)
    return Definitions(exact) if exact == version else definitions(exact)


def is_known_version(version: str) -> bool:
    """Return whether there are definitions of exactly this version."""
    return version in VERSIONS


@lru_cache(maxsize=1024)
def nearest_version(version: str) -> str:
    """Return the highest known version not above *version*; 2.5.1 where it says nothing."""
    match = re.match(r"\s*(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None:
        return "2.5.1"
    wanted = tuple(int(number or 0) for number in match.groups())
    fitting = [one for one in VERSIONS if _numbers(one) <= wanted]
    return fitting[-1] if fitting else VERSIONS[0]


def _numbers(version: str) -> tuple[int, ...]:
    numbers = [int(number) for number in version.split(".")]
    return tuple([*numbers, 0][:3])


#: triggers that share the structure of another one; the rest have one of their own name
_SHARED = {
    "ADT_A01": "A04 A08 A13",
    "ADT_A05": "A14 A28 A31",
    "ADT_A06": "A07",
    "ADT_A09": "A10 A11 A12",
    "ADT_A21": "A22 A23 A25 A26 A27 A29 A32 A33",
    "ADT_A30": "A34 A35 A36 A46 A47 A48 A49",
    "ADT_A39": "A40 A41 A42",
    "ADT_A43": "A44",
    "ADT_A50": "A51",
    "ADT_A52": "A53",
    "ADT_A54": "A55",
    "ADT_A61": "A62",
    "CRM_C01": "C02 C03 C04 C05 C06 C07 C08",
    "CSU_C09": "C10 C11 C12",
    "MDM_T01": "T03 T05 T07 T09 T11",
    "MDM_T02": "T04 T06 T08 T10",
    "MFK_M01": "M02 M03 M04 M05 M06 M07 M08 M09 M10 M11 M12 M13 M14 M15 M16 M17",
    "ORU_R01": "R03",
    "PGL_PC6": "PC7 PC8",
    "PMU_B04": "B05 B06",
    "PPG_PCG": "PCH PCJ",
    "PPP_PCB": "PCC PCD",
    "PPR_PC1": "PC2 PC3",
    "QBP_Q21": "Q22 Q23 Q24 Q25",
    "RCI_I05": "I06",
    "RDE_O11": "O25 O49",
    "REF_I12": "I13 I14 I15",
    "RPA_I08": "I09 I10 I11",
    "RPI_I01": "I04",
    "RQA_I08": "I09 I10 I11",
    "RQC_I05": "I06",
    "RQI_I01": "I02 I03 I07",
    "RRE_O12": "O26",
    "RRI_I12": "I13 I14 I15",
    "SIU_S12": "S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S26 S27",
    "SRM_S01": "S02 S03 S04 S05 S06 S07 S08 S09 S10 S11",
    "SRR_S01": "S02 S03 S04 S05 S06 S07 S08 S09 S10 S11",
}
_STRUCTURES = {
    (structure[:3], trigger): structure
    for structure, triggers in _SHARED.items()
    for trigger in triggers.split()
}


def structure_name(code: str, trigger: str) -> str:
    """Return the structure a message type has in the later versions: ADT, A08 -> ADT_A01."""
    if code == "ACK":
        return "ACK"
    return _STRUCTURES.get((code, trigger), f"{code}_{trigger}" if trigger else code)


def field_name(segment: str, number: int, version: str = "2.5.1") -> str:
    """Return what field *number* of *segment* is called, "" when nothing is known."""
    found = definitions(version).field(segment, number)
    return found.name if found else ""


def path_name(segment: str, numbers: tuple[int, ...], version: str = "2.5.1") -> str:
    """Return the names along a path: PID, (5, 1) -> "Patient name / Family name"."""
    known = definitions(version)
    if not numbers:
        return ""
    found = known.field(segment, numbers[0])
    names = [found.name] if found else []
    for number in numbers[1:]:
        parts = known.components(found.datatype) if found else None
        found = parts[number - 1] if parts and number <= len(parts) else None
        if found is None:
            break
        names.append(found.name)
    return " / ".join(names)


def segment_repeats(structure: str, segment: str, version: str = "2.5.1") -> bool | None:
    """
    Return whether *segment* may stand more than once in the message structure.

    None where the structure or the segment in it is not known.
    """
    found = definitions(version).structure(structure)
    if found is None:
        return None
    counts = [0]
    repeated = _count(found, segment, 1, counts)
    return None if counts[0] == 0 else repeated or counts[0] > 1


def led_by(structure: StructureNode, segment: str) -> frozenset[str]:
    """Return the segments of all groups of a *structure* that *segment* leads (OBX: NTE, PRT)."""
    found: set[str] = set()
    for member in structure.members:
        if member.is_group:
            if _leads(member, segment):
                found |= names_in(member)
            found |= led_by(member, segment)
    return frozenset(found)


def _leads(group: StructureNode, segment: str) -> bool:
    """Return whether *segment* is the first of a group, or only optional ones come before it."""
    for member in group.members:
        if member.name == segment:
            return True
        if member.min_count > 0:
            return False
    return False


def names_in(node: StructureNode) -> frozenset[str]:
    """Return the segments of a structure or group, those of its groups included."""
    names: set[str] = set()
    for member in node.members:
        names |= names_in(member) if member.is_group else {member.name}
    return frozenset(names)


def repeats_with(structure: StructureNode, segment: str) -> frozenset[str]:
    """Return the segments of the innermost repeating groups that hold *segment*."""
    found = frozenset[str]()
    for member in structure.members:
        if member.is_group:
            inner = repeats_with(member, segment)
            if not inner and member.max_count != 1 and segment in names_in(member):
                inner = names_in(member)
            found |= inner
    return found


def _count(node: StructureNode, segment: str, times: int, counts: list[int]) -> bool:
    """Count the places of *segment* under *node*; True as soon as one of them repeats."""
    repeated = False
    for member in node.members:
        often = times > 1 or member.max_count is None or member.max_count > 1
        if member.is_group:
            repeated = _count(member, segment, 2 if often else 1, counts) or repeated
        elif member.name == segment:
            counts[0] += 1
            repeated = repeated or often
    return repeated
