"""Connections: who is let in, in what order acks leave, and when we hang up."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from engine.intake.budget import Budget
from engine.intake.connection import MllpConnection, Reply
from engine.intake.listener import ListenerLimits, MllpListener
from engine.mllp.frames import encode_frame
from engine.store.file_room import Kept
from tests.support.wire import Wire


class FakePort:
    """A port that listens to nothing."""

    def getHost(self) -> IPv4Address:
        """Return a made-up address."""
        return IPv4Address("TCP", "127.0.0.1", 2575)

    def stopListening(self) -> None:
        """Nothing to stop."""


class FakeReactor(Clock):
    """A clock that can also pretend to listen."""

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Pretend."""
        return FakePort()


class Bench:
    """A listener whose frames wait for the test to answer them."""

    def __init__(self, budget: Budget | None = None, **limits: Any) -> None:
        self.reactor = FakeReactor()
        self.frames: list[tuple[bytes, Reply]] = []
        self.oversize: list[tuple[bytes, Reply]] = []
        self.budget = budget or Budget()
        self.listener = MllpListener(
            self.reactor,
            name="his",
            limits=ListenerLimits(**limits),
            budget=self.budget,
            on_frame=lambda body, reply: self.frames.append((body, reply)),
            on_oversize=lambda head, reply: self.oversize.append((head, reply)),
        )
        self.listener.start("127.0.0.1", 0)

    def connect(self, host: str = "127.0.0.1") -> tuple[Any, Wire]:
        """Return a connection and its wire; the connection is None when it was refused."""
        connection = self.listener.buildProtocol(IPv4Address("TCP", host, 4000))
        wire = Wire(peerAddress=IPv4Address("TCP", host, 4000))
        wire.protocol = connection
        if connection is not None:
            connection.makeConnection(wire)
        return connection, wire

    def tick(self, seconds: int) -> None:
        """Let the sweep run each second."""
        self.reactor.pump([1.0] * seconds)


def test_acks_leave_in_the_order_of_their_frames() -> None:
    """However late the first frame's ack is known, it leaves first, all in one write."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(encode_frame(b"one") + encode_frame(b"two") + encode_frame(b"three"))
    replies = [reply for _, reply in bench.frames]
    replies[2].give(b"3")
    replies[1].give(b"2")
    bench.reactor.advance(0)
    assert wire.value() == b""
    replies[0].give(b"1")
    bench.reactor.advance(0)
    assert wire.value() == encode_frame(b"1") + encode_frame(b"2") + encode_frame(b"3")
    assert wire.writes == 1


def test_acks_of_one_commit_are_one_write() -> None:
    """Acks that become ready in order, as after one commit, are written together."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(b"".join(encode_frame(b"%d" % n) for n in range(100)))
    for number, (_, reply) in enumerate(bench.frames):
        reply.give(b"ack%d" % number)
    bench.reactor.advance(0)
    assert wire.value() == b"".join(encode_frame(b"ack%d" % n) for n in range(100))
    assert wire.writes == 1
    assert bench.budget.used == 0


