"""Groups of segments as the analyst means them: a segment, what leads it, what follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.hl7.segment import Segment

#: a new one of these ends a group: what follows belongs to another patient or message
_ENDS = frozenset({"MSH", "PID", "FHS", "BHS", "BTS", "FTS", "DSC"})


@dataclass(frozen=True, slots=True)
class Group:
    """Live segments of one group, in message order; the lead segments come first."""

    #: the segment the group is named after
    head: Segment
    segments: tuple[Segment, ...]


def find_groups(segments: Sequence[Segment], name: str, lead: Sequence[str] = ()) -> list[Group]:
    """
    Return one group per segment called *name*.

    A group is the *lead* segments directly before it, the segment, and all that follows up
    to the next group, or to the next patient.
    """
    heads = [at for at, segment in enumerate(segments) if segment.name == name]
    starts: list[int] = []
    floor = 0
    for head in heads:
        start = head
        while start > floor and segments[start - 1].name in lead:
            start -= 1
        starts.append(start)
        floor = head + 1
    bounds = [*starts[1:], len(segments)] if starts else []
    return [
        Group(segments[head], tuple(segments[start : _end(segments, head, bound)]))
        for head, start, bound in zip(heads, starts, bounds, strict=True)
    ]


def _end(segments: Sequence[Segment], head: int, bound: int) -> int:
    for at in range(head + 1, bound):
        if segments[at].name in _ENDS:
            return at
    return bound
