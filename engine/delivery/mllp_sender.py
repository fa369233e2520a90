"""
Sends a lane's deliveries over one MLLP connection and reads what comes back.

Rules of this file: one connection, one message in flight; the deadline is for the whole answer,
not for a byte; after a timeout, a garbled answer or an equal control id the connection is not used
again. What an answer means is decided in settlement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure as TypedFailure

from engine.delivery.ack_reader import read_ack
from engine.delivery.deadline import Deadline
from engine.delivery.lane_seams import CUT_OFF
from engine.delivery.mllp_connection import Dial, MllpConnection, MllpTarget
from engine.delivery.policy import AckWanted
from engine.delivery.reasons import describe_failure
from engine.delivery.settlement import (
    Decision,
    decide_on_ack,
    decide_on_garbage,
    decide_on_late_nack,
    decide_on_timeout,
    decide_on_trouble,
    decide_on_written,
)
from engine.delivery.tries import Try
from engine.hl7.ack import Ack
from engine.hl7.errors import Hl7Error
from engine.hl7.header import parse_header
from engine.mllp.exchange import Answer, ExchangeState, TooLong, Unasked, unasked
from engine.model.records import DueDelivery
from engine.model.states import AttemptOutcome
from engine.store.file_room import check_room

if TYPE_CHECKING:
    from engine.delivery.channel import OutboundChannel
    from engine.delivery.tls import ClientTls

# Twisted's Failure is only half typed.
Failure: Any = TypedFailure
#: earlier deliveries whose late refusal is still understood
_MOST_RECENT = 1000
#: they keep a body up to this size: cutting it off costs more than keeping it
_KEPT_BODY_BYTES = 2048
#: bytes a second that a slow receiver must take at least while a message is written
_SLOWEST_WRITE = 10_000


class MllpSender:
    """
    The sender of one lane.

    Args:
        channel: counts, policy and seams; hears of connections and of what is noted.
        tls: gives each connection its certificates; None is plain.
    """

    def __init__(
        self,
        channel: OutboundChannel,
        lane: int,
        target: MllpTarget,
        tls: ClientTls | None = None,
    ) -> None:
        self._channel = channel
        self._lane = lane
        self._target = target
        self._tls = tls
        self._reactor = channel.seams.reactor
        self._connection: MllpConnection | None = None
        #: a connection attempt under way
        self._connecting: Dial | None = None
        self._try: Try | None = None
        self._done: Callable[[Decision], None] | None = None
        self._wanted = b""
        self._deadline = Deadline(self._reactor, self._timed_out)
        #: the end of a try that waits for no answer
        self._soon: Any = None
        #: MSH-10 of the last send over this connection; None before the first
        self._last_id: bytes | None = None
        self._recent: dict[bytes, DueDelivery] = {}
        self._probes: list[Callable[[bool], None]] = []

    # -- the lane asks ---------------------------------------------------------------------

    def send(self, attempt: Try, done: Callable[[Decision], None]) -> None:
        """Try once; *done* is called once with what is to be done now."""
        self._try, self._done = attempt, done
        self._wanted = control_id_of(attempt.delivery)
        connection = self._connection
        if connection is not None and self._wanted and self._wanted != self._last_id:
            self._write(connection)
            return
        if connection is not None and self._last_id is None:
            self._write(connection)
            return
        # An ack of the last message could not be told from this one's.
        self._drop()
        if self._connecting is None:
            self._dial()

    def probe(self, done: Callable[[bool], None]) -> None:
        """Connect if not connected; a connection that stands is kept for the next send."""
        if self._connection is not None:
            done(True)
            return
        self._probes.append(done)
        if self._connecting is None:
            self._dial()

    def cut_off(self) -> None:
        """End the try in flight with a decision, now: the receiver may have it."""
        dial, self._connecting = self._connecting, None
        if dial is not None:
            dial.cancel()
        is_sent = self._try is not None and self._try.is_sent
        self._trouble(AttemptOutcome.BROKEN if is_sent else AttemptOutcome.REFUSED, CUT_OFF)

    def stop(self) -> None:
        """Close; a try in flight ends without a decision."""
        self._try = self._done = None
        self._probes.clear()
        self._stop_deadline()
        self._deadline.cancel()
        if self._connecting is not None:
            self._connecting.cancel()
            self._connecting = None
        connection, self._connection = self._connection, None
        self._channel.standing.discard(self._lane)
        if connection is not None:
            connection.close()

    # -- connecting ------------------------------------------------------------------------

    def _dial(self) -> None:
        self._connecting = dial = Dial(self, self._target)
        try:
            check_room()
            options = self._tls.options() if self._tls is not None else None
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told and tried again
            dial.refuse(self._reactor, error)
            return
        dial.start(self._reactor, options)

    def connected(self, dial: Dial, connection: MllpConnection) -> None:
        """A connection stands, its handshake done."""
        if dial is not self._connecting:
            connection.abort()
            return
        self._connecting = None
        self._connection = connection
        self._last_id = None
        self._channel.connected(self._lane)
        probes, self._probes = self._probes, []
        for done in probes:
            done(True)
        if self._try is not None and not self._try.is_sent:
            self._write(connection)

    def failed(self, dial: Dial, reason: TypedFailure) -> None:
        """No connection could be made."""
        if dial is not self._connecting:
            return
        self._connecting = None
        self._channel.is_connected = False
        probes, self._probes = self._probes, []
        for done in probes:
            done(False)
        if self._try is not None:
            self._trouble(AttemptOutcome.REFUSED, describe_failure(reason))

    def lost(self, connection: MllpConnection, reason: TypedFailure) -> None:
        """A connection is gone."""
        if connection is not self._connection:
            return
        self._connection = None
        self._channel.standing.discard(self._lane)
        if self._try is not None and self._try.is_sent:
            is_clean = isinstance(reason.value, ConnectionDone) and connection.is_flushed
            self._trouble(AttemptOutcome.BROKEN, describe_failure(reason), is_clean=is_clean)

    # -- writing ---------------------------------------------------------------------------

    def _write(self, connection: MllpConnection) -> None:
        attempt = self._try
        if attempt is None:
            return
        attempt.is_sent = True
        self._last_id = self._wanted
        body = attempt.delivery.body
        connection.write(connection.exchange.send(body))
        if connection.is_flushed:
            self.flushed(connection)
        else:
            slow_s = self._target.timeout_s + len(body) / _SLOWEST_WRITE
            self._deadline.set(slow_s)

    def flushed(self, connection: MllpConnection) -> None:
        """The last byte was handed over: the time for the answer begins."""
        attempt = self._try
        if connection is not self._connection or attempt is None or not attempt.is_sent:
            return
        if self._channel.policy.ack is AckWanted.NONE:
            # From another turn of the loop: a lane is never answered from within its send.
            self._stop_deadline()
            self._soon = self._reactor.callLater(0, self._written)
        else:
            self._deadline.set(self._target.timeout_s)

    def _written(self) -> None:
        self._soon = None
        connection, attempt = self._connection, self._try
        if connection is not None and attempt is not None:
            connection.exchange.settle()
            self._remember(attempt.delivery)
            self._end(decide_on_written(attempt, self._now()), AttemptOutcome.ACKED)

    # -- reading ---------------------------------------------------------------------------

    def received(self, connection: MllpConnection, chunk: bytes) -> None:
        """Bytes came; most of the time they are one ack."""
        for event in connection.exchange.feed(chunk):
            if isinstance(event, Answer):
                if connection.exchange.state is ExchangeState.WAITING:
                    self._answered(connection, event.body)
                else:
                    self._unasked(unasked(event.body))
            elif isinstance(event, TooLong):
                self._garbage("the answer is too long", b"")
            else:
                self._unasked(event)

    def _answered(self, connection: MllpConnection, body: bytes) -> None:
        attempt = self._try
        if attempt is None:
            return
        try:
            ack = read_ack(body)
        except Hl7Error as error:
            self._garbage(f"the answer is no ack: {error.what}", body)
            return
        if ack.control_id_bytes != self._wanted:
            self._channel.counts.mismatched_acks += 1
            attempt.is_mismatched = True
            self._late(ack, body)
            return
        policy, seams = self._channel.policy, self._channel.seams
        decision = decide_on_ack(attempt, ack, policy, self._now(), seams.dice(), raw=body)
        if decision.keeps_waiting:
            attempt.is_commit_acked = True
            if decision.settlement is not None:
                self._channel.note(self._lane, attempt.delivery, decision.settlement)
            return
        connection.exchange.settle()
        positive = ack.code[1] == "A"
        outcome = AttemptOutcome.ACKED if positive else AttemptOutcome.NACK
        if positive:
            self._remember(attempt.delivery)
        self._end(decision, outcome, f"answered {ack.code}")

    def _unasked(self, event: Unasked) -> None:
        """Count what nobody waited for; a refusal of an earlier delivery is still heard."""
        self._channel.counts.discarded_bytes += event.size_bytes
        if event.body:
            try:
                ack = read_ack(event.body)
            except Hl7Error:
                return
            self._late(ack, event.body)

    def _late(self, ack: Ack, body: bytes) -> None:
        delivery = self._recent.get(ack.control_id_bytes)
        if delivery is None:
            return
        settlement = decide_on_late_nack(
            delivery.delivery_id,
            self._channel.token_of(self._lane),
            ack,
            self._channel.policy,
            self._now(),
            raw=body,
        )
        if settlement is not None:
            del self._recent[ack.control_id_bytes]
            self._channel.note(self._lane, delivery, settlement)

    def _remember(self, delivery: DueDelivery) -> None:
        recent = self._recent
        if len(delivery.body) > _KEPT_BODY_BYTES:
            delivery = replace(delivery, body=b"")
        recent.pop(self._wanted, None)
        recent[self._wanted] = delivery
        if len(recent) > _MOST_RECENT:
            del recent[next(iter(recent))]

    # -- the end of a try ------------------------------------------------------------------

    def _timed_out(self) -> None:
        attempt = self._try
        if attempt is not None:
            self._drop()
            seams = self._channel.seams
            decision = decide_on_timeout(attempt, self._channel.policy, self._now(), seams.dice())
            outcome = AttemptOutcome.MISMATCH if attempt.is_mismatched else AttemptOutcome.TIMEOUT
            self._end(decision, outcome, "no matching answer in time")

    def _garbage(self, what: str, body: bytes) -> None:
        attempt = self._try
        self._drop()
        if attempt is not None and attempt.is_sent:
            seams = self._channel.seams
            decision = decide_on_garbage(
                attempt, what, self._channel.policy, self._now(), seams.dice(), raw=body
            )
            self._end(decision, AttemptOutcome.GARBAGE, what)

    def _trouble(self, outcome: AttemptOutcome, what: str, *, is_clean: bool = False) -> None:
        attempt = self._try
        if attempt is not None:
            decision = decide_on_trouble(
                attempt,
                outcome,
                what,
                self._channel.policy,
                self._now(),
                self._channel.seams.dice(),
                is_clean_close=is_clean,
            )
            self._end(decision, outcome, what)

    def _end(self, decision: Decision, outcome: AttemptOutcome, what: str = "") -> None:
        attempt, done = self._try, self._done
        self._try = self._done = None
        self._stop_deadline()
        if decision.closes:
            self._drop()
        if attempt is not None and done is not None:
            self._channel.tried(attempt, outcome, what)
            done(decision)

    def _drop(self) -> None:
        """Use this connection no more; what it may still bring is not looked at."""
        connection, self._connection = self._connection, None
        self._channel.standing.discard(self._lane)
        if connection is not None:
            connection.abort()

    def _stop_deadline(self) -> None:
        self._deadline.lift()
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None

    def _now(self) -> float:
        return self._channel.seams.clock.now()


def control_id_of(delivery: DueDelivery) -> bytes:
    """Return MSH-10 of an output byte for byte, as an ack must repeat it."""
    if delivery.control_id.isascii() and "\\" not in delivery.control_id:
        return delivery.control_id.encode("ascii")
    try:
        return parse_header(delivery.body).control_id_bytes
    except Hl7Error:
        return delivery.control_id.encode("utf-8", "surrogateescape")


__all__ = ["MllpSender", "MllpTarget", "control_id_of"]
