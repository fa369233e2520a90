"""
The state of one output in the making: the message, where paths point, the variables.

Rules of this file: reading gives values of the language (HL7 null included); writing goes to the
element at hand, or to the message where no loop runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.hl7.delimiters import DEFAULT_DELIMITERS
from engine.hl7.message import Message
from engine.hl7.path import FIRST, All, Append, Path
from engine.hl7.segment import Segment
from engine.hl7.structure import level_of, recode, shift
from engine.model.records import LinkedNumber, Park
from engine.pipeline.arrangement import Arrangement
from engine.pipeline.context import Arrived, moment_at
from engine.pipeline.failures import StepFailed
from engine.pipeline.scope import Scope, choose_segments, in_repetition
from engine.pipeline.values import NULL, Moment, Value

if TYPE_CHECKING:
    from engine.pipeline.tables import Table

#: how often the loops of templates may turn in one run
MOST_TURNS = 100_000


class Run:
    """One message on its way through steps."""

    __slots__ = (
        "_arrangement",
        "_control_id",
        "arrived",
        "delivery_id",
        "encoded",
        "identifiers",
        "links",
        "message",
        "methods",
        "output",
        "part",
        "received",
        "route",
        "rows_used",
        "scope",
        "stop_reason",
        "tables",
        "turns",
        "variables",
        "warnings",
    )

    def __init__(
        self,
        message: Message,
        arrived: Arrived,
        tables: dict[str, Table],
        *,
        route: str = "",
        received: Message | None = None,
    ) -> None:
        self.message = message
        self.arrived = arrived
        self.tables = tables
        self.route = route
        #: the message as it was received
        self.received = received or message
        self._control_id: str | None = None
        self._arrangement = Arrangement()
        self.delivery_id = ""
        #: name of the output that an emit step makes of it, or ""
        self.output = ""
        #: number of this part after a split, else 1
        self.part = 1
        self.scope: Scope | None = None
        self.variables: dict[str, Value] = {}
        self.warnings: list[str] = []
        #: what de-identification took out, for the leak check
        self.identifiers: tuple[Any, ...] = ()
        #: records of how it was de-identified
        self.methods: tuple[Any, ...] = ()
        #: pseudonyms made, with what they stand for, where a profile wants them in the vault
        self.links: tuple[LinkedNumber, ...] = ()
        #: the final bytes, and why they must not be sent; made once for all outbound channels
        self.encoded: tuple[bytes, Park | None] | None = None
        self.turns = 0
        #: why a filter step stopped it
        self.stop_reason = ""
        #: table rows that were found (0: none was), where somebody wants to know; else None
        self.rows_used: list[tuple[str, int]] | None = None

    @property
    def received_at(self) -> Moment:
        """The arrival time in the site's zone."""
        return moment_at(self.arrived.received_at, self.arrived.timezone)

    @property
    def control_id(self) -> str:
        """MSH-10 as received."""
        if self._control_id is None:
            self._control_id = self.received.header.control_id
        return self._control_id

    def branch(self, message: Message) -> Run:
        """Return a run of its own that goes on with *message*."""
        other = Run(message, self.arrived, self.tables, route=self.route, received=self.received)
        other.part = self.part
        other.output = self.output
        other.variables = dict(self.variables)
        other.warnings = self.warnings
        other.identifiers = self.identifiers
        other.methods = self.methods
        other.links = self.links
        other.rows_used = self.rows_used
        return other

    # -- reading ---------------------------------------------------------------------------

    def read(self, path: Path) -> Value:
        """Return the text at *path*; "" when absent, NULL for HL7 null, a list for ``[*]``."""
        if path.has_all:
            return [NULL if text == '""' else text for text in self.read_all(path)]
        if self.scope is None:
            text = self.message.get(path)
        else:
            text = self._read_in_scope(path, self.scope)
        return NULL if text == '""' else text

    def read_all(self, path: Path) -> list[str]:
        """Return every text at *path*."""
        if self.scope is None:
            return self.message.get_all(path)
        narrow = self.scope.narrow(path)
        segments = choose_segments(self.scope.find_segments(path.segment), path)
        return [text for segment in segments for text in segment.get_all(narrow)]

    def read_raw(self, path: Path) -> str:
        """Return the structural text at *path*, in the default delimiters; "" when absent."""
        text = self.find(path)
        own = self.message.delimiters
        if own == DEFAULT_DELIMITERS or path.field is None or not text:
            return text
        return recode(text, level_of(path), own, DEFAULT_DELIMITERS)

    def _read_in_scope(self, path: Path, scope: Scope) -> str:
        segments = scope.find_segments(path.segment)
        if not segments:
            return ""
        chosen = choose_segments(segments, path)
        return chosen[0].get(scope.narrow(path)) if chosen else ""

    # -- writing ---------------------------------------------------------------------------

    def write_text(self, path: Path, text: str) -> None:
        """Write *text* at *path*, escaped; an empty one makes nothing that was not there."""
        if not text:
            self.clear(path)
            return
        if self.scope is None:
            self.message.set(path, text)
            return
        for segment in self._writable(path):
            segment.set(self.scope.narrow(path), text)

    def write_hl7(self, path: Path, text: str) -> None:
        """Write structure in the default delimiters at *path*; empty makes nothing."""
        if not text and path.field is not None:
            self.clear(path)
            return
        if self.scope is None:
            self.message.set_hl7(path, text)
            return
        for segment in self._writable(path):
            if path.field is None:
                segment.replace_text(text)
            else:
                segment.set_hl7(self.scope.narrow(path), text)

    def put(self, path: Path, text: str, level: int) -> None:
        """Write structure of this message, taken from *level*, at *path*."""
        if self.scope is None:
            own = self.message.delimiters
            self.message.set_hl7(path, shift(text, level, level_of(path), own), own)
            return
        for segment in self._writable(path):
            segment.put(self.scope.narrow(path), text, level=level)

    def clear(self, path: Path) -> None:
        """Empty what *path* names; what is absent stays absent."""
        if self.scope is None:
            self.message.clear(path)
            return
        narrow = self.scope.narrow(path)
        for segment in choose_segments(self.scope.find_segments(path.segment), path):
            if any(segment.find_all(narrow)):
                segment.put(narrow, "", level=level_of(path))

    def find(self, path: Path) -> str:
        """Return the structural text at *path* in the message's delimiters; "" when absent."""
        if self.scope is None:
            return self.message.raw_text(path)
        segments = choose_segments(self.scope.find_segments(path.segment), path)
        return segments[0].raw_text(self.scope.narrow(path)) if segments else ""

    def places(self, path: Path) -> list[tuple[Segment, Path]]:
        """Return each single place *path* means, as a segment and a path in it."""
        if self.scope is None:
            segments = self.message.select(path)
        else:
            segments = list(choose_segments(self.scope.find_segments(path.segment), path))
            path = self.scope.narrow(path)
        if not isinstance(path.repetition, All) or path.field is None:
            return [(segment, path) for segment in segments]
        return [
            (segment, in_repetition(path, number + 1))
            for segment in segments
            for number in range(segment.repetition_count(path.field))
        ]

    # -- structure -------------------------------------------------------------------------

    def segments(self, name: str | None = None) -> list[Segment]:
        """Return the segments at hand: the element's in a loop, else the message's."""
        everything = self.message.segments() if self.scope is None else self.scope.segments
        return [s for s in everything if name is None or s.name == name]

    def insert_after(self, after: Segment | None, name: str) -> Segment:
        """Return a new segment *name* put behind *after* (None: behind the last at hand)."""
        if self.scope is None:
            index = len(self.message.segments()) if after is None else after.index + 1
            return self.message.insert_segment(index, name)
        anchor = after or self.scope.last
        segment = Segment(self.message, name, name, None)
        self._arrangement.put(anchor, segment)
        self.scope.take_in(anchor, segment)
        return segment

    def remove(self, segments: list[Segment]) -> None:
        """Take *segments* out of the message."""
        if not segments:
            return
        if self.scope is None:
            self.message.remove_segments(segments)
            return
        self._arrangement.take_out(segments)
        self.scope.let_go(segments)

    def reorder(self, old: list[Segment], new: list[Segment]) -> None:
        """Put the segments *new* in the places of *old*, which are the same in other order."""
        if [id(s) for s in old] == [id(s) for s in new]:
            return
        self.arrange()
        places = {id(before): after for before, after in zip(old, new, strict=True)}
        self.message.set_segments([places.get(id(s), s) for s in self.message.segments()])
        scope = self.scope
        while scope is not None:
            scope.segments[:] = [places.get(id(s), s) for s in scope.segments]
            scope = scope.parent

    def arrange(self) -> None:
        """Do to the message what a loop has put in and taken out."""
        if self._arrangement.changes():
            self.message.set_segments(self._arrangement.settle(self.message.segments()))

    def snapshot(self) -> Message:
        """Return a copy of the message as it would leave now."""
        copied = self.message.copy()
        if self._arrangement.changes():
            arranged = self._arrangement.arranged(self.message.segments())
            copied.set_segments([segment.clone(copied) for segment in arranged])
        return copied

    def _writable(self, path: Path) -> list[Segment]:
        """Return where to write; a segment that is missing is made."""
        selector = path.segment_selector
        found = (
            self.segments(path.segment)
            if self.scope is None
            else self.scope.find_segments(path.segment)
        )
        if not isinstance(selector, Append):
            chosen = list(choose_segments(found, path))
            if chosen or isinstance(selector, All):
                return chosen
            if selector != FIRST:
                raise StepFailed(f"there is no {path.segment}{selector} to write to", str(path))
        return [self.insert_after(None, path.segment)]

    def note_row(self, table: Table, row: tuple[str, ...] | None) -> None:
        """Remember which row of a table was used, None for a miss, where coverage is wanted."""
        if self.rows_used is not None:
            self.rows_used.append((table.name, 0 if row is None else table.line_of(row)))

    def turn(self) -> None:
        """Count one turn of a template's loop; raises StepFailed when there are too many."""
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise StepFailed(f"the template's loops turned more than {MOST_TURNS:,} times")
