"""
Acks that wait for a delivery: `ack: {delivered_by: OUTBOUND, …}`.

Rules of this file: an awaited message is answered once, by whatever comes first: all its
deliveries delivered, one of them parked or ended otherwise, or the time is up (which also expires
what has not gone out). The ack is submitted to the store beside being sent, so that a resend gets
the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from engine.intake.acceptance import Facts
from engine.intake.connection import Reply
from engine.intake.policy import DeliveredBy
from engine.model.states import DeliveryState

_GOES_ON = frozenset({DeliveryState.PENDING, DeliveryState.HELD})


@dataclass(eq=False, slots=True)
class Awaited:
    """One message whose sender waits for its delivery."""

    #: what the configuration it came in under wants
    choices: DeliveredBy
    facts: Facts
    #: the received bytes, for the header of the ack
    body: bytes
    replies: list[Reply]
    owed: set[str]
    #: what the receiver answered to the last delivery, and by which route it went
    answer: bytes = b""
    route: str = ""
    timer: Any = field(default=None)


class DeliveryWaits:
    """
    The messages of one channel that wait.

    Args:
        make_ack: builds the ack of a message from its code and the receiver's answer.
        expire: takes a delivery out of its outbound channel's queue.
        keep: makes a given ack durable (message id, ack, code).
    """

    def __init__(
        self,
        clock: Any,
        *,
        make_ack: Callable[[Awaited, str, str], bytes],
        expire: Callable[[str, str], None],
        keep: Callable[[str, bytes, str], None],
    ) -> None:
        self._clock = clock
        self._make_ack = make_ack
        self._expire = expire
        self._keep = keep
        self._by_delivery: dict[str, Awaited] = {}
        self._by_message: dict[str, Awaited] = {}

    def __len__(self) -> int:
        return len(self._by_message)

    def begin(
        self,
        choices: DeliveredBy,
        facts: Facts,
        body: bytes,
        reply: Reply,
        states: Iterable[tuple[str, DeliveryState]],
        *,
        route: str = "",
        answer: bytes = b"",
    ) -> None:
        """
        Wait for the deliveries in *states* (delivery id, state); none are owed = filtered.

        Args:
            route: of the last one that is delivered already.
            answer: what the receiver said to that one.
        """
        known = dict(states)
        awaited = Awaited(choices, facts, body, [reply], set(), answer, route)
        if not known:
            self._finish(awaited, choices.on_filtered, "no route sends this message on")
        elif DeliveryState.PARKED in known.values():
            self._finish(awaited, choices.on_park, "the message needs a person")
        elif all(state is DeliveryState.DELIVERED for state in known.values()):
            self._finish(awaited, "AA", "")
        elif any(state not in _GOES_ON | {DeliveryState.DELIVERED} for state in known.values()):
            self._finish(awaited, choices.on_timeout, "the message was not delivered")
        else:
            awaited.owed = {name for name, state in known.items() if state in _GOES_ON}
            for name in awaited.owed:
                self._by_delivery[name] = awaited
            self._by_message[facts.message_id] = awaited
            awaited.timer = self._clock.callLater(choices.timeout_s, self._time_is_up, awaited)

    def join(self, message_id: str, reply: Reply) -> bool:
        """Answer *reply*, to a resend of *message_id*, together with it; False if it is over."""
        awaited = self._by_message.get(message_id)
        if awaited is not None:
            awaited.replies.append(reply)
        return awaited is not None

    def settled(self, delivery_id: str, state: DeliveryState, route: str, answer: bytes) -> None:
        """Hear what became of a delivery; most belong to nobody who waits."""
        awaited = self._by_delivery.get(delivery_id)
        if awaited is None or state in _GOES_ON:
            return
        if state is DeliveryState.PARKED:
            self._finish(awaited, awaited.choices.on_park, "the message needs a person")
        elif state is not DeliveryState.DELIVERED:
            self._finish(awaited, awaited.choices.on_timeout, "the message was not delivered")
        else:
            awaited.owed.discard(delivery_id)
            awaited.answer, awaited.route = answer, route
            if not awaited.owed:
                self._finish(awaited, "AA", "")

    def stop(self) -> None:
        """Wait no more; those who wait are left without an answer and will send again."""
        for awaited in list(self._by_message.values()):
            self._forget(awaited)

    def _time_is_up(self, awaited: Awaited) -> None:
        owed = sorted(awaited.owed)
        self._finish(awaited, awaited.choices.on_timeout, "not delivered in time")
        for delivery_id in owed:
            self._expire(awaited.choices.outbound, delivery_id)

    def _finish(self, awaited: Awaited, code: str, text: str) -> None:
        self._forget(awaited)
        ack = self._make_ack(awaited, code, text)
        self._keep(awaited.facts.message_id, ack, code)
        for reply in awaited.replies:
            reply.give(ack)

    def _forget(self, awaited: Awaited) -> None:
        for delivery_id in awaited.owed:
            self._by_delivery.pop(delivery_id, None)
        self._by_message.pop(awaited.facts.message_id, None)
        if awaited.timer is not None and awaited.timer.active():
            awaited.timer.cancel()
