"""
What a path means inside `each`: the element at hand first, then what encloses it, then the header.

Rules of this file: the header of a loop is what stands before its first element. A segment that is
in the header and comes again further on (an OBR before each set of OBX) means the nearest one
before the element; notes (NTE) belong to what they follow and are never looked for outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from engine.hl7.path import FIRST, All, First, Index, Last, Path, Where
from engine.hl7.segment import Segment

#: may follow any segment, so it neither begins nor ends anything
NOTES = frozenset({"NTE"})


class Loop:
    """What the elements of one loop share: the segments around them as they were at its start."""

    __slots__ = ("_around", "_header", "_positions", "_repeated")

    def __init__(self, around: Sequence[Segment], first: Segment) -> None:
        self._around = around
        self._positions = {id(segment): at for at, segment in enumerate(around)}
        self._header: dict[str, list[Segment]] = {}
        begin = self._positions.get(id(first), 0)
        for segment in around[:begin]:
            self._header.setdefault(segment.name, []).append(segment)
        later = {segment.name for segment in around[begin:]}
        self._repeated = later & self._header.keys()

    def find_outside(self, name: str, element: Segment) -> list[Segment]:
        """Return the segments *name* of the header, or the nearest one before *element*."""
        if name in NOTES or name not in self._header:
            return []
        if name in self._repeated:
            for at in range(self._positions.get(id(element), 0) - 1, -1, -1):
                if self._around[at].name == name:
                    return [self._around[at]]
        return self._header[name]


class Scope:
    """One element of a loop: its segments, or one repetition of a field."""

    __slots__ = (
        "_loop",
        "_start",
        "field",
        "name",
        "number",
        "parent",
        "repetition",
        "segments",
    )

    def __init__(
        self,
        name: str,
        segments: list[Segment],
        loop: Loop,
        parent: Scope | None,
        *,
        field: int = 0,
        repetition: int = 0,
    ) -> None:
        #: the segment that the loop is about
        self.name = name
        #: the element's segments as they are now, in order
        self.segments = segments
        self.parent = parent
        #: the looped field and the repetition at hand; 0 where whole segments are looped
        self.field = field
        self.repetition = repetition
        #: which element of the loop this is, from 1
        self.number = 0
        self._loop = loop
        self._start = segments[0]

    @property
    def label(self) -> str:
        """What a trace calls the element: ``OBR[2] OBX[1]``, ``PID-3[2]``."""
        own = f"{self.name}-{self.field}" if self.field else self.name
        outer = f"{self.parent.label} " if self.parent is not None else ""
        return f"{outer}{own}[{self.number}]"

    @property
    def last(self) -> Segment:
        """The element's last segment, or its first where all were taken out."""
        return self.segments[-1] if self.segments else self._start

    def find_segments(self, name: str) -> list[Segment]:
        """Return the segments that *name* means here; empty where there is none."""
        found = [segment for segment in self.segments if segment.name == name]
        if found or name in NOTES:
            return found
        if self.parent is None:
            return self._loop.find_outside(name, self._start)
        if any(segment.name == name for segment in self.parent.segments):
            return self._loop.find_outside(name, self._start)
        return self.parent.find_segments(name)

    def narrow(self, path: Path) -> Path:
        """Return *path* with the repetition at hand, where it means the looped field."""
        if self.repetition and path.segment == self.name and path.field == self.field:
            return in_repetition(path, self.repetition) if path.repetition == FIRST else path
        return self.parent.narrow(path) if self.parent is not None else path

    def take_in(self, after: Segment, segment: Segment) -> None:
        """Note that *segment* was put behind *after*, here and in what encloses this."""
        scope: Scope | None = self
        while scope is not None:
            at = next((at for at, s in enumerate(scope.segments, 1) if s is after), None)
            if at is None and not scope.segments:
                at = 0
            if at is not None:
                scope.segments.insert(at, segment)
            scope = scope.parent

    def let_go(self, gone: Iterable[Segment]) -> None:
        """Note that the segments *gone* were removed."""
        names = {id(segment) for segment in gone}
        scope: Scope | None = self
        while scope is not None:
            scope.segments[:] = [s for s in scope.segments if id(s) not in names]
            scope = scope.parent


def choose_segments(segments: Sequence[Segment], path: Path) -> Sequence[Segment]:
    """Return those of *segments* that the path's segment selector means."""
    selector = path.segment_selector
    if isinstance(selector, First):
        return segments[:1]
    if isinstance(selector, Index):
        return segments[selector.number - 1 : selector.number]
    if isinstance(selector, Last):
        return segments[-1:]
    if isinstance(selector, All):
        return segments
    if isinstance(selector, Where):
        return next(([s] for s in segments if s.matches(selector)), [])
    return []


def group_segments(
    segments: Sequence[Segment], name: str, lead: Iterable[str] = ()
) -> list[list[Segment]]:
    """
    Return the groups that *name* begins, the *lead* segments directly before it included.

    A group ends where the next begins, or where a segment comes that stood before the first
    group (the next OBR ends the last group of OBX).
    """
    leads = frozenset(lead)
    starts = [position for position, s in enumerate(segments) if s.name == name]
    begins = [_back_over(segments, start, leads) for start in starts]
    if not begins:
        return []
    outer = {s.name for s in segments[: begins[0]]} - NOTES - {name}
    groups = []
    for number, begin in enumerate(begins):
        limit = begins[number + 1] if number + 1 < len(begins) else len(segments)
        end = starts[number] + 1
        while end < limit and segments[end].name not in outer:
            end += 1
        groups.append(list(segments[begin:end]))
    return groups


def _back_over(segments: Sequence[Segment], start: int, leads: frozenset[str]) -> int:
    while start > 0 and segments[start - 1].name in leads:
        start -= 1
    return start


@lru_cache(maxsize=4096)
def in_repetition(path: Path, number: int) -> Path:
    """Return *path* with repetition *number*."""
    return replace(path, repetition=Index(number))
