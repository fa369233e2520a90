"""A channel that stops gives its receiver a while, and no more."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from engine.delivery.channel import OutboundChannel
from engine.delivery.file_writer import FileWriter
from engine.delivery.mllp_sender import MllpSender, MllpTarget
from engine.delivery.policy import DeliveryPolicy
from engine.model.records import Settlement
from engine.model.states import AttemptOutcome, DeliveryState
from tests.support.lanes import QueueStore, due, seams_for
from tests.support.live import LiveLoop
from tests.support.scripted_peer import ScriptedPeer


@pytest.fixture
def live() -> Iterator[LiveLoop]:
    """A loop of this test's own."""
    loop = LiveLoop()
    yield loop
    loop.close()


def start(live: LiveLoop, port: int) -> tuple[QueueStore, OutboundChannel]:
    """Start a channel that owes one delivery to a receiver on *port*, and has all the time."""
    store = QueueStore()
    store.add(due(1))
    target = MllpTarget("127.0.0.1", port, 60.0, timeout_s=60.0)
    channel = OutboundChannel(
        "lis",
        DeliveryPolicy(),
        lane_count=1,
        seams=seams_for(live.reactor, store),
        make_sender=lambda channel, lane: MllpSender(channel, lane, target),
    )
    channel.start([1])
    return store, channel


def assert_cut_off(settlement: Settlement, outcome: AttemptOutcome) -> None:
    """Fail unless the try was cut off and its delivery is still owed."""
    assert settlement.state is DeliveryState.PENDING
    assert settlement.attempt is not None
    assert settlement.attempt.outcome is outcome
    assert settlement.attempt.detail.startswith("cut off")


def test_what_a_silent_receiver_has_is_uncertain(live: LiveLoop) -> None:
    """A receiver that never answers is not waited for; it may have the message."""
    peer = ScriptedPeer("silence")
    port = live.reactor.listenTCP(0, peer, interface="127.0.0.1").getHost().port
    store, channel = start(live, port)
    live.until(lambda: peer.received)
    live.run(channel.stop(0.05))
    (settlement,) = store.settlements
    assert_cut_off(settlement, AttemptOutcome.BROKEN)
    assert settlement.uncertain


def test_what_was_never_sent_is_certain(live: LiveLoop) -> None:
    """A connection that does not come about is given up; the receiver has nothing."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    store, channel = start(live, full.getsockname()[1])
    live.run(channel.stop(0.05))
    (settlement,) = store.settlements
    assert_cut_off(settlement, AttemptOutcome.REFUSED)
    assert not settlement.uncertain
    for one in (full, *waiting):
        one.close()


def test_a_folder_that_hangs_gets_no_file_later(tmp_path: Path) -> None:
    """A file whose channel has moved on does not get its name in the old folder."""
    store = QueueStore()
    store.add(due(1, file_name="a.hl7"))
    hanging: list[Callable[[], None]] = []

    def read(function: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        if done.__name__ == "written":
            hanging.append(lambda: store.read(function, done))
        else:
            store.read(function, done)

    reactor = MemoryReactorClock()
    channel = OutboundChannel(
        "archive",
        DeliveryPolicy(),
        lane_count=1,
        seams=replace(seams_for(reactor, store), read=read),
        make_sender=lambda channel, lane: FileWriter(channel, lane, tmp_path),
    )
    channel.start([1])
    channel.stop(3.0)
    reactor.advance(3.0)
    (settlement,) = store.settlements
    assert_cut_off(settlement, AttemptOutcome.BROKEN)
    assert settlement.uncertain
    hanging[0]()
    assert list(tmp_path.iterdir()) == []
    assert len(store.settlements) == 1
