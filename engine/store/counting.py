"""What each channel owes and has taken, told at a glance, and the ledger of each day."""

from __future__ import annotations

from engine.model.records import Arrival
from engine.model.states import DeliveryState, MessageState
from engine.store.core import Core
from engine.store.ledger import LIVE, find_differences, read_counters, recount, rows_of
from engine.store.records import (
    Counts,
    InboundCounts,
    LedgerDifference,
    LedgerRow,
    OutboundCounts,
)
from engine.store.search import Search

#: stands for the channels of a day whose file is not there; no channel can have this name
_EVERY = "every channel"
_OLDEST = """
SELECT received_at FROM messages WHERE n = (
    SELECT id >> 16 FROM deliveries WHERE state = '{state}' AND outbound = ?
    ORDER BY seq, place LIMIT 1)"""


class Counting:
    """Counts; any thread but for ``add``, which is the writer's."""

    def __init__(self, core: Core, search: Search) -> None:
        self._core = core
        self._search = search
        self._inbounds: dict[str, InboundCounts] = {}
        self._load_inbounds()

    def add(self, arrival: Arrival, state: MessageState) -> None:
        """Count an arrival that was stored as *state*."""
        before = self._inbounds.get(arrival.inbound, InboundCounts())
        self._inbounds[arrival.inbound] = InboundCounts(
            before.accepted + (state is MessageState.ACCEPTED),
            before.rejected + (state is MessageState.REJECTED),
            before.duplicate + (state is MessageState.DUPLICATE),
            max(before.last_at, arrival.received_at),
        )

    def counts(self) -> Counts:
        """See the interface."""
        core = self._core
        names = core.depths.outbounds() | (self._search.known_outbounds or frozenset())
        return Counts(
            {name: self._outbound_counts(name) for name in sorted(names)},
            dict(self._inbounds),
            core.seq,
        )

    def ledger_days(self) -> tuple[str, ...]:
        """See the interface."""
        return tuple(sorted({*self._core.days, *self._core.absent}))

    def ledger(self, day: str) -> tuple[LedgerRow, ...]:
        """See the interface."""
        if day in self._core.absent:
            return (LedgerRow(day, _EVERY, LIVE),)
        if day not in self._core.days:
            return ()
        with self._core.read(day) as connection:
            return rows_of(day, read_counters(connection))

    def check_ledger(self, day: str) -> tuple[LedgerDifference, ...]:
        """See the interface."""
        if day in self._core.absent:
            what = f"{self._core.absent[day].what}: nothing in it is counted"
            return (LedgerDifference(day, _EVERY, LIVE, what),)
        if day not in self._core.days:
            return ()
        with self._core.read(day) as connection:
            connection.execute("BEGIN")
            try:
                kept, counted = read_counters(connection), recount(connection)
            finally:
                connection.execute("COMMIT")
        return tuple(find_differences(day, kept, counted))

    # -- inside --------------------------------------------------------------------------------

    def _outbound_counts(self, name: str) -> OutboundCounts:
        depths = self._core.depths
        return OutboundCounts(
            depths.total(name, DeliveryState.PENDING),
            depths.total(name, DeliveryState.HELD),
            depths.total(name, DeliveryState.PARKED),
            self._oldest_at(name),
            self._core.holding.halts(name),
            self._search.is_orphaned(name),
            self._core.holding.holds(name),
        )

    def _oldest_at(self, outbound: str) -> float:
        found = []
        for state in (DeliveryState.PENDING, DeliveryState.HELD):
            for day in self._core.depths.days(outbound, state)[:1]:
                with self._core.read(day) as connection:
                    row = connection.execute(
                        _OLDEST.format(state=state.value), (outbound,)
                    ).fetchone()
                found += [row[0]] if row else []
        return min(found, default=0.0)

    def _load_inbounds(self) -> None:
        for day in self._core.days[-2:]:
            with self._core.read(day) as connection:
                rows = connection.execute("SELECT inbound, last_at FROM inbounds").fetchall()
            for inbound, last_at in rows:
                before = self._inbounds.get(inbound, InboundCounts())
                self._inbounds[inbound] = InboundCounts(last_at=max(last_at, before.last_at))
