"""Group commit: who is answered when, and what happens after a fence."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from engine.model.errors import Conflict, Fenced, Stopping
from engine.model.records import Accepted
from engine.store.interface import Store
from engine.store.memory_store import MemoryStore
from engine.store.records import PruneReport, Retention
from engine.store.writer import Writer
from tests.store.builders import DAY, accept, arrival, ids, keyed, operation, refused, settle


class Loop:
    """Stands for the reactor: what is delivered runs here, one call after the other."""

    def __init__(self) -> None:
        self.calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.fences: list[Exception] = []
        self.ready: list[frozenset[str]] = []

    def run_until(self, happened: Callable[[], bool]) -> int:
        """Run deliveries until something happened; return how many calls that took."""
        count = 0
        while not happened():
            self.calls.get(timeout=60)()
            count += 1
        return count


class SlowStore(MemoryStore):
    """Lets a test decide when a commit may go on, and counts commits."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)
        self.entered = threading.Event()
        self.batches: list[int] = []

    def commit(self, work: Any) -> Any:
        """Wait for the gate."""
        self.entered.set()
        self.gate.acquire(timeout=60)
        self.batches.append(len(work))
        return super().commit(work)


@pytest.fixture
def loop() -> Loop:
    """A fresh loop."""
    return Loop()


@pytest.fixture
def store() -> SlowStore:
    """A store with a gate."""
    return SlowStore()


@pytest.fixture
def writer(store: Store, loop: Loop) -> Iterator[Writer]:
    """A running writer."""
    writer = Writer(
        store, deliver=loop.calls.put, on_fence=loop.fences.append, on_ready=loop.ready.append
    )
    writer.start()
    yield writer
    for _ in range(100):
        getattr(store, "gate", threading.Semaphore()).release()
    assert writer.stop()


def test_what_waits_is_one_commit_and_one_delivery(
    writer: Writer, store: SlowStore, loop: Loop
) -> None:
    """While a commit runs, others gather; all of a commit are answered in one call, in order."""
    answers: list[Any] = []
    writer.submit(arrival(1), answers.append)
    assert store.entered.wait(60)
    for n in range(2, 9):
        writer.submit(arrival(n), answers.append)
    store.gate.release()
    loop.run_until(lambda: len(answers) >= 1)
    first = len(answers)
    store.gate.release()
    calls = loop.run_until(lambda: len(answers) == 8)
    assert calls == 1
    assert [answer.message_id for answer in answers] == [f"{DAY}-{n}" for n in range(1, 9)]
    assert store.batches == [first, 8 - first]
    assert (writer.depth, writer.queue_bytes) == (0, 0)


def test_bytes_in_the_queue_are_counted_until_they_are_answered(
    writer: Writer, store: SlowStore, loop: Loop
) -> None:
    """The memory budget sees bodies and outputs from submit to answer."""
    answers: list[Any] = []
    writer.submit(arrival(1, body=bytes(1000)), answers.append)
    assert writer.queue_bytes >= 1000
    assert writer.depth == 1
    store.gate.release()
    loop.run_until(lambda: bool(answers))
    assert (writer.depth, writer.queue_bytes) == (0, 0)


def test_a_call_sees_what_was_submitted_before_it(
    writer: Writer, store: SlowStore, loop: Loop
) -> None:
    """Calls and works keep their order."""
    answers: list[Any] = []
    store.gate.release()
    store.gate.release()
    writer.submit(arrival(1), answers.append)
    writer.call(lambda found: found.counts().seq, answers.append)
    writer.submit(arrival(2), answers.append)
    loop.run_until(lambda: len(answers) == 3)
    assert answers[1] == 1


def test_a_fence_answers_everything_and_is_told_once(
    writer: Writer, store: SlowStore, loop: Loop
) -> None:
    """After the disk failed nothing is acknowledged, now or later."""
    answers: list[Any] = []
    store.fenced = Fenced()
    for n in range(1, 5):
        writer.submit(arrival(n), answers.append)
    writer.apply(operation("cancel", f"{DAY}-1.1"), answers.append)
    store.gate.release(10)
    loop.run_until(lambda: len(answers) == 5)
    writer.submit(arrival(9), answers.append)
    loop.run_until(lambda: len(answers) == 6)
    assert all(isinstance(answer, Fenced) for answer in answers)
    assert len(loop.fences) == 1


def test_an_unexpected_error_fences_without_its_text(loop: Loop) -> None:
    """A bug in the store never turns into an ack, and its text may hold what was written."""

    class Broken(MemoryStore):
        def commit(self, work: Any) -> Any:
            raise ValueError("DOE^JOHN")

    writer = Writer(Broken(), deliver=loop.calls.put, on_fence=loop.fences.append)
    writer.start()
    answers: list[Any] = []
    writer.submit(arrival(1), answers.append)
    loop.run_until(lambda: bool(answers))
    assert isinstance(answers[0], Fenced)
    assert "DOE" not in str(answers[0])
    assert writer.stop()