def test_no_ack_leaves_where_none_is_due() -> None:
    """An empty ack keeps the order and writes nothing."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(encode_frame(b"one") + encode_frame(b"two"))
    bench.frames[0][1].give(b"")
    bench.frames[1][1].give(b"2")
    bench.reactor.advance(0)
    assert wire.value() == encode_frame(b"2")


def test_only_allowed_networks_come_in() -> None:
    """With an allow list, other addresses are closed at once and counted."""
    bench = Bench()
    bench.listener._allow = (ipaddress.ip_network("10.0.0.0/8"),)
    assert bench.connect("192.168.1.1")[0] is None
    assert bench.connect("10.1.2.3")[0] is not None
    assert bench.listener.counts.refused_connections == 1


def test_connections_are_capped_in_all_and_per_peer() -> None:
    """One peer cannot take every place, and a place comes back when a connection ends."""
    bench = Bench(max_connections=3, max_per_peer=2)
    first, _ = bench.connect("10.0.0.1")
    assert bench.connect("10.0.0.1")[0] is not None
    assert bench.connect("10.0.0.1")[0] is None
    assert bench.connect("10.0.0.2")[0] is not None
    assert bench.connect("10.0.0.3")[0] is None
    first.connectionLost(Failure(ConnectionDone()))
    assert bench.connect("10.0.0.1")[0] is not None
    assert bench.listener.counts.refused_connections == 2


def test_where_files_run_short_only_the_first_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rush is refused before it is let in: not even for a moment has it the store's files."""
    monkeypatch.setattr(
        "engine.intake.listener.leaves_room", lambda kept: kept is Kept.BY_FIRST_SENDERS
    )
    bench = Bench()
    assert [bench.connect()[0] is None for _ in range(4)] == [False, False, True, True]
    assert bench.listener.counts.refused_connections == 2


def test_an_idle_connection_is_closed_but_not_while_an_ack_is_due() -> None:
    """idle_timeout counts silence between frames only."""
    bench = Bench(idle_timeout_s=60.0)
    connection, wire = bench.connect()
    connection.dataReceived(encode_frame(b"one"))
    bench.tick(120)
    assert not wire.disconnected
    bench.frames[0][1].give(b"ack")
    bench.tick(60)
    assert wire.disconnected
    assert bench.listener.connection_count == 0


def test_an_unfinished_frame_is_dropped_after_its_time() -> None:
    """Silence inside a frame ends the connection; nothing is taken."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(b"\x0bMSH|" + b"x" * 200_000)
    bench.tick(29)
    assert not wire.disconnected
    bench.tick(2)
    assert wire.disconnected
    assert bench.frames == []
    assert bench.budget.used == 0


def test_a_drip_is_too_slow() -> None:
    """A frame that comes a byte at a time is dropped although it is never silent for long."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(b"\x0bMSH")
    for _ in range(12):
        if not wire.disconnected:
            connection.dataReceived(b"x")
        bench.tick(1)
    assert wire.disconnected


@pytest.mark.parametrize(("text", "seconds"), [(b"GET / HTTP/1.1\r\n\r\n", 6), (b"x" * 2000, 0)])
def test_what_is_no_mllp_is_hung_up_on(text: bytes, seconds: int) -> None:
    """Port scans and web browsers are dropped within seconds, their bytes counted."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(text)
    bench.tick(seconds)
    assert wire.disconnected
    assert bench.listener.counts.discarded_bytes == len(text)
    assert bench.listener.counts.dropped_connections == 1


def test_a_missing_cr_costs_a_tenth_of_a_second() -> None:
    """A sender that leaves out the CR is answered after a short wait."""
    bench = Bench()
    connection, _ = bench.connect()
    connection.dataReceived(b"\x0bone\x1c")
    assert bench.frames == []
    bench.reactor.advance(0.11)
    assert [body for body, _ in bench.frames] == [b"one"]
    connection.dataReceived(b"\x0btwo\x1c")
    connection.dataReceived(b"\r")
    assert [body for body, _ in bench.frames] == [b"one", b"two"]


def test_oversize_is_told_and_the_connection_lives() -> None:
    """A frame beyond the limit gets its own answer in order; the next one is taken."""
    bench = Bench(max_message_bytes=100)
    connection, wire = bench.connect()
    connection.dataReceived(encode_frame(b"MSH" + b"x" * 500) + encode_frame(b"two"))
    assert len(bench.oversize) == 1
    bench.oversize[0][1].give(b"AR")
    bench.frames[0][1].give(b"AA")
    bench.reactor.advance(0)
    assert wire.value() == encode_frame(b"AR") + encode_frame(b"AA")


def test_half_closed_senders_get_their_ack() -> None:
    """A sender that closes its side after the message still reads the ack; then we close."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(encode_frame(b"one"))
    connection.readConnectionLost()
    assert not wire.disconnecting
    bench.frames[0][1].give(b"ack")
    assert wire.value() == encode_frame(b"ack")
    assert wire.disconnecting


