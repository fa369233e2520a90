"""
The segments of a message: text until somebody looks into one, then live views.

Rules of this file: as long as only first segments are asked for by their names, they are
found in the text and nothing else is cut (`_found`); then the text is cut into lines, once,
and `_names`, `_origins` and `_entries` go side by side: a line that is taken out, or has one
put in before it, is never made a segment for that.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import compress

from engine.hl7.delimiters import Delimiters, parse_delimiters
from engine.hl7.errors import Hl7Error
from engine.hl7.groups import Group, find_groups
from engine.hl7.lines import cut_lines, names_of
from engine.hl7.path import FIRST, Append, Index, Last, Path, Where, parse_path
from engine.hl7.segment import Segment

#: a segment with where it begins and ends in the text
_Found = tuple[Segment, int, int]


class SegmentTree:
    """What a message is as a list of segments; use `Message`."""

    #: as the message declares them
    delimiters: Delimiters
    #: whether what leaves differs from what came
    is_edited = False
    _text: str
    #: first segments by name, as long as no more was asked for
    _found: dict[str, _Found]
    #: the line end of the text, "" where it has several kinds; None until asked for
    _one_end: str | None = None
    #: None until the text was cut into lines
    _entries: list[str | Segment] | None = None
    _names: list[str]
    #: the number of each line in the received text, -1 of one made here
    _origins: Sequence[int]
    _line_end: str
    #: the end of each received line where they differ, else None
    _ends: list[str] | None
    #: what stands behind the last line
    _tail: str

    def _load(self) -> list[str | Segment]:
        """Cut the text into lines, once."""
        lines, self._line_end, self._ends, self._tail = cut_lines(self._text)
        self._names = names_of(lines, self.delimiters.field)
        self._origins = range(len(lines))
        entries: list[str | Segment] = [*lines]
        for segment, start, _ in self._found.values():
            at = segment.origin = self._text.count(self._line_end, 0, start)
            entries[at] = segment
        self._found = {}
        self._entries = entries
        return entries

    def first(self, name: str) -> Segment | None:
        """Return the first segment called *name*; one that is properly written goes first."""
        if self._entries is None:
            found = self._found.get(name)
            return found[0] if found is not None else self._find(name)
        proper = name + self.delimiters.field
        odd: Segment | None = None
        for at, known in enumerate(self._names):
            if known == name:
                entry = self._entries[at]
                if isinstance(entry, Segment) or entry.startswith(proper):
                    segment = self._segment(at)
                    if segment.is_proper:
                        return segment
                odd = odd or self._segment(at)
        return odd

    def _find(self, name: str) -> Segment | None:
        """Find the first segment in the text; cut the text where that does not settle it."""
        text = self._text
        separator = self.delimiters.field
        end = self._one_end
        if end is None:
            has_cr = "\r" in text
            end = self._one_end = "" if has_cr and "\n" in text else "\r" if has_cr else "\n"
        start = 0
        if name != "MSH":
            start = text.find(name)
            if start < 0 and name.lower() not in text:
                return None
            if text[start - 1] != end or text[start + 3 : start + 4] != separator:
                # First in the middle of a value, or oddly written.
                start = text.find(f"{end}{name}{separator}") + 1
        if not end or (not start and name != "MSH"):
            # Perhaps written in small letters, indented or bare, or behind mixed line ends.
            self._load()
            return self.first(name)
        stop = text.find(end, start)
        if stop < 0:
            stop = len(text)
        line = text[start:stop]
        fields = line.split(separator)
        if start == 0:
            fields.insert(1, separator)
        segment = Segment(self, name, line, 0, fields)
        self._found[name] = (segment, start, stop)
        return segment

    def _segment(self, at: int) -> Segment:
        """Return the segment at position *at*, made from its line if need be."""
        entries = self._entries or self._load()
        entry = entries[at]
        if isinstance(entry, str):
            entries[at] = entry = Segment(self, self._names[at], entry, self._origins[at])
        return entry

    def _all(self) -> list[Segment]:
        return [self._segment(at) for at in range(len(self._entries or self._load()))]

    # -- reading ---------------------------------------------------------------------------

    def segment_names(self) -> list[str]:
        """Return the name of every line, "" for one that is no segment."""
        if self._entries is None:
            self._load()
        return self._names.copy()

    def segments(self, name: str | None = None) -> list[Segment]:
        """Return live views of all segments, or of those called *name*, in their order."""
        if name is None:
            return self._all()
        if self._entries is None:
            self._load()
        return [self._segment(at) for at, found in enumerate(self._names) if found == name]

    def select(self, path: str | Path) -> list[Segment]:
        """Return the segments *path* means, in their order; none when there are none."""
        path = parse_path(path) if isinstance(path, str) else path
        selector = path.segment_selector
        if selector is FIRST:
            first = self.first(path.segment)
            return [] if first is None else [first]
        found = self.segments(path.segment)
        if isinstance(selector, Index):
            return found[selector.number - 1 : selector.number]
        if isinstance(selector, Last):
            return found[-1:]
        if isinstance(selector, Where):
            return [segment for segment in found if segment.matches(selector)][:1]
        return [] if isinstance(selector, Append) else found

    def groups(self, name: str, lead: Sequence[str] = ()) -> list[Group]:
        """Return the groups that begin at each *name*, with the *lead* segments before it."""
        return find_groups(self._all(), name, lead)

    def position_of(self, segment: Segment) -> int:
        """Return where *segment* stands, from 0."""
        return (self._entries or self._load()).index(segment)

    # -- structure -------------------------------------------------------------------------

    def insert_segment(
        self, index: int, name: str, fields: Mapping[int, str] | None = None
    ) -> Segment:
        """Return a new segment put at position *index* (MSH is 0); *fields* are HL7 structure."""
        if index < 1:
            raise Hl7Error("nothing stands before MSH", code="HL7-010", where="MSH")
        made = Segment(self, name, name, None)
        entries = self._entries or self._load()
        entries.insert(index, made)
        self._names.insert(index, name)
        self._origins = [*self._origins[:index], -1, *self._origins[index:]]
        self.is_edited = True
        if fields:
            made.fill(fields)
        return made

    def remove_segments(self, segments: Iterable[Segment]) -> None:
        """Take *segments* out; MSH stays."""
        gone = {id(segment) for segment in segments}
        entries = self._entries or self._load()
        if id(entries[0]) in gone:
            raise Hl7Error("the first segment must be MSH", code="HL7-010", where="MSH")
        self._keep([id(entry) not in gone for entry in entries])

    def keep_named(self, names: Container[str]) -> None:
        """Take out every line that is not called one of *names*, stray lines too; MSH stays."""
        if self._entries is None:
            self._load()
        self._keep([name in names for name in self._names])

    def drop_named(self, names: Container[str]) -> None:
        """Take out every segment called one of *names*; MSH stays."""
        if self._entries is None:
            self._load()
        self._keep([name not in names for name in self._names])

    def _keep(self, wanted: list[bool]) -> None:
        """Take out the lines that are not *wanted*; the first one stays."""
        wanted[0] = True
        if not all(wanted):
            self._entries = list(compress(self._entries or (), wanted))
            self._names = list(compress(self._names, wanted))
            self._origins = list(compress(self._origins, wanted))
            self.is_edited = True

    def set_segments(self, ordered: Sequence[Segment]) -> None:
        """Make *ordered* the segments of the message; those of another message are copied."""
        if not ordered or ordered[0].name != "MSH":
            raise Hl7Error("the first segment must be MSH", code="HL7-010", where="MSH")
        mine = [one if one.belongs_to(self) else one.adopt(self) for one in ordered]
        if self._entries is None:
            self._load()
        self._entries = list(mine)
        self._names = [segment.name for segment in mine]
        self._origins = [-1 if one.origin is None else one.origin for one in mine]
        self.is_edited = True

    def set_delimiters(self, delimiters: Delimiters) -> None:
        """Rewrite the whole message in other delimiters; escapes follow."""
        before = self.delimiters
        if before == delimiters:
            return
        for segment in self._all():
            segment.recode(before, delimiters)
        self.delimiters = delimiters
        self.is_edited = True

    def redeclare(self, text: str, *, separator: bool) -> None:
        """Take *text* as the new MSH-1 or MSH-2 and rewrite the message with it."""
        field = text if separator else self.delimiters.field
        encoding = self.delimiters.encoding_characters if separator else text
        self.set_delimiters(parse_delimiters(f"MSH{field}{encoding}{field}"))

    def _writable(self, path: Path) -> list[Segment]:
        """Return the segments a write to *path* goes to, made where they are missing."""
        found = self.select(path)
        selector = path.segment_selector
        if found or (path.has_all and not isinstance(selector, Index | Where | Append)):
            return found
        count = 1
        if isinstance(selector, Index):
            count = selector.number - self.segment_names().count(path.segment)
        made = [self._append(path.segment) for _ in range(count)][-1]
        if isinstance(selector, Where):
            made.set(selector.position, selector.value)
        return [made]

    def _append(self, name: str) -> Segment:
        """Return a new segment behind its namesakes, or at the end where there are none."""
        names = self.segment_names()
        last = len(names) - 1 - names[::-1].index(name) if name in names else len(names) - 1
        return self.insert_segment(last + 1, name)