def test_a_failing_callback_harms_no_other(
    writer: Writer, store: SlowStore, loop: Loop, caplog: pytest.LogCaptureFixture
) -> None:
    """One caller's mistake does not keep the others' acks back."""
    answers: list[Any] = []

    def fail(_: object) -> None:
        raise RuntimeError("DOE^JOHN")

    store.gate.release(10)
    writer.submit(arrival(1), fail)
    writer.submit(arrival(2), answers.append)
    loop.run_until(lambda: bool(answers))
    assert isinstance(answers[0], Accepted)
    assert "DOE" not in caplog.text


def test_an_operation_wakes_the_lanes_it_fed(loop: Loop) -> None:
    """Released followers are announced, so that an idle lane looks again."""
    store = MemoryStore()
    accept(store, keyed(1, 1), keyed(2, 1))
    settle(store, refused(f"{DAY}-1.1"))
    store.tell_ready(lambda _: None)
    writer = Writer(
        store, deliver=loop.calls.put, on_fence=loop.fences.append, on_ready=loop.ready.append
    )
    writer.start()
    reports: list[Any] = []
    writer.apply(operation("release", *ids(1)), reports.append)
    loop.run_until(lambda: bool(reports) and bool(loop.ready))
    assert reports[0].done == 1
    assert loop.ready == [frozenset({"lis"})]
    assert writer.stop()


def test_a_long_write_lets_others_commit_between_its_slices(loop: Loop) -> None:
    """A prune of many slices does not keep an ack waiting for its end."""
    order: list[str] = []
    store = MemoryStore()
    begun = threading.Event()
    submitted = threading.Event()

    def steps(_: Store) -> Any:
        begun.set()
        submitted.wait(60)
        for _number in range(5):
            yield
        order.append("pruned")
        return PruneReport()

    writer = Writer(store, deliver=loop.calls.put, on_fence=loop.fences.append)
    writer.start()
    done: list[Any] = []
    writer.run(steps, done.append)
    assert begun.wait(60)
    writer.submit(arrival(1), lambda answer: order.append("acked"))
    submitted.set()
    loop.run_until(lambda: bool(done) and len(order) == 2)
    assert done == [PruneReport()]
    assert writer.stop()
    assert store.counts().seq == 1


def test_stop_commits_what_was_submitted(loop: Loop) -> None:
    """Nothing that was accepted for writing is dropped at the end."""
    store = MemoryStore()
    writer = Writer(store, deliver=loop.calls.put, on_fence=loop.fences.append)
    answers: list[Any] = []
    for n in range(1, 2000):
        writer.submit(arrival(n), answers.append)
    writer.run(lambda found: found.prune_steps(Retention(), now=0.0), answers.append)
    writer.start()
    assert writer.stop()
    loop.run_until(lambda: len(answers) == 2000)
    assert store.counts().seq == 1999


def test_stop_leaves_a_long_write_between_two_slices(loop: Loop) -> None:
    """If this failed, a stop would wait for a prune or a release of a million to end."""
    store = MemoryStore()
    writer = Writer(store, deliver=loop.calls.put, on_fence=loop.fences.append)
    began = threading.Event()

    def endless(_: Store) -> Any:
        while True:
            began.set()
            yield

    answers: list[object] = []
    writer.start()
    writer.run(endless, answers.append)
    assert began.wait(60)
    assert writer.stop()
    loop.run_until(lambda: bool(answers))
    assert isinstance(answers[0], Stopping)


def test_a_long_write_that_cannot_begin_is_told(loop: Loop) -> None:
    """An operation that is refused at once is its caller's matter; the next commit goes on."""
    writer = Writer(MemoryStore(), deliver=loop.calls.put, on_fence=loop.fences.append)
    writer.start()
    told: list[Any] = []

    def begin(store: Store) -> Any:
        raise Conflict("not now")

    writer.run(begin, told.append)
    writer.submit(arrival(1), told.append)
    loop.run_until(lambda: len(told) == 2)
    assert isinstance(told[0], Conflict)
    assert isinstance(told[1], Accepted)
    assert not loop.fences
    assert writer.stop()


def test_a_thread_that_fails_by_itself_fences(store: SlowStore, loop: Loop) -> None:
    """If this failed, the engine would listen on while nothing is stored or answered any more."""
    fences: list[Exception] = []

    def fail(store: Store) -> Any:
        raise SystemError

    writer = Writer(store, deliver=loop.calls.put, on_fence=fences.append)
    writer._do = fail  # type: ignore[assignment,method-assign]
    writer.start()
    writer.submit(arrival(1), lambda answer: None)
    loop.run_until(lambda: bool(fences))
    assert isinstance(fences[0], Fenced)
    assert writer.stop()
