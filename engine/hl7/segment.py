"""
One segment: a live view that is cut into fields on first touch and joined again when edited.

Rules of this file: field 0 is the name as it came; in MSH, FHS and BHS field 1 is the
separator itself and field 2 is never cut nor unescaped. `line` is None as soon as the
segment was written to: then the fields are the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.hl7.delimiters import DEFAULT_DELIMITERS, HEADER_NAMES, Delimiters
from engine.hl7.errors import PathError
from engine.hl7.escapes import escape, unescape
from engine.hl7.path import Path, Where, parse_field_path
from engine.hl7.structure import FIELD, level_of, recode, shift
from engine.hl7.values import cut, find_in_field, part_of, write_in_field

#: as a segment takes paths: 5, "5.1", "OBX-5.1" or a parsed one
FieldPath = str | int | Path


class Owner(Protocol):
    """The message a segment belongs to."""

    delimiters: Delimiters
    is_edited: bool

    def redeclare(self, text: str, *, separator: bool) -> None:
        """Rewrite the whole message in other delimiters."""
        ...

    def position_of(self, segment: Segment) -> int:
        """Return where *segment* stands."""
        ...


class Segment:
    """A segment of a message; reading and writing go straight to that message."""

    __slots__ = ("_fields", "_owner", "line", "name", "origin")

    def __init__(
        self,
        owner: Owner,
        name: str,
        text: str | None,
        origin: int | None,
        fields: list[str] | None = None,
    ) -> None:
        #: three capitals; "" for a line that is no segment
        self.name = name
        #: line number (from 0) in the received message; None when made here
        self.origin = origin
        #: as it came; None since somebody wrote to it
        self.line = text
        self._owner = owner
        self._fields = fields

    def __repr__(self) -> str:
        return f"<Segment {self.name or '?'}>"

    @property
    def index(self) -> int:
        """Place in the message, from 0."""
        return self._owner.position_of(self)

    @property
    def is_proper(self) -> bool:
        """Whether it begins with its name and has a field: not bare, indented, in small letters."""
        fields = self.fields()
        return fields[0] == self.name and len(fields) > 1

    @property
    def text(self) -> str:
        """The segment as it leaves, without its line end."""
        if self.line is not None:
            return self.line
        fields = self._fields or self.fields()
        text = self._owner.delimiters.field.join(fields)
        if self.name in HEADER_NAMES:
            # Field 1 is the separator itself and stands for the two around it.
            end = len(fields[0])
            return text[:end] + text[end + 2 :]
        return text

    def fields(self) -> list[str]:
        """Return the fields' structural text, counted from 1; [0] is the name. Not for writing."""
        fields = self._fields
        if fields is None:
            assert self.line is not None
            self._fields = fields = self._cut(self.line)
        return fields

    def _cut(self, text: str) -> list[str]:
        separator = self._owner.delimiters.field
        fields = text.split(separator)
        if self.name in HEADER_NAMES:
            fields.insert(1, separator)
        return fields

    # -- reading ---------------------------------------------------------------------------

    def find_all(self, path: FieldPath) -> list[str]:
        """Return the structural text of every place *path* means; absent ones are left out."""
        path = self._own(path)
        if path.field is None:
            return [self.text]
        fields = self._fields or self.fields()
        if path.field >= len(fields):
            return []
        value = fields[path.field]
        if path.field <= 2 and self.name in HEADER_NAMES:
            return [value] if path.component in (None, 1) else []
        return find_in_field(value, path, self._owner.delimiters)

    def find(self, path: FieldPath) -> str | None:
        """Return the structural text at *path*, None when absent; a field with all repetitions."""
        found = self.find_all(path)
        return found[0] if found else None

    def raw_text(self, path: FieldPath) -> str:
        """Return the structural text at *path*, "" when absent."""
        return self.find(path) or ""

    def get(self, path: FieldPath) -> str:
        """Return the first value at *path* as text, escapes resolved; "" when absent or empty."""
        own = self._own(path)
        if own.quick_field:
            return self.get_quickly(own)
        found = self.find_all(own)
        return self.as_text(own, found[0]) if found else ""

    def get_quickly(self, path: Path) -> str:
        """Return what `get` would, for a path of this segment that has a quick_field."""
        number = path.quick_field
        fields = self._fields or self.fields()
        if number >= len(fields):
            return ""
        value = fields[number]
        between_repetitions, between_components, _, sign = self._owner.delimiters.cuts
        if between_repetitions in value:
            value = value.split(between_repetitions, 1)[0]
        component = path.component
        if component is not None:
            if between_components in value:
                parts = value.split(between_components, component)
                value = parts[component - 1] if component <= len(parts) else ""
            elif component > 1:
                return ""
            if path.subcomponent is not None:
                marks = self._owner.delimiters
                value = part_of(value, marks.subcomponent, path.subcomponent) or ""
        return unescape(value, self._owner.delimiters) if sign in value else value

    def get_all(self, path: FieldPath) -> list[str]:
        """Return every value at *path* as text; a plain path gives at most one."""
        path = self._own(path)
        return [self.as_text(path, value) for value in self.find_all(path)]

    def as_text(self, path: Path, value: str) -> str:
        """Return *value*, found at *path*, as text; of a field, its first repetition."""
        if path.field is not None and path.field <= 2 and self.name in HEADER_NAMES:
            return value
        marks = self._owner.delimiters
        if path.is_whole_field and marks.cuts[0] in value:
            value = value.split(marks.repetition, 1)[0]
        return unescape(value, marks)

    def matches(self, where: Where) -> bool:
        """Return whether the value *where* names is the one it asks for."""
        number, *rest = where.numbers
        path = Path("", field=number, component=rest[0] if rest else None)
        value = self.find(path)
        if value is not None and len(rest) > 1:
            value = part_of(value, self._owner.delimiters.subcomponent, rest[1])
        return value is not None and self.as_text(path, value) == where.value

    def repetition_count(self, field: int) -> int:
        """Return how many repetitions the field has; an empty field has none."""
        value = self.raw_text(field)
        return len(cut(value, self._owner.delimiters.repetition)) if value else 0

    # -- writing ---------------------------------------------------------------------------

    def set(self, path: FieldPath, text: str) -> None:
        """Write literal *text* at *path*, escaped."""
        path = self._own(path)
        number = path.field
        if number is not None and number <= 2 and self.name in HEADER_NAMES:
            self._owner.redeclare(text, separator=number == 1)
        else:
            self.write(path, escape(text, self._owner.delimiters))

    def set_hl7(
        self, path: FieldPath, hl7_text: str, delimiters: Delimiters = DEFAULT_DELIMITERS
    ) -> None:
        """Write HL7 structure (in *delimiters*) at *path*, in the message's own delimiters."""
        path = self._own(path)
        if path.field is not None and path.field <= 2 and self.name in HEADER_NAMES:
            self.set(path, hl7_text)
        else:
            own = self._owner.delimiters
            self.write(path, recode(hl7_text, level_of(path), delimiters, own))

    def put(self, path: FieldPath, value: str, *, level: int = FIELD) -> None:
        """Write structural text that came from *level* of a message with the same delimiters."""
        path = self._own(path)
        if path.field is not None and path.field <= 2 and self.name in HEADER_NAMES:
            self.set(path, value)
        else:
            self.write(path, shift(value, level, level_of(path), self._owner.delimiters))

    def write(self, path: Path, value: str) -> None:
        """Write structural text as it is at *path* of this segment, behind a header's MSH-2."""
        number = path.field
        if number is None:
            raise PathError(
                f"{self.name} is a segment, not a field",
                "name a field, as in PID-5",
                where=str(path),
            )
        fields = self._fields or self.fields()
        if number >= len(fields):
            fields.extend([""] * (number + 1 - len(fields)))
        if not path.is_whole_field:
            value = write_in_field(fields[number], path, value, self._owner.delimiters)
        fields[number] = value
        self.line = None
        self._owner.is_edited = True

    def fill(self, values: Mapping[int, str]) -> None:
        """Write several whole fields of HL7 structure."""
        for number, value in values.items():
            self.set_hl7(number, value)

    def replace_text(self, text: str) -> None:
        """Replace the whole segment by *text*, structure in the message's own delimiters."""
        self._fields = self._cut(text)
        self.line = None
        self._owner.is_edited = True

    # -- moving ----------------------------------------------------------------------------

    def belongs_to(self, owner: Owner) -> bool:
        """Return whether this is a view into *owner*."""
        return self._owner is owner

    def clone(self, owner: Owner) -> Segment:
        """Return the same segment for *owner*, a copy of this one's message."""
        fields = self._fields.copy() if self._fields is not None else None
        return Segment(owner, self.name, self.line, self.origin, fields)

    def adopt(self, owner: Owner) -> Segment:
        """Return this segment for another message, in that message's delimiters."""
        fields = _recoded(self, self._owner.delimiters, owner.delimiters)
        return Segment(owner, self.name, None, None, fields)

    def recode(self, before: Delimiters, after: Delimiters) -> None:
        """Rewrite every field from the delimiters *before* to those *after*."""
        self._fields = _recoded(self, before, after)
        self.line = None

    def _own(self, path: FieldPath) -> Path:
        own = path if isinstance(path, Path) else parse_field_path(str(path))
        if own.segment and own.segment != self.name:
            raise PathError(f"{own} is no path of a {self.name} segment", where=str(own))
        return own


def _recoded(segment: Segment, before: Delimiters, after: Delimiters) -> list[str]:
    name, *values = segment.fields()
    if segment.name in HEADER_NAMES:
        values = [recode(value, FIELD, before, after) for value in values[2:]]
        return [name, after.field, after.encoding_characters, *values]
    return [name, *(recode(value, FIELD, before, after) for value in values)]
