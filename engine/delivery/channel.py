"""
An outbound channel: its lanes, and what they have to know of each other.

Rules of this file: a healthy lane never waits for a sick one, except where a delivery has keys of
both; what operators and the store change from outside reaches every lane.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed

from engine.delivery.lane import Lane, LaneSeams, LaneState, Sender
from engine.delivery.policy import DeliveryPolicy
from engine.delivery.rate import Rate
from engine.delivery.rendezvous import Rendezvous, lanes_of
from engine.delivery.tries import Try
from engine.model.records import DueDelivery, Settlement
from engine.model.states import AttemptOutcome, DeliveryState, ParkCode
from engine.store.records import Settled

_log = logging.getLogger(__name__)

#: makes the sender of a lane: what it notes beside its tries goes through the lane
MakeSender = Callable[["OutboundChannel", int], Sender]


@dataclass(slots=True)
class DeliveryCounts:
    """What a channel has done since it was made; plain numbers, read by metrics and status."""

    attempts: int = 0
    delivered: int = 0
    parked: int = 0
    expired: int = 0
    #: by AttemptOutcome
    nack: int = 0
    timeout: int = 0
    refused: int = 0
    broken: int = 0
    mismatch: int = 0
    garbage: int = 0
    late_nacks: int = 0
    #: acks of other messages than the one in flight
    mismatched_acks: int = 0
    #: bytes that came while nothing was in flight, or outside of frames
    discarded_bytes: int = 0
    connections: int = 0
    last_delivered_at: float = 0.0
    last_error_at: float = 0.0
    #: plain words, no patient data
    last_error: str = ""


@dataclass(frozen=True, slots=True)
class ChannelStatus:
    """An outbound channel at a glance."""

    name: str
    #: running, paused or stopped
    state: str
    #: the receiver could be reached when it was last tried
    is_connected: bool
    #: a connection to it stands (or its folder was written to)
    is_standing: bool
    lanes: tuple[LaneState, ...]
    counts: DeliveryCounts


class OutboundChannel:
    """
    The lanes of one receiver.

    Args:
        make_sender: makes each lane's sender.
        on_settled: hears of every delivery that came to its end or was parked, after the commit.
        observe_delivery_s: hears how long a delivered one took from its arrival.
    """

    def __init__(
        self,
        name: str,
        policy: DeliveryPolicy,
        *,
        lane_count: int,
        seams: LaneSeams,
        make_sender: MakeSender,
        on_settled: Callable[[DueDelivery, Settlement], None] = lambda delivery, settlement: None,
        observe_delivery_s: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.seams = seams
        self.counts = DeliveryCounts()
        self.is_connected = False
        #: lanes whose connection stands, or that have written to the folder
        self.standing: set[int] = set()
        self._lane_count = lane_count
        self._make_sender = make_sender
        self._on_settled = on_settled
        self._observe_delivery_s = observe_delivery_s
        self._lanes: list[Lane] = []
        self._meeting = Rendezvous(lane_count)
        self._rate = Rate(policy.rate_per_s) if policy.rate_per_s is not None else None
        self._is_paused = self._is_ending = False
        #: keys of what was parked since the last wake. A delivery that was accepted in the same
        #: commit does not know yet that it is held: the store is asked for those.
        self._held_keys: set[bytes] = set()

    # -- life ------------------------------------------------------------------------------

    def start(self, tokens: Sequence[int], *, is_paused: bool = False) -> None:
        """
        Open the lanes; they read what is owed from the store.

        Args:
            tokens: fencing token of each lane, from ``store.lane_open``.
        """
        self._is_paused = is_paused
        for index, token in enumerate(tokens):
            sender = self._make_sender(self, index)
            self._lanes.append(Lane(index, token, self.policy, sender, self, self.seams))
        for lane in self._lanes:
            lane.pause() if is_paused else lane.advance()

    @property
    def lane_count(self) -> int:
        """Return how many lanes the channel has."""
        return self._lane_count

    @property
    def is_paused(self) -> bool:
        """Return whether an operator has paused it."""
        return self._is_paused

    @property
    def is_drained(self) -> bool:
        """Return whether nothing is owed as far as is known."""
        return all(lane.is_drained for lane in self._lanes)

    def offer(self, deliveries: Sequence[DueDelivery]) -> None:
        """Hand over deliveries that were just committed."""
        for delivery in deliveries:
            self.offer_one(delivery)

    def offer_one(self, delivery: DueDelivery) -> None:
        """Hand over one delivery that was just committed."""
        lanes = self._lanes
        held = self._held_keys
        may_be_held = bool(held) and not held.isdisjoint(delivery.order_keys)
        if may_be_held and len(delivery.order_keys) > 1:
            held.update(delivery.order_keys)
        if len(lanes) == 1:
            lanes[0].offer(delivery, may_be_held=may_be_held)
        elif lanes:
            for index in lanes_of(delivery, self._lane_count):
                lanes[index].offer(delivery, may_be_held=may_be_held)

    def wake(self) -> None:
        """Look at the queue anew: an operator or the store changed it."""
        self._meeting.reset()
        self._held_keys.clear()
        for lane in self._lanes:
            lane.wake()

    def pause(self) -> Deferred[None]:
        """Let the tries in flight finish, then send no more; fires when nothing is in flight."""
        self._is_paused = True
        for lane in self._lanes:
            lane.pause()
        return self._when_quiet()

    def resume(self) -> None:
        """Go on, unless the end has begun."""
        if self._is_ending:
            return
        self._is_paused = False
        for lane in self._lanes:
            lane.resume()

    def expire(self, delivery_id: str) -> None:
        """Send a delivery no more: its sender's wait ran out."""
        if any(lane.expire(delivery_id) for lane in self._lanes):
            return
        settlement = Settlement(delivery_id, 0, DeliveryState.EXPIRED)

        def expired(result: Any) -> None:
            for lane in self._lanes:
                lane.forget(delivery_id)
            self.counts.expired += type(result) is Settled and result.ok

        self.seams.submit(settlement, expired)

    def stop(self, within_s: float) -> Deferred[None]:
        """
        Let the tries in flight finish and commit, then close; fires when done.

        Args:
            within_s: tries that take longer are cut off.
        """
        self._is_ending = True
        cut_off = self.seams.reactor.callLater(within_s, self._cut_off)

        def stopped(_: None) -> None:
            if cut_off.active():
                cut_off.cancel()
            self.abort()

        return self.pause().addCallback(stopped)

    def _cut_off(self) -> None:
        for lane in self._lanes:
            lane.cut_off()

    def abort(self) -> None:
        """End at once; tries in flight are left as after a crash."""
        for lane in self._lanes:
            lane.stop()
        self.is_connected = False

    def status(self) -> ChannelStatus:
        """Return the channel at a glance."""
        states = tuple(lane.state for lane in self._lanes)
        running = "paused" if self._is_paused else "running"
        stopped = not states or all(state is LaneState.STOPPED for state in states)
        return ChannelStatus(
            self.name,
            "stopped" if stopped else running,
            self.is_connected,
            bool(self.standing),
            states,
            self.counts,
        )

    # -- lanes and their senders say -------------------------------------------------------

    def may_go(self, lane: int, delivery: DueDelivery) -> bool:
        """Say that *lane* has reached *delivery*; return whether it may send it now."""
        may_go, other = self._meeting.reach(lane, delivery)
        if other is not None:
            self.seams.reactor.callLater(0, self._lanes[other].advance)
        return may_go

    def is_gone(self, delivery: DueDelivery) -> bool:
        """Return whether another lane has settled *delivery*."""
        return self._meeting.is_gone(delivery)

    def rate_wait_s(self) -> float:
        """Take a place in the rate; return the seconds until it."""
        return 0.0 if self._rate is None else self._rate.wait_s(self.seams.clock.monotonic())

    def settled(self, delivery: DueDelivery, settlement: Settlement, settled: Settled) -> None:
        """Hear of a committed settlement that ended or parked a delivery."""
        self._count(delivery, settlement)
        if len(settled.held_keys) > len(delivery.order_keys):
            # Merges wait from now on, maybe some that are in no window yet: no lane may stand at
            # one of them, or at what waits for it.
            self.wake()
            self._held_keys.update(settled.held_keys)
        elif settled.held_keys:
            self._drop_held(set(settled.held_keys), delivery)
        if len(delivery.order_keys) > 1:
            for index in self._meeting.leave(delivery):
                self._lanes[index].forget(delivery.delivery_id)
                if settled.halted:
                    self._lanes[index].halt()
        try:
            self._on_settled(delivery, settlement)
        except Exception:  # noqa: BLE001  it is another part, and is logged
            # Whatever waits for the delivery (a sender's ack), the lane has to go on.
            _log.exception(
                "could not tell of a settled delivery", extra={"delivery_id": delivery.delivery_id}
            )

    def note(self, lane: int, delivery: DueDelivery, settlement: Settlement) -> None:
        """Make something durable that a sender saw beside its try's end."""
        self._lanes[lane].note(delivery, settlement)

    def token_of(self, lane: int) -> int:
        """Return the fencing token of a lane."""
        return self._lanes[lane].token

    def connected(self, lane: int) -> None:
        """Hear that the receiver could be reached: nobody has to wait for it any longer."""
        self.is_connected = True
        self.standing.add(lane)
        self.counts.connections += 1
        for each in self._lanes:
            if each.index != lane:
                each.peer_is_back()

    def tried(self, attempt: Try, outcome: AttemptOutcome, what: str) -> None:
        """Count the end of a try."""
        counts = self.counts
        counts.attempts += 1
        if outcome is not AttemptOutcome.ACKED:
            name = outcome.value
            setattr(counts, name, getattr(counts, name) + 1)
            counts.last_error = what
            counts.last_error_at = self.seams.clock.now()
            if outcome is AttemptOutcome.REFUSED:
                self.is_connected = False

    def _count(self, delivery: DueDelivery, settlement: Settlement) -> None:
        counts = self.counts
        if settlement.state is DeliveryState.DELIVERED:
            counts.delivered += 1
            counts.last_delivered_at = now = self.seams.clock.now()
            self._observe_delivery_s(max(now - delivery.received_at, 0.0))
        elif settlement.state is DeliveryState.PARKED:
            counts.parked += 1
            park = settlement.park
            counts.late_nacks += park is not None and park.code is ParkCode.LATE_NACK
        elif settlement.state is DeliveryState.EXPIRED:
            counts.expired += 1

    def _drop_held(self, keys: set[bytes], behind: DueDelivery) -> None:
        """
        Take out of all lanes what shares one of *keys* behind a parked delivery.

        A waiting delivery with several keys holds its other keys too, or a later one would
        overtake it there.
        """
        place = (behind.seq, behind.place)
        windows = [lane.window for lane in self._lanes]
        known = {each.delivery_id: each for window in windows for each in window.deliveries()}
        held: set[str] = set()
        for each in sorted(known.values(), key=lambda each: (each.seq, each.place)):
            if (each.seq, each.place) > place and not keys.isdisjoint(each.order_keys):
                held.add(each.delivery_id)
                if len(each.order_keys) > 1:
                    keys.update(each.order_keys)
        self._held_keys |= keys
        self._meeting.forget(held)
        for window in windows:
            window.drop(held)
        for lane in self._lanes:
            lane.advance()

    def _when_quiet(self) -> Deferred[None]:
        if not self._lanes:
            return succeed(None)
        quiet: list[Deferred[None]] = []
        for lane in self._lanes:
            one: Deferred[None] = Deferred()
            quiet.append(one)
            lane.when_quiet(lambda one=one: one.callback(None))  # type: ignore[misc]
        # Whoever waits may stop waiting (an engine that ends): that is no error of a lane.
        return DeferredList(quiet, consumeErrors=True).addCallback(lambda _: None)
