"""Tests of taking turns: a rush of frames gives way, and keeps its order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.intake.channel import InboundChannel
from engine.intake.turns import Turns
from tests.support.intake import HandReply, IntakeBench, acceptance_for

ADT = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A01|%d|P|2.5\rPID|1||4711^^^H^MR\r"


class Rounds:
    """A loop whose rounds come when the test says so."""

    def __init__(self) -> None:
        self._asked: list[Callable[[], None]] = []
        self.turns = Turns(self._asked.append)

    def next(self) -> bool:
        """Run what asked for a round; return whether anything did."""
        asked, self._asked[:] = self._asked[:], []
        for work in asked:
            work()
        return bool(asked)


def test_the_first_is_done_at_once_and_the_others_in_their_turns() -> None:
    """One message waits for nothing; of a rush a few go in each round, in their order."""
    rounds, done = Rounds(), list[int]()
    for number in range(6):
        rounds.turns.add(lambda number=number: done.append(number))  # type: ignore[misc]
    assert done == [0]
    rounds.next()
    assert 1 < len(done) < 6
    rounds.turns.add(lambda: done.append(6))
    while rounds.next():
        pass
    assert done == list(range(7))
    rounds.turns.add(lambda: done.append(7))
    assert done[-1] == 7


def test_one_that_fails_does_not_hold_up_the_others() -> None:
    """A defect in one is told to the loop; the rest has its turn all the same."""
    rounds, done = Rounds(), list[str]()

    def fail() -> None:
        raise ValueError("a defect")

    for work in (lambda: done.append("first"), fail, lambda: done.append("last")):
        rounds.turns.add(work)
    with pytest.raises(ValueError, match="a defect"):
        rounds.next()
    while rounds.next():
        pass
    assert done == ["first", "last"]


def test_what_waits_for_its_turn_when_all_is_dropped_is_not_stored() -> None:
    """After an abort the senders were hung up on: what had no turn yet is theirs to send again."""
    bench, rounds = IntakeBench(), Rounds()
    seams = replace(bench.seams, add_turn=rounds.turns.add)
    channel = InboundChannel("his", acceptance_for(bench.compiled), seams)
    for number in (1, 2):
        channel.take_frame(ADT % number, _reply())
    channel.abort()
    while rounds.next():
        pass
    assert [arrival.control_id for arrival in bench.writer.arrivals] == ["1"]


def test_messages_are_stored_in_the_order_of_their_frames() -> None:
    """Single messages and batches keep the order, ids and times of their frames."""
    bench, rounds = IntakeBench(), Rounds()
    seams = replace(bench.seams, add_turn=rounds.turns.add)
    channel = InboundChannel("his", acceptance_for(bench.compiled), seams)
    batch = b"BHS|^~\\&|HIS|H|LIS|L|20261121||||B1\r" + ADT % 2 + ADT % 3 + b"BTS|2\r"
    replies = [_reply() for _ in range(3)]
    for body, reply in zip((ADT % 1, batch, ADT % 4), replies, strict=True):
        channel.take_frame(body, reply)
    bench.clock.advance(5)
    assert channel.in_flight_count == 3  # the first was done and stored
    while rounds.next():
        pass
    assert [arrival.control_id for arrival in bench.writer.arrivals] == ["1", "2", "3", "4"]
    assert len({arrival.received_at for arrival in bench.writer.arrivals}) == 1
    numbers = [int(arrival.message_id[9:]) for arrival in bench.writer.arrivals]
    assert numbers == sorted(numbers)
    assert all(b"MSA|AA|" in reply.ack for reply in replies)


def _reply() -> Any:
    return HandReply()
