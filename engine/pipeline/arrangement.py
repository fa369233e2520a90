"""
What a loop puts in and takes out, kept until the loop is over and then done at once.

Rules of this file: the result is the same as doing each thing at its time; only the cost is not, so
that a message with thousands of segments does not take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.hl7.segment import Segment


class Arrangement:
    """Segments to put in and to take out."""

    __slots__ = ("_added", "_gone")

    def __init__(self) -> None:
        #: what stands right behind a segment, nearest first
        self._added: dict[int, list[Segment]] = {}
        # The segments are kept with their ids, so that no id is used twice meanwhile.
        self._gone: dict[int, Segment] = {}

    def put(self, after: Segment, segment: Segment) -> None:
        """Put *segment* right behind *after*, which may be gone already."""
        self._added.setdefault(id(after), []).insert(0, segment)

    def take_out(self, segments: Sequence[Segment]) -> None:
        """Take *segments* out."""
        self._gone.update({id(segment): segment for segment in segments})

    def changes(self) -> bool:
        """Return whether there is anything to do."""
        return bool(self._added or self._gone)

    def arranged(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return *segments* with everything put in and taken out."""
        result: list[Segment] = []
        waiting = list(reversed(segments))
        while waiting:
            segment = waiting.pop()
            if id(segment) not in self._gone:
                result.append(segment)
            waiting.extend(reversed(self._added.get(id(segment), ())))
        return result
