"""
One transaction on one day: what is written, and what it means for the memory.

Rules of this file: nothing here acts; Core runs what was noted, after the commit or to undo it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from engine.model.states import DeliveryState
from engine.store.day_files import DayFile
from engine.store.ledger import Tally


class Transaction:
    """One transaction on one day, and what it means for the memory."""

    def __init__(self, file: DayFile, seq: int) -> None:
        self.file = file
        self.connection = file.connection
        self.tally = Tally()
        #: newest seq once this is committed
        self.seq = seq
        self.depths: Counter[tuple[str, str, DeliveryState]] = Counter()
        #: run after the commit, in order
        self.after: list[Callable[[], None]] = []
        #: run if it is rolled back, newest first
        self.undo: list[Callable[[], None]] = []
        #: outbound channels that get something to send before the cursors of their lanes
        self.ready: set[str] = set()
        #: bytes of bodies written
        self.size_bytes = 0

    def move(
        self,
        outbound: str,
        before: DeliveryState | None,
        after: DeliveryState | None,
        count: int = 1,
    ) -> None:
        """Count deliveries that appear, change state, or go to another channel."""
        if before is not None:
            self.depths[outbound, self.file.day, before] -= count
        if after is not None:
            self.depths[outbound, self.file.day, after] += count
