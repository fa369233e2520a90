"""
An inbound channel: listener, acceptance and store put together.

Rules of this file: messages are submitted to the store in the order in which their frames were
completed, also when a Python step of an earlier one finishes later; an ack leaves only after the
commit; after a fence nothing is answered at all.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed

from engine.intake.acceptance import Acceptance, Facts
from engine.intake.batches import BatchAnswer, is_batch
from engine.intake.connection import Reply
from engine.intake.delivered_by import Awaited, DeliveryWaits
from engine.intake.losses import Losses
from engine.intake.policy import AckWhen, DeliveredBy
from engine.intake.seams import IntakeCounts, IntakeSeams
from engine.model.errors import Fenced, StoreFull
from engine.model.records import Accepted, Arrival, DueDelivery
from engine.model.states import DeliveryState, MessageState
from engine.store.ids import K_BITS
from engine.store.records import AckGiven

if TYPE_CHECKING:
    from engine.intake.listener import ListenerCounts, MllpListener
    from engine.pipeline.steps.base import PythonAnswer, PythonCall

_log = logging.getLogger(__name__)


class _Item:
    """One message between its frame and its ack."""

    __slots__ = (
        "acceptance", "arrival", "body", "channel", "facts", "reply", "size", "started_s",
    )  # fmt: skip

    def __init__(
        self, channel: InboundChannel, body: bytes, facts: Facts, reply: Any, started_s: float
    ) -> None:
        self.channel = channel
        self.body = body
        #: the configuration it came in under; a reload changes nothing for it
        self.acceptance = channel.acceptance
        self.facts = facts
        self.reply = reply
        self.started_s = started_s
        self.arrival: Arrival | None = None
        self.size = 0

    def decide(self) -> None:
        """Have its turn."""
        self.channel.decide(self)

    def committed(self, result: Any) -> None:
        """Hear from the store."""
        self.channel.committed(self, result)


class InboundChannel:
    """
    One door: frames in, arrivals to the store, acks out.

    Args:
        acceptance: decides, under the running configuration; exchanged by a reload.
    """

    def __init__(self, name: str, acceptance: Acceptance, seams: IntakeSeams) -> None:
        self.name = name
        self.counts = IntakeCounts()
        self.listener: MllpListener | None = None
        self.acceptance = acceptance
        self._seams = seams
        self._budget: Any = None
        #: in frame order; only the head may be submitted
        self._queue: deque[_Item] = deque()
        self._in_commit = 0
        self.losses = Losses(name, seams, self._count_losses)
        self._is_over = False
        self._waits = self._make_waits()

    # -- life ------------------------------------------------------------------------------

    def attach(self, listener: MllpListener) -> None:
        """Take *listener*'s frames; its counts and budget are this channel's."""
        self.listener = listener
        self._budget = listener.budget
        self.losses.start()

    @property
    def in_flight_count(self) -> int:
        """Return how many messages have been taken and not yet answered by the store."""
        return len(self._queue) + self._in_commit

    @property
    def has_older(self) -> bool:
        """Return whether a message that came before the last reload is not submitted yet."""
        queue = self._queue
        return bool(queue) and not self._is_over and queue[0].acceptance is not self.acceptance

    def reconfigure(self, acceptance: Acceptance) -> None:
        """Treat frames from now on under another configuration; earlier ones keep theirs."""
        self.acceptance = acceptance

    def stop(self) -> Deferred[None]:
        """Take no new connection, answer what was taken, close; fires when all are gone."""
        self.losses.stop()
        listener = self.listener
        if listener is None:
            return succeed(None)
        stopped = listener.stop_listening().addCallback(lambda _: listener.close_connections())
        # Last: the store may refuse what is still under way.
        return stopped.addCallback(lambda _: self.losses.report())

    def abort(self) -> None:
        """Drop everything unanswered: after a fence, or when waiting took too long."""
        self._is_over = True
        self.losses.stop()
        self._waits.stop()
        if self.listener is not None:
            self.listener.stop_listening()
            self.listener.abort_connections()
            self.losses.report()

    # -- frames ----------------------------------------------------------------------------

    def take_frame(self, body: bytes, reply: Reply) -> None:
        """Decide about one frame; its ack follows by *reply* when it is stored."""
        counts = self.counts
        counts.received += 1
        counts.received_bytes += len(body)
        counts.last_received_at = self._seams.clock.now()
        if is_batch(body):
            answer = BatchAnswer(self.acceptance, body, reply, self._facts(reply.peer))
            for part, place in answer.parts():
                self._take(part, place)
        else:
            self._take(body, reply)

    def take_oversize(self, head: bytes, reply: Reply) -> None:
        """Refuse a frame beyond the limit: AR, counted, not kept."""
        self.counts.received += 1
        _log.warning("a frame beyond max_message was refused", extra={"inbound": self.name})
        reply.give(self.acceptance.answer_oversize(head, self._facts(reply.peer)))

    def _facts(self, peer: str) -> Facts:
        now = self._seams.clock.now()
        return Facts(self._seams.draw_id(now), now, peer)

    def _take(self, body: bytes, reply: Any) -> None:
        seams = self._seams
        now = seams.clock.now()
        facts = Facts(seams.draw_id(now), now, reply.peer)
        item = _Item(self, body, facts, reply, seams.clock.monotonic())
        self._queue.append(item)
        seams.add_turn(item.decide)

    def decide(self, item: _Item) -> None:
        """Run the pipeline on a message whose turn has come."""
        steps = item.acceptance.accept(item.body, item.facts)
        self._go_on(item, steps, lambda: next(steps))

    def _go_on(
        self,
        item: _Item,
        steps: Generator[PythonCall, PythonAnswer, Arrival],
        resume: Callable[[], PythonCall],
    ) -> None:
        """Run it until it is decided, or asks for a Python step."""
        if self._is_over:
            return  # its sender was hung up on, and sends it again
        try:
            asked = self._seams.call_python(resume())
        except StopIteration as stop:
            item.arrival = stop.value
            self._submit_ready()
        except BaseException:
            # A defect: those behind it must not wait for it, and its sender will send again.
            self._queue.remove(item)
            item.reply.hang_up()
            self._submit_ready()
            raise
        else:
            asked.addCallbacks(
                lambda answer: self._go_on(item, steps, lambda: steps.send(answer)),
                lambda failure: self._go_on(item, steps, lambda: steps.throw(failure.value)),
            )
            asked.addErrback(self._tell_defect)

    def _tell_defect(self, failure: Any) -> None:
        """Log what nobody above hears of: a step's answer is taken in a turn of its own."""
        error = failure.value
        _log.error(
            "a message could not be decided; its sender was hung up on",
            extra={"inbound": self.name},
            exc_info=(type(error), error, error.__traceback__),
        )

    def _submit_ready(self) -> None:
        """Submit what is decided at the head of the order."""
        queue = self._queue
        while queue and queue[0].arrival is not None:
            item = queue.popleft()
            assert item.arrival is not None
            self._submit(item, item.arrival)

    def _submit(self, item: _Item, arrival: Arrival) -> None:
        size = 0
        for delivery in arrival.deliveries:
            if delivery.body is not None:
                size += len(delivery.body)
        item.size = size
        if self._budget is not None:
            self._budget.used += size
        self._in_commit += 1
        self._seams.writer.submit(arrival, item.committed)

    # -- after the commit ------------------------------------------------------------------

    def committed(self, item: _Item, result: Any) -> None:
        """Answer the sender and hand the deliveries on, or say that it did not work."""
        self._in_commit -= 1
        arrival = item.arrival
        if self._budget is not None and item.size:
            self._budget.remove(item.size)
        if arrival is None:
            return
        if type(result) is Accepted:
            self._stored(item, arrival, result)
            self._seams.observe_ack_s(self._seams.clock.monotonic() - item.started_s)
        elif isinstance(result, Fenced):
            item.reply.hang_up()
        else:
            self._not_stored(item, arrival, result)

    def _stored(self, item: _Item, arrival: Arrival, accepted: Accepted) -> None:
        counts = self.counts
        waits = item.acceptance.policy.ack is AckWhen.DELIVERED_BY and not arrival.ack
        if accepted.state is MessageState.ACCEPTED:
            counts.accepted += 1
            counts.same_id_other_bytes += accepted.same_id_other_bytes
            if waits:
                self._await(item, arrival, accepted)
            else:
                item.reply.give(accepted.ack)
            if arrival.deliveries:
                self._offer(arrival, accepted)
        elif accepted.state is MessageState.DUPLICATE:
            counts.duplicates += 1
            if waits and not accepted.ack:
                self._await_again(item, arrival, accepted.duplicate_of)
            else:
                item.reply.give(accepted.ack)
        else:
            counts.rejected += 1
            counts.last_reject_reason = arrival.reject_reason
            item.reply.give(accepted.ack)

    def _offer(self, arrival: Arrival, accepted: Accepted) -> None:
        offer = self._seams.offer
        for new, state in zip(arrival.deliveries, accepted.delivery_states, strict=True):
            if state is DeliveryState.PENDING and new.body is not None:
                offer(
                    DueDelivery(
                        delivery_id=f"{accepted.message_id}.{new.number}",
                        seq=accepted.seq,
                        number=new.number,
                        outbound=new.outbound,
                        route=new.route,
                        inbound=arrival.inbound,
                        body=new.body,
                        control_id=new.control_id,
                        promises=new.promises,
                        order_keys=new.order_keys,
                        file_name=new.file_name,
                        received_at=arrival.received_at,
                        due_at=0.0,
                        attempts=0,
                        place=new.number << K_BITS | new.number,
                    )
                )

    def _not_stored(self, item: _Item, arrival: Arrival, error: Any) -> None:
        self.counts.not_stored += 1
        full = isinstance(error, StoreFull)
        text = "the store is full, send again later" if full else "it could not be stored"
        if not full:
            _log.error(
                "a message could not be stored",
                extra={"inbound": self.name, "code": getattr(error, "code", type(error).__name__)},
            )
        item.reply.give(item.acceptance.answer_failure(arrival.body, item.facts, text))

    # -- delivered_by ----------------------------------------------------------------------

    def delivery_settled(
        self, delivery_id: str, state: DeliveryState, answer: bytes, route: str = ""
    ) -> None:
        """Hear from the outbound channels what became of a delivery of this channel."""
        self._waits.settled(delivery_id, state, route, answer)

    def _make_waits(self) -> DeliveryWaits:
        return DeliveryWaits(
            self._seams.reactor,
            make_ack=self._make_awaited_ack,
            expire=self._seams.expire,
            keep=self._keep_ack,
        )

    def _await(self, item: _Item, arrival: Arrival, accepted: Accepted) -> None:
        choices = item.acceptance.policy.delivered_by or DeliveredBy("")
        states = [
            (f"{accepted.message_id}.{new.number}", state)
            for new, state in zip(arrival.deliveries, accepted.delivery_states, strict=True)
            if new.outbound == choices.outbound
        ]
        self._waits.begin(choices, item.facts, arrival.body, item.reply, states)

    def _await_again(self, item: _Item, arrival: Arrival, first_id: str) -> None:
        """A resend of a message whose answer is not stored: wait with it, or see how it stands."""
        if self._waits.join(first_id, item.reply):
            return
        choices = item.acceptance.policy.delivered_by or DeliveredBy("")
        facts = item.facts._replace(message_id=first_id)

        def look(store: Any) -> Any:
            message = store.get_message(first_id)
            owed = [each for each in message.deliveries if each.outbound == choices.outbound]
            done = [each for each in owed if each.state is DeliveryState.DELIVERED]
            last = max(done, key=lambda each: each.settled_at, default=None)
            return owed, last, store.get_attempts(last.delivery_id) if last is not None else ()

        def seen(stored: Any) -> None:
            if isinstance(stored, Exception):
                self._not_stored(item, arrival, stored)
            elif not self._waits.join(first_id, item.reply):
                owed, last, tries = stored
                states = [(each.delivery_id, each.state) for each in owed]
                route = last.route if last is not None else ""
                answer = tries[-1].attempt.ack if tries else b""
                self._waits.begin(
                    choices, facts, arrival.body, item.reply, states, route=route, answer=answer
                )

        self._seams.writer.call(look, seen)

    def _make_awaited_ack(self, awaited: Awaited, code: str, text: str) -> bytes:
        if code == "AA" and awaited.answer:
            try:
                answer = self._seams.respond(
                    awaited.route, awaited.body, awaited.answer, awaited.facts
                )
            except Exception:  # noqa: BLE001 - whatever it is, it is told
                # The message is delivered: its sender must hear that, and the lane must go on.
                _log.exception("a response could not be made", extra={"inbound": self.name})
                answer = None
            if answer is not None:
                return answer
        header = self.acceptance.find_header(awaited.body)
        return self.acceptance.answer(header, awaited.facts, code, text)

    def _keep_ack(self, message_id: str, ack: bytes, code: str) -> None:
        self._seams.writer.submit(AckGiven(message_id, ack, code), lambda result: None)

    # -- what was lost on the way ----------------------------------------------------------

    def _count_losses(self) -> tuple[int, int]:
        """Return the bytes discarded and the frames refused since the channel was made."""
        if self.listener is None:
            return 0, 0
        counts: ListenerCounts = self.listener.counts
        return counts.discarded_bytes, counts.oversize_frames + self.counts.not_stored


__all__ = ["InboundChannel", "IntakeCounts", "IntakeSeams"]
