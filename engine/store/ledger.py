"""
The ledger: counters kept with every commit, and recounted from the rows to prove them.

Three equations hold per inbound channel, day and flow (live or replay); see LedgerRow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from engine.model.records import Arrival, NewDelivery
from engine.model.states import DeliveryState, MessageState, RouteOutcome
from engine.store.many_rows import ManyRows
from engine.store.packing import parse_routes
from engine.store.records import LedgerDifference, LedgerRow
from engine.store.sqlite import Connection

LIVE, REPLAY = "live", "replay"
#: (inbound, flow, counter)
CounterKey: TypeAlias = tuple[str, str, str]

_ROUTE_COUNTERS = {
    RouteOutcome.QUEUED: "queued",
    RouteOutcome.FILTERED: "filtered",
    RouteOutcome.PARKED: "parked_at_step",
}
_STATE_PREFIX = "delivery."
STATE_COUNTERS = {state: _STATE_PREFIX + state.value for state in DeliveryState}

_UPSERT = ManyRows(
    "INSERT INTO ledger (inbound, flow, counter, value)",
    4,
    "ON CONFLICT (inbound, flow, counter) DO UPDATE SET value = value + excluded.value",
)


class Tally:
    """What one transaction adds to the ledger."""

    def __init__(self) -> None:
        self.counts: Counter[CounterKey] = Counter()

    def add_arrival(self, arrival: Arrival, state: MessageState) -> str:
        """Count a message that is stored as *state*; return its flow."""
        counts, inbound = self.counts, arrival.inbound
        flow = REPLAY if arrival.replay_of else LIVE
        counts[inbound, flow, "stored"] += 1
        counts[inbound, flow, state.value] += 1
        if state is MessageState.ACCEPTED and arrival.routes:
            counts[inbound, flow, "route_results"] += len(arrival.routes)
            for result in arrival.routes:
                counts[inbound, flow, _ROUTE_COUNTERS[result.outcome]] += 1
        return flow

    def add_delivery(self, inbound: str, flow: str, state: DeliveryState) -> None:
        """Count a new delivery."""
        self.counts[inbound, flow, "created"] += 1
        self.counts[inbound, flow, STATE_COUNTERS[state]] += 1

    def move(
        self,
        inbound: str,
        flow: str,
        before: DeliveryState,
        after: DeliveryState,
        count: int = 1,
    ) -> None:
        """Count deliveries that change their state."""
        if before is not after:
            self.counts[inbound, flow, STATE_COUNTERS[before]] -= count
            self.counts[inbound, flow, STATE_COUNTERS[after]] += count

    def write(self, connection: Connection) -> None:
        """Add everything to the kept counters, in the caller's transaction."""
        rows = [(*key, value) for key, value in self.counts.items() if value]
        if rows:
            _UPSERT.write(connection, rows)


def created(arrival: Arrival, delivery: NewDelivery, held: bool) -> DeliveryState:
    """Return the state a new delivery of *arrival* starts in."""
    if delivery.park is not None:
        return DeliveryState.PARKED
    return DeliveryState.HELD if held else DeliveryState.PENDING


def read_counters(connection: Connection) -> dict[CounterKey, int]:
    """Return the kept counters of a day."""
    return {
        (inbound, flow, counter): value
        for inbound, flow, counter, value in connection.execute(
            "SELECT inbound, flow, counter, value FROM ledger"
        )
    }


def recount(connection: Connection) -> dict[CounterKey, int]:
    """Return what the rows of a day say, for the counters that rows can tell."""
    counts: Counter[CounterKey] = Counter()
    flow_of = f"CASE replay_of WHEN '' THEN '{LIVE}' ELSE '{REPLAY}' END"
    for inbound, flow, state, routes, number in connection.execute(
        f"SELECT inbound, {flow_of}, state, routes, count(*) FROM messages GROUP BY 1, 2, 3, 4"  # noqa: S608
    ):
        counts[inbound, flow, "stored"] += number
        counts[inbound, flow, state] += number
        for result in parse_routes(routes) if state == MessageState.ACCEPTED else ():
            counts[inbound, flow, "route_results"] += number
            counts[inbound, flow, _ROUTE_COUNTERS[result.outcome]] += number
    for inbound, flow, state, number in connection.execute(
        "SELECT inbound, flow, state, count(*) FROM deliveries GROUP BY 1, 2, 3"
    ):
        counts[inbound, flow, "created"] += number
        counts[inbound, flow, _STATE_PREFIX + state] += number
    return dict(counts)


def rows_of(day: str, counters: Mapping[CounterKey, int]) -> tuple[LedgerRow, ...]:
    """Return counters as ledger rows, ordered by inbound channel."""
    grouped: dict[tuple[str, str], dict[str, int]] = {}
    for (inbound, flow, counter), value in counters.items():
        grouped.setdefault((inbound, flow), {})[counter] = value
    return tuple(
        LedgerRow(
            day,
            inbound,
            flow,
            deliveries={
                state.value: values.get(STATE_COUNTERS[state], 0) for state in DeliveryState
            },
            **{name: value for name, value in values.items() if not name.startswith(_STATE_PREFIX)},
        )
        for (inbound, flow), values in sorted(grouped.items())
    )


def find_differences(
    day: str, kept: Mapping[CounterKey, int], counted: Mapping[CounterKey, int]
) -> Iterable[LedgerDifference]:
    """Compare kept counters with counted ones, then test the equations on the kept ones."""
    not_in_rows = {"discarded_bytes", "refused_frames"}
    for key in sorted({*kept, *counted}):
        inbound, flow, counter = key
        if counter in not_in_rows:
            continue
        if kept.get(key, 0) != counted.get(key, 0):
            what = f"{counter}: {kept.get(key, 0)} kept, {counted.get(key, 0)} counted"
            yield LedgerDifference(day, inbound, flow, what)
    for row in rows_of(day, kept):
        for what in row.differences():
            yield LedgerDifference(day, row.inbound, row.flow, what)
