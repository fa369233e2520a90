"""The reading side of the store in memory."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from engine.model.errors import NotFound
from engine.model.records import (
    StoredDelivery,
    StoredMessage,
)
from engine.model.states import (
    FINAL_STATES,
    DeliveryState,
    MessageState,
)
from engine.store.ids import parse_delivery_id, parse_message_id
from engine.store.ledger import LIVE, REPLAY, CounterKey, Tally, rows_of
from engine.store.memory_control import MemoryControl
from engine.store.memory_rows import Delivery, Message, matches_delivery, matches_message
from engine.store.records import (
    Counts,
    InboundCounts,
    LedgerDifference,
    LedgerRow,
    MessageFilter,
    OutboundCounts,
    Page,
    StoreAlarm,
    StoredAttempt,
    StoreFacts,
)

_PENDING, _HELD, _PARKED = DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.PARKED


class MemoryReads(MemoryControl):
    """What is kept, and the questions about it."""

    def __init__(self) -> None:
        super().__init__()
        self._messages: dict[str, Message] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._loss_days: dict[str, Counter[CounterKey]] = {}
        self._seq = 0
        self._known: frozenset[str] | None = None

    def _owed(self, outbound: str) -> list[Delivery]:
        return sorted(
            (
                one
                for one in self._deliveries.values()
                if one.outbound == outbound and one.state not in FINAL_STATES
            ),
            key=lambda one: one.at,
        )

    def _halts(self, outbound: str) -> list[Delivery]:
        return [
            one
            for one in self._owed(outbound)
            if one.state is _PARKED and one.on_park == "halt" and not one.released
        ]

    def next_number(self, day: str) -> int:
        """See the interface."""
        with self._lock:
            used = [int(one[9:]) for one in self._messages if one.startswith(day)]
        return max(used, default=0) + 1

    def find_messages(
        self, where: MessageFilter, *, limit: int = 50, cursor: str = ""
    ) -> Page[StoredMessage]:
        """See the interface."""
        before = int(cursor) if cursor else 1 << 62
        with self._lock:
            found = [
                self._stored(message)
                for message in sorted(self._messages.values(), key=_newest_first)
                if message.seq < before
                and matches_message(where, message, self._of_message(message.arrival.message_id))
            ][:limit]
        return Page(tuple(found), str(found[-1].seq) if len(found) == limit else "")

    def find_deliveries(
        self, where: MessageFilter, *, limit: int = 1000, cursor: str = ""
    ) -> Page[StoredDelivery]:
        """See the interface."""
        after = parse_delivery_id(cursor) if cursor else ("", 0)
        with self._lock:
            found = [
                one.stored(self._is_orphaned(one.outbound))
                for key, one in sorted(
                    (parse_delivery_id(identity), one) for identity, one in self._deliveries.items()
                )
                if key > after and matches_delivery(where, one)
            ][:limit]
        return Page(tuple(found), found[-1].delivery_id if len(found) == limit else "")

    def get_message(self, message_id: str) -> StoredMessage:
        """See the interface."""
        with self._lock:
            return self._stored(self._message(message_id))

    def get_delivery(self, delivery_id: str) -> StoredDelivery:
        """See the interface."""
        with self._lock:
            one = self._delivery(delivery_id)
            return one.stored(self._is_orphaned(one.outbound))

    def get_body(self, message_id: str) -> bytes:
        """See the interface."""
        message = self._message(message_id)
        return self._message(message.duplicate_of or message_id).arrival.body

    def get_output(self, delivery_id: str) -> bytes:
        """See the interface."""
        body = self._delivery(delivery_id).new.body
        if body is None:
            raise NotFound(f"{delivery_id} has no output: a step failed")
        return body

    def get_ack(self, message_id: str) -> bytes:
        """See the interface."""
        return self._message(message_id).ack

    def get_attempts(self, delivery_id: str) -> tuple[StoredAttempt, ...]:
        """See the interface."""
        return tuple(self._delivery(delivery_id).attempts)

    def find_replays(self, message_id: str) -> tuple[str, ...]:
        """See the interface."""
        with self._lock:
            return tuple(
                one.arrival.message_id
                for one in self._messages.values()
                if one.arrival.replay_of == message_id
            )

    def counts(self) -> Counts:
        """See the interface."""
        with self._lock:
            names = {
                one.outbound for one in self._deliveries.values() if one.state not in FINAL_STATES
            } | (self._known or frozenset())
            return Counts(
                {name: self._outbound_counts(name) for name in sorted(names)},
                self._inbound_counts(),
                self._seq,
            )

    def _outbound_counts(self, name: str) -> OutboundCounts:
        owed = self._owed(name)
        states = Counter(one.state for one in owed)
        waiting = [one.message.arrival.received_at for one in owed if one.state is not _PARKED]
        return OutboundCounts(
            states[_PENDING],
            states[_HELD],
            states[_PARKED],
            min(waiting, default=0.0),
            tuple(one.delivery_id for one in self._halts(name)),
            self._is_orphaned(name),
            any(one.holding for one in owed),
        )

    def _inbound_counts(self) -> dict[str, InboundCounts]:
        counts: dict[str, InboundCounts] = {}
        for message in self._messages.values():
            if message.arrival.replay_of:
                continue
            before = counts.get(message.arrival.inbound, InboundCounts())
            counts[message.arrival.inbound] = InboundCounts(
                before.accepted + (message.state is MessageState.ACCEPTED),
                before.rejected + (message.state is MessageState.REJECTED),
                before.duplicate + (message.state is MessageState.DUPLICATE),
                max(before.last_at, message.arrival.received_at),
            )
        return counts

    def ledger_days(self) -> tuple[str, ...]:
        """See the interface."""
        with self._lock:
            return tuple(sorted({one[:8] for one in self._messages} | set(self._loss_days)))

    def ledger(self, day: str) -> tuple[LedgerRow, ...]:
        """See the interface; counted anew each time."""
        with self._lock:
            tally = Tally()
            for identity, message in self._messages.items():
                if identity.startswith(day):
                    tally.add_arrival(
                        replace(message.arrival, routes=())
                        if message.state is not MessageState.ACCEPTED
                        else message.arrival,
                        message.state,
                    )
            for identity, one in self._deliveries.items():
                if identity.startswith(day):
                    flow = REPLAY if one.message.arrival.replay_of else LIVE
                    tally.add_delivery(one.message.arrival.inbound, flow, one.state)
            tally.counts.update(self._loss_days.get(day, Counter()))
            return rows_of(day, tally.counts)

    def check_ledger(self, day: str) -> tuple[LedgerDifference, ...]:
        """See the interface."""
        return tuple(
            LedgerDifference(day, row.inbound, row.flow, what)
            for row in self.ledger(day)
            for what in row.differences()
        )

    def alarms(self) -> tuple[StoreAlarm, ...]:
        """See the interface."""
        return ()

    def facts(self) -> StoreFacts:
        """See the interface."""
        size = sum(len(one.arrival.body) for one in self._messages.values())
        return StoreFacts("memory", False, self.ledger_days(), size)

    def _message(self, message_id: str) -> Message:
        parse_message_id(message_id)
        message = self._messages.get(message_id)
        if message is None:
            raise NotFound(f"there is no message {message_id}")
        return message

    def _delivery(self, delivery_id: str) -> Delivery:
        parse_delivery_id(delivery_id)
        delivery = self._deliveries.get(delivery_id)
        if delivery is None:
            raise NotFound(f"there is no delivery {delivery_id}")
        return delivery

    def _of_message(self, message_id: str) -> list[Delivery]:
        return sorted(
            (
                one
                for one in self._deliveries.values()
                if one.message.arrival.message_id == message_id
            ),
            key=lambda one: one.number,
        )

    def _stored(self, message: Message) -> StoredMessage:
        return message.stored(
            tuple(
                one.stored(self._is_orphaned(one.outbound))
                for one in self._of_message(message.arrival.message_id)
            )
        )

    def _is_orphaned(self, outbound: str) -> bool:
        return self._known is not None and outbound not in self._known


def _newest_first(message: Message) -> tuple[int, int]:
    day, _ = parse_message_id(message.arrival.message_id)
    return (-int(day), -message.seq)
