"""
The store in memory: the same promises without a disk, for tests and simulations.

It is written from the definitions, not from the SQLite store: who is held is worked out by walking
a channel's deliveries in order, the ledger is counted when asked. So the two check each other.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from engine.model.errors import Conflict, QueueChanged
from engine.model.records import DueDelivery
from engine.model.states import DeliveryState
from engine.store.holding import lanes_of
from engine.store.memory_operating import MemoryOperating
from engine.store.memory_rows import Delivery
from engine.store.operation_records import Operation
from engine.store.records import PruneReport, Retention
from engine.store.slices import run_to_end
from engine.store.tokens import OpenLane

_PENDING = DeliveryState.PENDING


class MemoryStore(MemoryOperating):
    """
    Keeps everything in this process.

    Args:
        now: wall clock for settlements without an attempt.
    """

    def __init__(self, *, now: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(now)
        self._wake: Callable[[], None] = lambda: None

    # -- other writes --------------------------------------------------------------------------

    def step(self) -> bool:
        """See the interface: nothing ever waits."""
        return False

    def set_wake(self, wake: Callable[[], None]) -> None:
        """See the interface."""
        self._wake = wake

    def tell_ready(self, tell: Callable[[frozenset[str]], None]) -> None:
        """See the interface."""
        with self._lock:
            if self._ready:
                tell(frozenset(self._ready))
                self._ready.clear()

    def set_known_outbounds(self, names: Iterable[str]) -> None:
        """See the interface."""
        self._known = frozenset(names)

    def prune(
        self,
        retention: Retention,
        *,
        now: float,
        dry_run: bool = False,
        clock_is_right: bool = False,
    ) -> PruneReport:
        """Nothing is removed from memory."""
        return run_to_end(
            self.prune_steps(retention, now=now, dry_run=dry_run, clock_is_right=clock_is_right)
        )

    def prune_steps(
        self,
        retention: Retention,
        *,
        now: float,
        dry_run: bool = False,
        clock_is_right: bool = False,
    ) -> Generator[None, None, PruneReport]:
        """Nothing is removed from memory."""
        yield
        return PruneReport()

    def close(self, *, cut_off: bool = False) -> None:
        """See the interface."""

    # -- lanes ---------------------------------------------------------------------------------

    def lane_open(self, outbound: str, lane: int, lanes: int) -> int:
        """See the interface."""
        return self._tokens.open(outbound, lane, lanes)

    def next(self, token: int, n: int, after: DueDelivery | None = None) -> list[DueDelivery]:
        """See the interface."""
        with self._lock:
            lane = self._tokens.get(token)
            if after is not None and lane.outbound in self._ready:
                raise QueueChanged
            start = (after.seq, after.place) if after is not None else (0, 0)
            halted = min((one.at for one in self._halts_of(lane)), default=None)
            found = [
                one.due()
                for one in self._owed(lane.outbound)
                if one.state is _PENDING
                and one.at > start
                and (halted is None or one.at < halted)
                and lane.lane in lanes_of(one.keys, lane.lanes)
            ]
            return found[:n]

    def is_halted(self, token: int) -> bool:
        """See the interface."""
        with self._lock:
            return bool(self._halts_of(self._tokens.get(token)))

    def _halts_of(self, lane: OpenLane) -> list[Delivery]:
        halts = self._halts(lane.outbound)
        return [one for one in halts if lane.lane in lanes_of(one.keys, lane.lanes)]

    def unfinished(self) -> tuple[Operation, ...]:
        """See the interface."""
        return tuple(operation for operation, done in self._operations.values() if not done)

    def backup(
        self,
        folder: Path,
        *,
        with_master: bool = False,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """There is nothing that a new store could be opened on."""
        raise Conflict("a store in memory cannot be backed up")