def test_a_sender_that_does_not_read_is_not_read_from() -> None:
    """When acks pile up in the transport, no more frames are taken from that peer."""
    bench = Bench()
    connection, wire = bench.connect()
    assert wire.producer is connection
    connection.pauseProducing()
    assert wire.producerState == "paused"
    connection.resumeProducing()
    assert wire.producerState == "producing"


def test_over_the_budget_reading_stops_and_goes_on() -> None:
    """More than the budget in flight stops reading until acks have made room."""
    bench = Bench(Budget(10_000))
    first, wire_1 = bench.connect()
    second, wire_2 = bench.connect()
    first.dataReceived(encode_frame(b"x" * 9_000))
    assert wire_1.producerState == "paused"
    second.dataReceived(encode_frame(b"y"))
    assert wire_2.producerState == "paused"
    bench.frames[0][1].give(b"ack")
    assert wire_1.producerState == "producing"
    assert wire_2.producerState == "producing"
    bench.frames[1][1].give(b"ack")
    assert bench.budget.used == 0


def test_a_frame_that_is_hung_up_on_takes_no_memory_any_more() -> None:
    """A sender that repeats such a frame for ever would otherwise stop all reading in the end."""
    bench = Bench(Budget(10_000))
    connection, wire = bench.connect()
    connection.dataReceived(encode_frame(b"x" * 3_000) + encode_frame(b"y"))
    (_, first), (_, second) = bench.frames
    first.hang_up()
    first.hang_up()
    second.give(b"ack")
    assert bench.budget.used == 0
    assert wire.value() == b""


def test_a_message_larger_than_the_budget_runs_alone() -> None:
    """Half-read messages that fill the budget cannot block each other: one goes on at a time."""
    bench = Bench(Budget(10_000))
    pairs = [bench.connect() for _ in range(3)]
    for connection, _ in pairs:
        connection.dataReceived(b"\x0b" + b"x" * 6_000)
    assert [wire.producerState for _, wire in pairs] == ["producing", "producing", "paused"]
    pairs[0][0].dataReceived(b"x")
    states = [wire.producerState for _, wire in pairs]
    assert states.count("producing") == 1
    alone = states.index("producing")
    pairs[alone][0].dataReceived(b"x" * 20_000)
    assert pairs[alone][1].producerState == "producing"
    pairs[alone][0].dataReceived(b"\x1c\r")
    assert len(bench.frames) == 1
    states = [wire.producerState for _, wire in pairs]
    assert states.count("producing") == 1
    assert states.index("producing") != alone
    for connection, _ in pairs:
        connection.connectionLost(Failure(ConnectionDone()))
    bench.frames[0][1].give(b"ack")
    assert bench.budget.used == 0
    assert bench.budget.waiting_count == 0


def test_stopping_waits_for_acks() -> None:
    """close_connections fires when every connection has its acks and is gone; no timer stays."""
    bench = Bench()
    connection, wire = bench.connect()
    connection.dataReceived(encode_frame(b"one"))
    bench.listener.stop_listening()
    done: list[object] = []
    bench.listener.close_connections().addCallback(done.append)
    assert not wire.disconnecting
    bench.frames[0][1].give(b"ack")
    assert wire.disconnecting
    assert done == []
    connection.connectionLost(Failure(ConnectionDone()))
    assert done == [None]
    assert bench.reactor.getDelayedCalls() == []


def test_a_frame_that_ended_with_fs_counts_when_the_sender_leaves() -> None:
    """FS is the end of the message even if the connection ends before the CR."""
    bench = Bench()
    connection, _ = bench.connect()
    connection.dataReceived(b"\x0bone\x1c")
    connection.connectionLost(Failure(ConnectionDone()))
    assert [body for body, _ in bench.frames] == [b"one"]
    assert isinstance(connection, MllpConnection)
