"""What never became a message is told to the ledger."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred, succeed

from engine.model.errors import StoreFull
from engine.store.records import Noted
from tests.support.intake import IntakeBench

ADT = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A01|X1|P|2.5\rPID|1||4711^^^H^MR\r"


def test_frames_that_a_full_store_refused_are_counted_once_there_is_room() -> None:
    """If this failed, nobody could say how many messages a full disk turned away."""
    bench = IntakeBench()
    listener: Any = SimpleNamespace(counts=SimpleNamespace(discarded_bytes=7, oversize_frames=1))
    bench.channel.listener = listener
    bench.writer.answer = StoreFull()
    bench.send(ADT)
    bench.send(ADT)
    bench.writer.commits_at_once = False
    told = []
    for answer in (StoreFull(), Noted()):
        bench.channel.losses.report()
        ((loss, done),) = bench.writer.waiting
        bench.writer.waiting.clear()
        told.append((loss.discarded_bytes, loss.refused_frames))
        done(answer)
    assert told == [(7, 3), (7, 3)]
    bench.channel.losses.report()
    assert bench.writer.waiting == []


def test_frames_that_are_refused_while_the_channel_closes_are_counted() -> None:
    """If this failed, what a full disk turned away at a stop would be in no ledger."""
    bench = IntakeBench()
    closed: Deferred[None] = Deferred()
    listener: Any = SimpleNamespace(
        counts=SimpleNamespace(discarded_bytes=0, oversize_frames=0),
        stop_listening=lambda: succeed(None),
        close_connections=lambda: closed,
    )
    bench.channel.listener = listener
    bench.channel.stop()
    bench.writer.answer = StoreFull()
    bench.send(ADT)
    bench.writer.commits_at_once = False
    closed.callback(None)
    ((loss, _),) = bench.writer.waiting
    assert loss.refused_frames == 1
