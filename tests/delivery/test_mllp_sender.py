"""The sender of a lane against every habit of receivers, without a network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from engine.delivery.channel import OutboundChannel
from engine.delivery.mllp_connection import CLOSE_S
from engine.delivery.mllp_sender import MllpSender, MllpTarget
from engine.delivery.policy import AckWanted, DeliveryPolicy
from engine.mllp.frames import encode_frame
from engine.model.records import DueDelivery, Settlement
from engine.model.states import AttemptOutcome, DeliveryState, ParkCode
from tests.support.lanes import QueueStore, due, seams_for
from tests.support.wire import Wire


def ack(code: str, control_id: str, *, error: str = "") -> bytes:
    """Return a framed ack."""
    err = f"ERR||PID-3|{error}|E\r" if error else ""
    text = f"MSH|^~\\&|LIS|L|HIS|H|20261121||ACK|A1|P|2.5\rMSA|{code}|{control_id}\r{err}"
    return encode_frame(text.encode())


class Bench:
    """One lane with a real sender; the test is the network and the receiver."""

    def __init__(self, *deliveries: DueDelivery, **policy: Any) -> None:
        self.reactor = MemoryReactorClock()
        self.store = QueueStore()
        self.store.add(*deliveries)
        self.channel = OutboundChannel(
            "lis",
            DeliveryPolicy(**policy),
            lane_count=1,
            seams=seams_for(self.reactor, self.store),
            make_sender=lambda channel, lane: MllpSender(
                channel, lane, MllpTarget("10.0.0.1", 6661, max_answer_bytes=10_000)
            ),
        )
        self.wire = Wire()
        self.protocol: Any = None
        self.channel.start([1])

    def connect(self) -> Wire:
        """Let the latest connection attempt succeed; return its wire."""
        factory = self.reactor.tcpClients[-1][2]
        self.protocol = factory.buildProtocol(IPv4Address("TCP", "10.0.0.1", 6661))
        self.wire = Wire()
        self.wire.protocol = self.protocol
        self.protocol.makeConnection(self.wire)
        return self.wire

    def refuse(self) -> None:
        """Let the latest connection attempt fail."""
        factory = self.reactor.tcpClients[-1][2]
        factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))

    def answer(self, *frames: bytes) -> None:
        """Have the receiver send *frames* in one read."""
        self.protocol.dataReceived(b"".join(frames))

    def lose(self, error: Exception) -> None:
        """Have the connection end."""
        self.protocol.connectionLost(Failure(error))

    def last(self) -> Settlement:
        """Return the last settlement."""
        return self.store.settlements[-1]

    def outcome(self) -> AttemptOutcome:
        """Return how the last try ended."""
        attempt = self.last().attempt
        assert attempt is not None
        return attempt.outcome

    def sent(self) -> list[bytes]:
        """Return the control ids written to the current wire."""
        bodies = self.wire.value().split(b"\x0b")[1:]
        return [body.split(b"|")[9] for body in bodies]


def test_one_connection_carries_all() -> None:
    """Messages go one by one over one connection, each after the ack of the last."""
    bench = Bench(due(1), due(2), due(3))
    bench.connect()
    for number in (1, 2, 3):
        assert bench.sent()[-1] == b"C%d" % number
        bench.answer(ack("AA", f"C{number}"))
    assert bench.sent() == [b"C1", b"C2", b"C3"]
    assert len(bench.reactor.tcpClients) == 1
    assert set(bench.store.states.values()) == {DeliveryState.DELIVERED}
    assert bench.last().attempt is not None
    assert bench.last().attempt.ack.startswith(b"MSH|^~\\&|LIS")  # type: ignore[union-attr]


def test_a_refused_connection_is_tried_again() -> None:
    """Nobody there: the delivery waits its back-off and a new connection is tried."""
    bench = Bench(due(1))
    bench.refuse()
    assert bench.outcome() is AttemptOutcome.REFUSED
    assert bench.last().uncertain is None
    bench.reactor.advance(1.1)
    bench.connect()
    bench.answer(ack("AA", "C1"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.DELIVERED


def test_connecting_has_a_time_limit() -> None:
    """A connection that does not stand within connect_timeout counts as refused."""
    bench = Bench(due(1))
    bench.reactor.advance(10.1)
    assert bench.outcome() is AttemptOutcome.REFUSED


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_an_ack_may_come_in_pieces(cut: int) -> None:
    """However the ack is cut, it is one ack."""
    bench = Bench(due(1))
    bench.connect()
    whole = ack("AA", "C1")
    bench.answer(whole[:cut])
    bench.answer(whole[cut:])
    assert bench.store.states["20261121-1.1"] is DeliveryState.DELIVERED


def test_an_ack_of_another_message_is_not_taken() -> None:
    """A wrong MSA-2 is counted, the wait goes on, and the right one still counts."""
    bench = Bench(due(1))
    bench.connect()
    bench.answer(ack("AA", "C11"), ack("AA", ""), ack("AA", "C"))
    assert bench.store.settlements == []
    assert bench.channel.counts.mismatched_acks == 3
    bench.answer(ack("AA", "C1"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.DELIVERED


def test_only_wrong_acks_end_as_mismatch_over_a_new_connection() -> None:
    """The total deadline runs whatever comes; then the same bytes go over a new connection."""
    bench = Bench(due(1))
    first = bench.connect()
    for _ in range(29):
        bench.reactor.advance(1)
        bench.answer(ack("AA", "other"))
    bench.reactor.advance(1.1)
    assert first.disconnected
    assert bench.outcome() is AttemptOutcome.MISMATCH
    assert bench.last().uncertain is True
    bench.reactor.advance(1.1)
    second = bench.connect()
    assert second.value() == first.value()


def test_a_drip_does_not_extend_the_time() -> None:
    """An ack of one byte a second is late however long it goes on."""
    bench = Bench(due(1))
    wire = bench.connect()
    for byte in ack("AA", "C1")[:29]:
        bench.answer(bytes([byte]))
        bench.reactor.advance(1)
    bench.reactor.advance(1.1)
    assert wire.disconnected
    assert bench.outcome() is AttemptOutcome.TIMEOUT


@pytest.mark.parametrize(
    "answer",
    [
        encode_frame(b"hello"),
        encode_frame(b"MSH|^~\\&|A|B|C|D|20261121||ACK|1|P|2.5\r"),
        encode_frame(b"MSH|^~\\&|A|B|C|D|20261121||ACK|1|P|2.5\rMSA|XX|C1\r"),
        encode_frame(b""),
        b"\x0b" + b"x" * 20_000,
    ],
)
def test_garbage_is_no_ack(answer: bytes) -> None:
    """What cannot be read or is too long ends the connection; the same bytes go again."""
    bench = Bench(due(1))
    wire = bench.connect()
    bench.answer(answer)
    assert wire.disconnected
    assert bench.outcome() is AttemptOutcome.GARBAGE
    assert bench.last().uncertain is True
    bench.reactor.advance(1.1)
    assert bench.connect().value() == encode_frame(due(1).body)


def test_lower_case_acks_count() -> None:
    """aa is AA."""
    bench = Bench(due(1))
    bench.connect()
    bench.answer(ack("aa", "C1"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.DELIVERED


def test_the_second_of_two_acks_is_not_the_next_one_s() -> None:
    """Two acks in one packet settle one message; nothing shifts by one."""
    bench = Bench(due(1), due(2))
    bench.connect()
    bench.answer(ack("AA", "C1"), ack("AA", "C1"))
    assert bench.store.states["20261121-2.1"] is DeliveryState.PENDING
    bench.answer(ack("AE", "C2"))
    assert bench.outcome() is AttemptOutcome.NACK
    assert bench.channel.counts.discarded_bytes + bench.channel.counts.mismatched_acks > 0


def test_bytes_while_nothing_is_in_flight_are_counted() -> None:
    """Unasked bytes change nothing and are counted."""
    bench = Bench(due(1))
    bench.connect()
    bench.answer(ack("AA", "C1"))
    bench.answer(b"\x00\x00noise", ack("AA", "C2"))
    bench.store.add(due(2))
    bench.channel.offer([due(2)])
    assert bench.store.states["20261121-2.1"] is DeliveryState.PENDING
    assert bench.channel.counts.discarded_bytes == 7 + len(ack("AA", "C2"))


@pytest.mark.parametrize("is_idle", [True, False])
def test_a_late_refusal_parks_what_was_delivered(is_idle: bool) -> None:
    """CA first, AE of the application later: that delivery is parked as late_nack."""
    bench = Bench(due(1), *([] if is_idle else [due(2)]))
    bench.connect()
    bench.answer(ack("CA", "C1"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.DELIVERED
    bench.answer(ack("AE", "C1"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.PARKED
    assert bench.last().park is not None
    assert bench.last().park.code is ParkCode.LATE_NACK  # type: ignore[union-attr]
    if not is_idle:
        bench.answer(ack("AA", "C2"))
        assert bench.store.states["20261121-2.1"] is DeliveryState.DELIVERED


def test_a_refusal_said_twice_counts_once() -> None:
    """A receiver that repeats its AE does not take the next try away from the delivery."""
    bench = Bench(due(1))
    bench.connect()
    bench.answer(ack("AE", "C1") + ack("AE", "C1"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.PENDING


def test_an_equal_control_id_gets_a_new_connection() -> None:
    """Two messages with the same MSH-10 in a row never share a connection."""
    bench = Bench(due(1, control_id="X"), due(2, control_id="X"))
    first = bench.connect()
    bench.answer(ack("AA", "X"))
    assert first.disconnected
    second = bench.connect()
    assert second is not first
    bench.answer(ack("AA", "X"))
    assert set(bench.store.states.values()) == {DeliveryState.DELIVERED}


def test_an_empty_control_id_gets_a_new_connection() -> None:
    """Acks of messages without MSH-10 cannot be told apart, so connections are not shared."""
    blank = [
        replace(due(n), control_id="", body=b"MSH|^~\\&|A|B|C|D|2026||ADT||P|2.5\r") for n in (1, 2)
    ]
    bench = Bench(*blank)
    first = bench.connect()
    bench.answer(ack("AA", ""))
    assert first.disconnected
    bench.connect()
    bench.answer(ack("AA", ""))
    assert set(bench.store.states.values()) == {DeliveryState.DELIVERED}


def test_a_reset_in_the_middle_is_uncertain_and_sent_again() -> None:
    """A connection that breaks after the send leaves uncertain; the same bytes go again."""
    bench = Bench(due(1))
    bench.connect()
    bench.lose(ConnectionLost())
    assert bench.outcome() is AttemptOutcome.BROKEN
    assert bench.last().uncertain is True
    bench.reactor.advance(1.1)
    bench.connect()
    assert bench.sent() == [b"C1"]


def test_a_peer_that_hangs_up_after_each_ack_is_served() -> None:
    """Closing between messages is no error: the next one opens a connection."""
    bench = Bench(due(1))
    bench.connect()
    bench.answer(ack("AA", "C1"))
    bench.lose(ConnectionDone())
    bench.store.add(due(2))
    bench.channel.offer([due(2)])
    bench.connect()
    bench.answer(ack("AA", "C2"))
    assert bench.channel.counts.broken == 0
    assert bench.store.states["20261121-2.1"] is DeliveryState.DELIVERED


def test_application_acks_are_awaited_after_the_commit_ack() -> None:
    """ack: application: CA is stored as seen, AA of the application settles."""
    bench = Bench(due(1), ack=AckWanted.APPLICATION)
    bench.connect()
    bench.answer(ack("CA", "C1"))
    assert bench.last().commit_acked is True
    assert bench.store.states["20261121-1.1"] is DeliveryState.PENDING
    bench.answer(ack("AA", "C1"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.DELIVERED


def test_no_application_ack_parks_without_sending_again() -> None:
    """After the commit ack the peer has it: silence parks no_application_ack."""
    bench = Bench(due(1), ack=AckWanted.APPLICATION)
    bench.connect()
    bench.answer(ack("CA", "C1"))
    bench.reactor.advance(30.1)
    assert bench.last().park is not None
    assert bench.last().park.code is ParkCode.NO_APPLICATION_ACK  # type: ignore[union-attr]


def test_without_acks_written_is_delivered() -> None:
    """ack: none: messages go out without waiting; what comes back is thrown away."""
    bench = Bench(due(1), due(2), ack=AckWanted.NONE)
    bench.connect()
    bench.reactor.advance(0)
    bench.reactor.advance(0)
    assert bench.sent() == [b"C1", b"C2"]
    bench.answer(ack("AA", "C1"))
    assert set(bench.store.states.values()) == {DeliveryState.DELIVERED}
    assert bench.channel.counts.discarded_bytes > 0


def test_the_time_for_the_answer_begins_with_the_last_byte() -> None:
    """A large message on a slow line is not late before it has been written."""
    bench = Bench(due(1, body=due(1).body + b"OBX" + b"x" * 1_000_000))
    factory = bench.reactor.tcpClients[-1][2]
    protocol = factory.buildProtocol(IPv4Address("TCP", "10.0.0.1", 6661))
    wire = Wire()
    wire.protocol = protocol
    plain_write = wire.write

    def slow_write(chunk: bytes) -> None:
        plain_write(chunk)
        protocol.pauseProducing()

    wire.write = slow_write  # type: ignore[method-assign]
    protocol.makeConnection(wire)
    bench.reactor.advance(60)
    protocol.resumeProducing()
    bench.reactor.advance(29)
    assert not wire.disconnected
    bench.reactor.advance(2)
    assert wire.disconnected
    assert bench.outcome() is AttemptOutcome.TIMEOUT


def test_error_codes_reach_the_policy() -> None:
    """ERR-3 of the answer is part of the decision: AR/207 may be retried where AR is not."""
    from engine.model.retry import RetryBudget

    bench = Bench(due(1), on_ack={"AR/207": RetryBudget(attempts=5)})
    bench.connect()
    bench.answer(ack("AR", "C1", error="207"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.PENDING
    bench.reactor.advance(1.1)
    bench.connect()
    bench.answer(ack("AR", "C1", error="204"))
    assert bench.store.states["20261121-1.1"] is DeliveryState.PARKED


def test_a_peer_that_hangs_up_is_not_shown_as_connected() -> None:
    """If this failed, status would say connected while nobody is there."""
    bench = Bench(due(1))
    bench.connect()
    bench.answer(ack("AA", "C1"))
    assert bench.channel.status().is_standing
    bench.lose(ConnectionDone())
    assert not bench.channel.status().is_standing
    assert bench.channel.status().is_connected, "it is not down: nobody has tried"


def test_stop_leaves_nothing_behind() -> None:
    """After stop the connection is closing; once it is gone no timer runs."""
    bench = Bench(due(1), due(2))
    wire = bench.connect()
    bench.channel.abort()
    assert wire.disconnecting
    bench.lose(ConnectionDone())
    assert bench.reactor.getDelayedCalls() == []
    assert not bench.channel.status().is_standing


def test_a_receiver_that_does_not_let_itself_be_closed_is_dropped() -> None:
    """If this failed, each reload would leave a connection to such a receiver behind for good."""
    bench = Bench(due(1))
    wire = bench.connect()
    bench.channel.abort()
    bench.reactor.advance(CLOSE_S - 0.1)
    assert not wire.disconnected
    bench.reactor.advance(0.2)
    assert wire.disconnected
    assert bench.reactor.getDelayedCalls() == []
