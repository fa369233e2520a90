"""
A lane: the head of the queue is sent, settled, committed, and only then comes the next.

Rules of this file: one delivery in flight; at most `settle_window` settlements that are not yet
committed, none beside one that parks; a delivery with keys of several lanes waits until each of
them has reached it. What a reply means is decided elsewhere; this is the order of events.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from engine.delivery.head_tries import HeadTries
from engine.delivery.lane_seams import (
    FULL_WAIT_S,
    Group,
    LaneSeams,
    LaneState,
    Sender,
)
from engine.delivery.policy import DeliveryPolicy
from engine.delivery.settlement import Decision, decide_before_send, wait_before
from engine.delivery.tries import Tries, Try
from engine.delivery.unsettled import Unsettled
from engine.delivery.wait import Wait
from engine.delivery.window import Window
from engine.model.errors import Fenced
from engine.model.records import DueDelivery, Settlement
from engine.model.states import DeliveryState
from engine.store.records import Settled

_log = logging.getLogger(__name__)


class Lane:
    """
    One lane of an outbound channel.

    Args:
        token: fencing token of this lane.
        group: the channel's lanes together.
    """

    def __init__(
        self,
        index: int,
        token: int,
        policy: DeliveryPolicy,
        sender: Sender,
        group: Group,
        seams: LaneSeams,
    ) -> None:
        self.index = index
        self.policy = policy
        self.token = token
        self._sender = sender
        self._group = group
        self._seams = seams
        self._window = Window(
            self._read_page,
            changed=self.advance,
            lost=self.stop,
            failed=self._ask_again,
            takes_offers=policy.on_park != "halt",
        )
        #: others changed the queue: read it anew once nothing is in flight
        self._is_reset_due = False
        #: how often they did; what was read before says nothing about halts any more
        self._wakes = 0
        self._current: DueDelivery | None = None
        self._unsettled = Unsettled(seams, self._settled)
        self._head_tries = HeadTries(seams)
        self._wait = Wait(seams.reactor, sender.probe, lambda: self.advance(is_due=True))
        self._rated = ""
        self._expiring = ""
        self._is_paused = self._is_halted = self._is_stopped = False
        self._is_advancing = self._goes_again = False
        self._idle: list[Callable[[], None]] = []

    # -- what others say -------------------------------------------------------------------

    def offer(self, delivery: DueDelivery, *, may_be_held: bool = False) -> None:
        """Take a delivery that was just committed."""
        if may_be_held:
            self._window.miss()
        else:
            self._window.offer(delivery)
        if self._current is None:
            self.advance()

    def wake(self) -> None:
        """Look at the queue anew: an operator, a release or a requeue changed it."""
        self._is_halted = False
        self._wakes += 1
        self._head_tries.forget()
        self._wait.stop()
        self._is_reset_due = True
        self.advance()

    def halt(self) -> None:
        """Send no more until the queue is changed by an operator."""
        self._is_halted = True

    def pause(self) -> None:
        """Let the try in flight finish, then send no more."""
        self._is_paused = True
        self._wait.stop()
        self._tell_idle()

    def resume(self) -> None:
        """Go on."""
        self._is_paused = False
        self.advance()

    def peer_is_back(self) -> None:
        """End a wait that began because the receiver could not be reached."""
        self._wait.peer_is_back()

    @property
    def window(self) -> Window:
        """Return what the lane knows of its queue."""
        return self._window

    def forget(self, delivery_id: str) -> None:
        """Forget a delivery that was settled elsewhere, and go on."""
        head = self._window.head
        if self._window.discard(delivery_id) and head is not None:
            if head.delivery_id == delivery_id:
                self._wait.stop()
            self.advance()

    def expire(self, delivery_id: str) -> bool:
        """Let a try of it in flight be the last; return False when none is in flight."""
        if self._current is not None and self._current.delivery_id == delivery_id:
            self._expiring = delivery_id
            return True
        # A try that is to be repeated leaves it in the queue: there the store has to expire it.
        return delivery_id in self._unsettled and not self._window.has(delivery_id)

    def cut_off(self) -> None:
        """End the try in flight now; where its bytes were sent it is uncertain."""
        if self._current is not None:
            self._sender.cut_off()

    def stop(self) -> None:
        """End at once; a try in flight is left uncertain, as after a crash."""
        self._is_stopped = True
        self._unsettled.stop()
        self._wait.stop()
        self._sender.stop()
        self._current = None
        self._tell_idle()

    def when_quiet(self, done: Callable[[], None]) -> None:
        """Call *done* once nothing is in flight and nothing is being committed."""
        self._idle.append(done)
        self._tell_idle()

    @property
    def is_quiet(self) -> bool:
        """Return whether nothing is in flight and nothing is being committed."""
        return self._current is None and not self._unsettled

    @property
    def is_drained(self) -> bool:
        """Return whether there is nothing left to do."""
        return self.is_quiet and self._window.is_idle

    @property
    def state(self) -> LaneState:
        """Return what the lane is doing."""
        if self._is_stopped:
            return LaneState.STOPPED
        if self._current is not None:
            return LaneState.SENDING
        if self._is_halted:
            return LaneState.HALTED
        if self._is_paused:
            return LaneState.PAUSED
        if self._wait.is_on:
            return LaneState.WAITING
        if self._unsettled:
            return LaneState.SETTLING
        return LaneState.MEETING if len(self._window) else LaneState.IDLE

    # -- the turn --------------------------------------------------------------------------

    def advance(self, *, is_due: bool = False) -> None:
        """Send the head if everything allows it; *is_due* says that its wait is over."""
        if self._is_advancing:
            self._goes_again = True
            return
        self._is_advancing = self._goes_again = True
        try:
            while self._goes_again:
                self._goes_again = False
                self._turn(is_due=is_due)
                is_due = False
        finally:
            self._is_advancing = False

    def _turn(self, *, is_due: bool) -> None:
        if (
            self._current is not None
            or self._wait.is_on
            or self._unsettled.has_barrier
            or self._is_paused
            or self._is_halted
            or self._is_stopped
            or len(self._unsettled) >= self.policy.settle_window
        ):
            return
        if self._is_reset_due:
            if self._unsettled:
                return
            self._is_reset_due = False
            self._window.reset()
        head = self._window.head
        while head is not None and len(head.order_keys) > 1 and self._group.is_gone(head):
            self._window.pop()
            head = self._window.head
        if head is None:
            self._tell_idle()
        elif head.delivery_id not in self._unsettled and (
            len(head.order_keys) < 2 or self._group.may_go(self.index, head)
        ):
            self._begin(head, is_due=is_due)

    def _begin(self, head: DueDelivery, *, is_due: bool) -> None:
        policy, now = self.policy, self._seams.clock.now()
        settlement = decide_before_send(head, self.token, policy, now)
        if settlement is not None:
            self._window.pop()
            self._unsettled.add(head, settlement)
            return
        if not self._head_tries.are_known(head):
            self._load_tries(head, is_due=is_due)
            return
        wait_s = 0.0 if is_due or not head.due_at else wait_before(head, policy, now)
        if wait_s > 0.0:
            self._wait.begin(wait_s)
            return
        if policy.rate_per_s is not None and self._rated != head.delivery_id:
            self._rated = head.delivery_id
            wait_s = self._group.rate_wait_s()
            if wait_s > 0.0:
                self._wait.begin(wait_s)
                return
        self._rated = ""
        self._current = head
        self._sender.send(Try(head, self.token, self._head_tries.tries, now), self._decided)

    def _load_tries(self, head: DueDelivery, *, is_due: bool) -> None:
        def got(tries: Tries) -> None:
            first = None if self._is_stopped else self._window.head
            is_first = first is not None and first.delivery_id == head.delivery_id
            if is_first:  # else something older is due meanwhile, whose tries are known
                self._head_tries.know(head, tries)
                self._wait.learn(tries.last)
            self.advance(is_due=is_due and is_first)

        self._head_tries.load(head, got)

    def _decided(self, decision: Decision) -> None:
        """The try ended: settle it, and see when to go on."""
        current = self._current
        settlement = decision.settlement
        if self._is_stopped or current is None or settlement is None:
            return
        self._current = None
        if settlement.state is DeliveryState.PENDING and self._expiring == current.delivery_id:
            settlement = replace(settlement, state=DeliveryState.EXPIRED, due_at=0.0)
        self._expiring = ""
        attempt = settlement.attempt
        if settlement.state is DeliveryState.PENDING:
            if attempt is not None:
                self._head_tries.add(attempt)
                self._wait.learn(attempt.outcome)
            # Where the queue is read anew, something older may be due: the row says when this is.
            if not (self._is_paused or self._is_reset_due):
                self._wait.begin(decision.retry_in_s or 0.0)
            self._unsettled.add(current, settlement)
            return
        self._wait.learn(None)
        self._window.discard(current.delivery_id)
        self._unsettled.add(current, settlement)
        self.advance()

    # -- settling --------------------------------------------------------------------------

    def note(self, delivery: DueDelivery, settlement: Settlement) -> None:
        """Make something durable beside the try: a commit ack, a late refusal."""
        self._unsettled.submit(delivery, settlement, self._noted)

    def _noted(self, delivery: DueDelivery, settlement: Settlement, result: Any) -> None:
        is_done = type(result) is Settled and result.ok
        if is_done and settlement.state is not DeliveryState.PENDING:
            self._is_halted |= result.halted
            self._group.settled(delivery, settlement, result)

    def _settled(self, delivery: DueDelivery, settlement: Settlement, result: Any) -> None:
        """Hear from the store: the settlement is durable, or was not taken."""
        if isinstance(result, Fenced):
            self.stop()
            return
        if type(result) is not Settled or not result.ok:
            self._not_settled(delivery, result)
        else:
            self._is_halted |= result.halted
            if settlement.state is not DeliveryState.PENDING:
                self._group.settled(delivery, settlement, result)
        self.advance()
        self._tell_idle()

    def _not_settled(self, delivery: DueDelivery, result: Any) -> None:
        """Someone else moved the delivery, or the store did not take it: look anew."""
        _log.warning(
            "a settlement was not applied",
            extra={
                "delivery_id": delivery.delivery_id,
                "outbound": delivery.outbound,
                "reason": type(result).__name__,
            },
        )
        self._wait.stop()
        self._is_reset_due = True

    # -- inside ----------------------------------------------------------------------------

    def _read_page(self, n: int, after: DueDelivery | None, done: Callable[[Any], None]) -> None:
        wakes = self._wakes

        def read(store: Any) -> Any:
            page = store.next(self.token, n, after)
            return page, not page and store.is_halted(self.token)

        def got(answer: Any) -> None:
            if isinstance(answer, Exception):
                done(answer)
                return
            page, is_halted = answer
            # Whatever the channel's on_park says today: what was parked with halt still halts.
            self._is_halted |= is_halted and wakes == self._wakes
            done(page)

        self._seams.read(read, got)

    def _ask_again(self) -> None:
        """The store could not be read: look again in a while."""
        if not (self._wait.is_on or self._is_stopped or self._is_paused):
            self._wait.learn(None)
            self._wait.begin(FULL_WAIT_S)

    def _tell_idle(self) -> None:
        if self._idle and (self.is_quiet or self._is_stopped):
            idle, self._idle = self._idle, []
            for done in idle:
                done()


__all__ = ["Group", "Lane", "LaneSeams", "LaneState", "Sender"]
