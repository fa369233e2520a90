"""Group commit: settlements of several lanes wait for each other, acks wait for none of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from engine.store.memory_store import MemoryStore
from engine.store.writer import Writer
from tests.store.builders import DAY, accept, arrival, delivered


class GatedStore(MemoryStore):
    """Notes what each commit holds; lets a test decide when the first may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.gate = threading.Event()
        self.batches: list[list[str]] = []

    def commit(self, work: Any) -> Any:
        """Wait for the gate."""
        self.entered.set()
        assert self.gate.wait(60)
        self.batches.append([type(each).__name__[0] for each in work])
        return super().commit(work)


class Bench:
    """A writer over a gated store, and what is to happen while it waits for company."""

    def __init__(self) -> None:
        self.store = GatedStore()
        self.store.gate.set()
        accept(self.store, *[arrival(n) for n in range(1, 9)])
        self.store.batches.clear()
        self.store.entered.clear()
        self.store.gate.clear()
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.answers: list[Any] = []
        self.pauses = 0
        #: what is submitted in the next pause
        self.coming: list[Any] = []
        self.writer = Writer(
            self.store, deliver=self.calls.put, on_fence=self.answers.append, pause=self._pause
        )

    def _pause(self, seconds: float) -> None:
        self.pauses += 1
        coming, self.coming = self.coming, []
        self.submit(*coming)

    def submit(self, *work: Any) -> None:
        """Submit all."""
        for each in work:
            self.writer.submit(each, self.answers.append)

    def settle_three_together(self) -> None:
        """Have a first commit, and a second that settles three."""
        self.submit(delivered(f"{DAY}-1.1"))
        assert self.store.entered.wait(60)
        self.submit(delivered(f"{DAY}-2.1"), delivered(f"{DAY}-3.1"), delivered(f"{DAY}-7.1"))
        self.store.gate.set()
        self.wait_for(4)

    def wait_for(self, count: int) -> None:
        """Run what is told until so many are answered."""
        while len(self.answers) < count:
            self.calls.get(timeout=60)()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A running writer."""
    bench = Bench()
    bench.writer.start()
    yield bench
    bench.store.gate.set()
    assert bench.writer.stop()


def test_lanes_that_came_together_go_on_together(bench: Bench) -> None:
    """A settlement that comes a moment before the others does not make a commit of its own."""
    bench.settle_three_together()
    bench.coming = [delivered(f"{DAY}-5.1"), delivered(f"{DAY}-6.1")]
    bench.submit(delivered(f"{DAY}-4.1"))
    bench.wait_for(7)
    assert bench.store.batches[-1] == ["S", "S", "S"]


def test_the_wait_for_company_ends(bench: Bench) -> None:
    """Where no other lane has anything to settle, the one that came is made durable."""
    bench.settle_three_together()
    bench.pauses = 0
    bench.submit(delivered(f"{DAY}-4.1"))
    bench.wait_for(5)
    assert bench.store.batches[-1] == ["S"]
    assert 0 < bench.pauses < 10


def test_a_message_waits_for_nobody(bench: Bench) -> None:
    """A commit that a sender's ack waits for begins at once, and takes along what is there."""
    bench.settle_three_together()
    bench.pauses = 0
    bench.submit(arrival(9))
    bench.wait_for(5)
    assert bench.pauses == 0


def test_a_message_ends_the_wait_of_settlements(bench: Bench) -> None:
    """A message that comes while settlements wait is stored with them, without a further wait."""
    bench.settle_three_together()
    bench.pauses = 0
    bench.coming = [arrival(9)]
    bench.submit(delivered(f"{DAY}-4.1"))
    bench.wait_for(6)
    assert bench.pauses == 1
    assert sorted(bench.store.batches[-1]) == ["A", "S"]
