"""
Duplicates: has this message been accepted within the window, on whatever day?

The same message is: same inbound channel, MSH-3, MSH-4, non-empty MSH-10 and bytes. Only accepted
messages count, replays do not. One whose sender was told no in the end (the ack waits for a
delivery) counts while it is owed or once it is delivered after all; its answer is found anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from engine.model.errors import MedbusError
from engine.model.records import Accepted, Arrival
from engine.model.states import (
    NEGATIVE_ACKS,
    DeliveryState,
    MessageState,
    is_over_undelivered,
)
from engine.security.keyring import EVIDENCE
from engine.store.core import Core
from engine.store.duplicates import SeenFilter
from engine.store.ids import K_BITS, K_MASK, days_between
from engine.store.packing import unpack
from engine.store.sqlite import Connection
from engine.store.term_index import find_in_runs, identities
from engine.store.transaction import Transaction


class First(NamedTuple):
    """An accepted message that a later one may repeat."""

    message_id: str
    received_at: float
    content: bytes
    #: None: still in its row, sealed
    ack: bytes


class Seen:
    """What was accepted lately; writer's thread only."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._filter = SeenFilter()
        self._loaded: set[str] = set()
        #: days within reach, for (today, reach, all days)
        self._near: tuple[tuple[str, int, tuple[str, ...]], list[str]] = (("", 0, ()), [])

    def load(self, day: str) -> None:
        """Fill the filter with a day."""
        if day in self._loaded or day not in self._core.days:
            return
        self._loaded.add(day)
        tail = self._core.tail(day)
        _, fresh, _ = tail.take()
        self.add(fresh)
        with self._core.read(day) as connection:
            for joined in identities(connection):
                self._filter.add_joined(joined)

    def add(self, found: Iterable[bytes]) -> None:
        """Remember committed identities."""
        for identity in found:
            self._filter.add(identity)

    def find_first(
        self,
        arrival: Arrival,
        identity: bytes,
        content: bytes,
        fresh: Mapping[bytes, list[First]],
    ) -> tuple[First | None, bool]:
        """
        Return the message *arrival* repeats, and whether one with its id had other bytes.

        Args:
            fresh: what the running transaction has accepted so far.
        """
        found = list(fresh.get(identity, ()))
        days = self._days_within(arrival)
        if self._filter.may_hold(identity):
            for day in days:
                found += self._find_stored(day, identity)
        window = arrival.duplicate_window_s
        near = [one for one in found if abs(arrival.received_at - one.received_at) <= window]
        for one in near:
            if one.content == content:
                return self._with_ack(one), False
        return None, bool(near)

    def find_replay(self, transaction: Transaction, arrival: Arrival) -> Accepted | None:
        """Return the answer given when this operation replayed this message before."""
        for day in self._core.days[:-4:-1]:
            if day == transaction.file.day:
                answer = _find_replay(transaction.connection, day, arrival)
            else:
                with self._core.read(day) as connection:
                    answer = _find_replay(connection, day, arrival)
            if answer is not None:
                return answer
        return None

    # -- inside --------------------------------------------------------------------------------

    def _days_within(self, arrival: Arrival) -> list[str]:
        """Return the days the window touches, newest first, with their filters loaded."""
        today = arrival.message_id[:8]
        # One day more on each side: ids follow the site's day, the window follows UTC.
        reach = int(arrival.duplicate_window_s // 86_400) + 1
        asked = (today, reach, self._core.days)
        if self._near[0] != asked:
            days = [day for day in self._core.days if -1 <= days_between(day, today) <= reach]
            for day in days:
                self.load(day)
            self._near = (asked, days[::-1])
        return self._near[1]

    def _find_stored(self, day: str, identity: bytes) -> list[First]:
        numbers = set(self._core.tail(day).find_identity(identity))
        try:
            with self._core.read(day) as connection:
                numbers |= find_in_runs(connection, identity)
                rows = [
                    row[:3]
                    for n in sorted(numbers)
                    for row in connection.execute(
                        "SELECT n, received_at, content, ack_code FROM messages"
                        " WHERE n = ? AND identity = ? AND state = 'accepted'",
                        (n, identity),
                    )
                    if row[3] not in NEGATIVE_ACKS or not _is_over_undelivered(connection, n)
                ]
        except MedbusError:
            if self._core.fenced is not None:
                raise
            # A file set aside cannot say what it holds: better twice than not at all.
            return []
        return [First(f"{day}-{n}", at, content, b"") for n, at, content in rows]

    def _with_ack(self, first: First) -> First:
        """Return *first* with the positive ack it was given, read from its row if need be."""
        if first.ack:
            return first
        day, n = first.message_id[:8], int(first.message_id[9:])
        with self._core.read(day) as connection:
            row = connection.execute(
                "SELECT facts, ack_code FROM messages WHERE n = ?", (n,)
            ).fetchone()
        if row is None or row[1] in NEGATIVE_ACKS:
            return first
        sealer = self._core.keys.sealer(day, EVIDENCE)
        return first._replace(ack=unpack(sealer.open(row[0], b"v1|messages|%d|0|facts" % n))[1])


def _is_over_undelivered(connection: Connection, n: int) -> bool:
    rows = connection.execute(
        "SELECT DISTINCT state FROM deliveries WHERE id BETWEEN ? AND ?",
        (n << K_BITS, n << K_BITS | K_MASK),
    )
    return is_over_undelivered([DeliveryState(state) for (state,) in rows])


def _find_replay(connection: Connection, day: str, arrival: Arrival) -> Accepted | None:
    row = connection.execute(
        "SELECT n, seq FROM messages WHERE operation_id = ? AND replay_of = ?",
        (arrival.operation_id, arrival.replay_of),
    ).fetchone()
    if row is None:
        return None
    states = connection.execute(
        "SELECT state FROM deliveries WHERE id BETWEEN ? AND ? ORDER BY id",
        (row[0] << K_BITS, row[0] << K_BITS | K_MASK),
    )
    return Accepted(
        f"{day}-{row[0]}",
        MessageState.ACCEPTED,
        row[1],
        arrival.ack,
        delivery_states=tuple(DeliveryState(state) for (state,) in states),
    )
