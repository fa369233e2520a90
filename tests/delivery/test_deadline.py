"""Tests of the time limit that is set and lifted with every message."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from engine.delivery.deadline import Deadline


class Seen:
    """A deadline on a clock of its own, and when it passed."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.passed: list[float] = []
        self.deadline = Deadline(self.clock, lambda: self.passed.append(self.clock.seconds()))

    def run(self, seconds: float) -> None:
        """Let time go by in tenths."""
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)


@pytest.fixture
def seen() -> Seen:
    """A deadline that is not set."""
    return Seen()


def test_it_passes_once_at_its_time(seen: Seen) -> None:
    """A limit that is set passes at its time and not again."""
    seen.deadline.set(3.0)
    seen.run(2.9)
    assert seen.passed == []
    seen.run(10)
    assert seen.passed == [pytest.approx(3.0, abs=0.11)]


def test_a_lifted_one_does_not_pass(seen: Seen) -> None:
    """An answer in time means that nothing passes, although the timer still comes."""
    seen.deadline.set(3.0)
    seen.run(1)
    seen.deadline.lift()
    seen.run(10)
    assert seen.passed == []
    assert seen.clock.getDelayedCalls() == []


def test_the_next_message_has_its_whole_time(seen: Seen) -> None:
    """A limit set while an older timer stands passes at its own time, not at the older one's."""
    seen.deadline.set(3.0)
    seen.run(2)
    seen.deadline.lift()
    seen.deadline.set(3.0)
    seen.run(2.8)
    assert seen.passed == []
    seen.run(1)
    assert seen.passed == [pytest.approx(5.0, abs=0.11)]


def test_a_shorter_one_passes_earlier(seen: Seen) -> None:
    """A limit before that of the timer that stands does not wait for it."""
    seen.deadline.set(30.0)
    seen.deadline.set(1.0)
    seen.run(2)
    assert seen.passed == [pytest.approx(1.0, abs=0.11)]


def test_a_thousand_messages_are_one_timer(seen: Seen) -> None:
    """Setting and lifting makes no timers one after the other."""
    for _ in range(1000):
        seen.deadline.set(30.0)
        seen.deadline.lift()
    assert len(seen.clock.getDelayedCalls()) == 1
    seen.deadline.cancel()
    assert seen.clock.getDelayedCalls() == []
