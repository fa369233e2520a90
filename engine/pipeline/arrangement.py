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

    __slots__ = ("_added", "_behind", "_gone", "_stand_ins")

    def __init__(self) -> None:
        #: a segment taken out in an earlier arrangement -> (itself, what stood before it)
        self._stand_ins: dict[int, tuple[Segment, Segment]] = {}
        #: what each segment that was put in was put behind
        self._behind: dict[int, Segment] = {}
        #: what stands right behind a segment, nearest first
        self._added: dict[int, list[Segment]] = {}
        # The segments are kept with their ids, so that no id is used twice meanwhile.
        self._gone: dict[int, Segment] = {}

    def put(self, after: Segment, segment: Segment) -> None:
        """Put *segment* right behind *after*, which may be gone already."""
        while id(after) in self._stand_ins:
            after = self._stand_ins[id(after)][1]
        self._added.setdefault(id(after), []).insert(0, segment)
        self._behind[id(segment)] = after

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

    def settle(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return `arranged`, and begin anew; what is gone can still be put behind."""
        result = self.arranged(segments)
        if self._gone:
            before = segments[0]
            kept = {id(segment) for segment in result}
            for segment in segments:
                if id(segment) in kept:
                    before = segment
                else:
                    self._stand_ins[id(segment)] = (segment, before)
            for one in self._gone.values():
                self._stand_ins.setdefault(id(one), (one, self._behind.get(id(one), before)))
        self._added, self._gone = {}, {}
        return result
