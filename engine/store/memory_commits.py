"""Works into the store in memory: arrivals, settlements, and who is held behind whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from engine.model.errors import Conflict, Fenced, MedbusError, NotFound, StoreFull
from engine.model.message_warnings import SAME_ID_OTHER_BYTES
from engine.model.records import (
    Accepted,
    Arrival,
    Attempt,
    NewDelivery,
    Settlement,
)
from engine.model.states import (
    FINAL_STATES,
    NEGATIVE_ACKS,
    TAKEN_OUT,
    AttemptOutcome,
    DeliveryState,
    MessageState,
    is_allowed,
    is_over_undelivered,
)
from engine.store.ids import K_BITS, parse_message_id
from engine.store.ledger import LIVE
from engine.store.memory_reads import MemoryReads
from engine.store.memory_rows import Delivery, Message
from engine.store.records import (
    AckGiven,
    IntakeLoss,
    Noted,
    Result,
    Settled,
    StoredAttempt,
    Work,
)
from engine.store.tokens import Tokens

_PENDING, _HELD, _PARKED = DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.PARKED


class MemoryCommits(MemoryReads):
    """Keeps what is committed."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__()
        self._now = now
        self._tokens = Tokens()
        self._ready: set[str] = set()
        #: tests: refuse arrivals as a full disk would
        self.full = False
        #: tests: fail every commit as a broken disk would
        self.fenced: Fenced | None = None

    def group(self, work: Sequence[Work]) -> list[list[int]]:
        """See the interface: everything is one commit."""
        arrivals = [index for index, item in enumerate(work) if isinstance(item, Arrival)]
        others = [index for index, item in enumerate(work) if not isinstance(item, Arrival)]
        return [arrivals + others]

    def commit(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        """See the interface."""
        with self._lock:
            self._check_fence()
            answers: list[Result | MedbusError] = [NotFound() for _ in work]
            touched: set[str] = set()
            for index in self.group(work)[0]:
                try:
                    answers[index] = self._store(work[index], touched)
                except MedbusError as error:
                    answers[index] = error
            for outbound in touched:
                self._hold_and_free(outbound)
            return answers

    def _store(self, item: Work, touched: set[str]) -> Result:
        if isinstance(item, Arrival):
            return self._accept(item, touched)
        if isinstance(item, Settlement):
            return self._settle(item, touched)
        if isinstance(item, AckGiven):
            message = self._message(item.message_id)
            message.ack, message.ack_code = item.ack, item.code
            return Noted()
        assert isinstance(item, IntakeLoss)
        counts = self._loss_days.setdefault(item.day, Counter())
        counts[item.inbound, LIVE, "discarded_bytes"] += item.discarded_bytes
        counts[item.inbound, LIVE, "refused_frames"] += item.refused_frames
        return Noted()

    # -- arrivals ------------------------------------------------------------------------------

    def _accept(self, arrival: Arrival, touched: set[str]) -> Accepted:
        if self.full:
            raise StoreFull()
        done = self._find_replay(arrival)
        if done is not None:
            return done
        parse_message_id(arrival.message_id)
        self._keep_links(arrival.deliveries)
        if arrival.message_id in self._messages:
            raise Conflict(f"{arrival.message_id} is taken")
        state, first, other_bytes = arrival.state, None, False
        if state is MessageState.ACCEPTED:
            first, other_bytes = self._find_first(arrival)
        if first is not None:
            state = MessageState.DUPLICATE
        if other_bytes:
            arrival = replace(arrival, warnings=(*arrival.warnings, SAME_ID_OTHER_BYTES))
        self._seq += 1
        message = Message(
            arrival,
            self._seq,
            state,
            ack=_repeated(first) if first else arrival.ack,
            ack_code=arrival.ack_code,
            duplicate_of=first.arrival.message_id if first else "",
        )
        self._messages[arrival.message_id] = message
        states: list[DeliveryState] = []
        if state is not MessageState.DUPLICATE:
            states = [self._add(message, new, new.number << K_BITS) for new in arrival.deliveries]
            touched.update(new.outbound for new in arrival.deliveries)
        return Accepted(
            arrival.message_id,
            state,
            self._seq,
            message.ack,
            message.duplicate_of,
            other_bytes,
            tuple(states),
        )

    def _find_replay(self, arrival: Arrival) -> Accepted | None:
        if not arrival.operation_id:
            return None
        wanted = (arrival.operation_id, arrival.replay_of)
        for message in self._messages.values():
            if (message.arrival.operation_id, message.arrival.replay_of) == wanted:
                states = tuple(one.state for one in self._of_message(message.arrival.message_id))
                return Accepted(
                    message.arrival.message_id,
                    message.state,
                    message.seq,
                    arrival.ack,
                    delivery_states=states,
                )
        return None

    def _find_first(self, arrival: Arrival) -> tuple[Message | None, bool]:
        if not arrival.control_id or arrival.replay_of or arrival.duplicate_window_s <= 0:
            return None, False
        near = [
            message
            for message in self._messages.values()
            if message.state is MessageState.ACCEPTED
            and not message.arrival.replay_of
            and message.arrival.inbound == arrival.inbound
            and message.arrival.sender == arrival.sender
            and message.arrival.control_id == arrival.control_id
            and abs(arrival.received_at - message.arrival.received_at) <= arrival.duplicate_window_s
            and not (message.ack_code in NEGATIVE_ACKS and self._is_over_undelivered(message))
        ]
        same = [message for message in near if message.arrival.sha256 == arrival.sha256]
        return (same[0], False) if same else (None, bool(near))

    def _is_over_undelivered(self, message: Message) -> bool:
        return is_over_undelivered(
            [one.state for one in self._of_message(message.arrival.message_id)]
        )

    def _add(
        self,
        message: Message,
        new: NewDelivery,
        place: int,
        *,
        number: int = 0,
        old: Delivery | None = None,
    ) -> DeliveryState:
        number = number or new.number
        delivery_id = f"{message.arrival.message_id}.{number}"
        delivery = Delivery(
            delivery_id,
            message,
            new,
            number,
            (message.seq, place | number),
            _PENDING if new.park is None else _PARKED,
            park=new.park,
            on_park=new.on_park if new.park else "continue",
        )
        if delivery_id in self._deliveries:
            raise Conflict(f"{delivery_id} is taken")
        delivery.holding = (
            new.park is not None and new.on_park == "hold_key" and bool(new.order_keys)
        )
        if old is not None:
            delivery.replaces = old.delivery_id
            delivery.out_of_order = old.released
            delivery.holding = delivery.holding or (
                old.holding and new.park is None and bool(new.order_keys)
            )
        if delivery.state is _PENDING and self._is_blocked(delivery):
            delivery.state = _HELD
        self._deliveries[delivery_id] = delivery
        return delivery.state

    # -- settlements ---------------------------------------------------------------------------

    def _settle(self, settlement: Settlement, touched: set[str]) -> Settled:
        delivery = self._delivery(settlement.delivery_id)
        before, after = delivery.state, settlement.state
        attempt = settlement.attempt
        is_ours = self._tokens.may_settle(settlement.token, delivery.outbound)
        if before is _PARKED or not is_allowed(before, after) or not is_ours:
            if before in TAKEN_OUT and is_ours:
                _add_attempt(delivery, attempt)
                delivery.uncertain = settlement.uncertain or delivery.uncertain
            return Settled(settlement.delivery_id, before, ok=False)
        if after is _PARKED and settlement.park is None:
            raise MedbusError("a delivery is parked without a reason", code="STO-005")
        _add_attempt(delivery, attempt)
        delivery.state, delivery.due_at = after, settlement.due_at
        if settlement.uncertain is not None:
            delivery.uncertain = settlement.uncertain
        if settlement.commit_acked is not None:
            delivery.commit_acked = settlement.commit_acked
        touched.add(delivery.outbound)
        if after is _PARKED:
            delivery.park, delivery.on_park = settlement.park, settlement.on_park
            delivery.released = False
            delivery.holding = settlement.on_park == "hold_key" and bool(delivery.keys)
            return Settled(
                settlement.delivery_id,
                after,
                ok=True,
                held_keys=self._held_by(delivery) if delivery.holding else (),
                halted=settlement.on_park == "halt",
            )
        if after in FINAL_STATES:
            delivery.settled_at = attempt.at + attempt.took_s if attempt else self._now()
            delivery.holding = False
        return Settled(settlement.delivery_id, after, ok=True)

    # -- who is held ---------------------------------------------------------------------------

    def _held_by(self, parked: Delivery) -> tuple[bytes, ...]:
        """Return the keys held by what was just parked, those of merges that wait for it too."""
        keys = dict.fromkeys(parked.keys)
        for one in self._owed(parked.outbound):
            is_merge = one.at > parked.at and one.state is _PENDING and len(one.keys) > 1
            if is_merge and not keys.keys().isdisjoint(one.keys):
                keys.update(dict.fromkeys(one.keys))
        return tuple(keys)

    def _blocked_before(self, outbound: str, at: tuple[int, int]) -> set[bytes]:
        """Return the keys that something before *at* holds."""
        keys: set[bytes] = set()
        for one in self._owed(outbound):
            if one.at >= at:
                break
            waits = one.state in (_PENDING, _HELD) and not keys.isdisjoint(one.keys)
            if one.holding or (waits and len(one.keys) > 1):
                keys.update(one.keys)
        return keys

    def _is_blocked(self, delivery: Delivery) -> bool:
        return bool(delivery.keys) and not self._blocked_before(
            delivery.outbound, delivery.at
        ).isdisjoint(delivery.keys)

    def _hold_and_free(self, outbound: str) -> None:
        """Let every waiting delivery of a channel be pending or held as the definition has it."""
        keys: set[bytes] = set()
        for one in self._owed(outbound):
            waits = False
            if one.state in (_PENDING, _HELD):
                waits = not keys.isdisjoint(one.keys)
                if not waits and one.state is _HELD:
                    self._ready.add(outbound)
                one.state = _HELD if waits else _PENDING
            if one.holding or (waits and len(one.keys) > 1):
                keys.update(one.keys)

    def _check_fence(self) -> None:
        if self.fenced is not None:
            raise self.fenced


def _repeated(first: Message) -> bytes:
    """Return the ack a duplicate repeats: a negative one is found anew by who waits for it."""
    return b"" if first.ack_code in NEGATIVE_ACKS else first.ack


def _add_attempt(delivery: Delivery, attempt: Attempt | None) -> None:
    if attempt is None:
        return
    delivery.tries += 1
    delivery.attempts.append(StoredAttempt(len(delivery.attempts) + 1, attempt))
    if attempt.outcome is not AttemptOutcome.ACKED and not delivery.first_failure_at:
        delivery.first_failure_at = attempt.at
