"""
Groups of segments as the standard sees them: where the last one ends.

Rules of this file: the structure is asked only where the last group holds what no other group does;
segments that the structure does not name stay where they are found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from engine.hl7.definitions import definitions, led_by, names_in, repeats_with
from engine.hl7.header import Header
from engine.hl7.message import Message
from engine.hl7.segment import Segment
from engine.pipeline.scope import NOTES, group_segments


def whole_groups(
    message: Message, segments: Sequence[Segment], name: str, lead: Sequence[str] = ()
) -> list[list[Segment]]:
    """
    Return the groups that *name* begins among *segments* of *message*.

    The last one ends where a segment comes that the message's structure puts outside such a group
    (the PV1 behind the last NK1), unless another group has one as well.
    """
    groups = group_segments(segments, name, lead)
    if not groups:
        return groups
    *others, last = groups
    own = {segment.name for group in others for segment in group} | NOTES | {name, *lead}
    if any(segment.name not in own for segment in last):
        outside = _kind_of(message.header, name, tuple(lead))[1] - own
        end = next((at for at, s in enumerate(last) if s.name in outside), len(last))
        groups[-1] = last[:end]
    return groups


def followers(header: Header, name: str) -> frozenset[str]:
    """Return the segments that may belong to a group of *name*; empty where nothing is known."""
    return _kind_of(header, name, ())[0]


def _kind_of(header: Header, name: str, lead: Iterable[str]) -> tuple[frozenset[str], ...]:
    kind = (header.message_code, header.trigger, header.structure)
    return _inside_and_outside(kind, header.version, (name, *lead))


@lru_cache(maxsize=1024)
def _inside_and_outside(
    kind: tuple[str, str, str], version: str, names: tuple[str, ...]
) -> tuple[frozenset[str], ...]:
    structure = definitions(version).structure_for(*kind)
    if structure is None:
        return frozenset(), frozenset()
    inside = frozenset[str]().union(
        *(led_by(structure, name) | repeats_with(structure, name) for name in names)
    )
    everything = names_in(structure)
    # A segment that the structure does not have at all has no place in it to look at.
    return inside, everything - inside if names[0] in everything else frozenset()
