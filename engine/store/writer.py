"""
Group commit: one thread takes what has come since the last commit and makes it durable together.

Rules of this file: callbacks run on the loop (through *deliver*), all of one commit in one go,
settlements before arrivals and each kind in the order of submission; after a fence nothing is
committed and everything is answered Fenced.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeAlias, TypeVar

from engine.model.errors import Fenced, MedbusError, Stopping
from engine.model.records import Arrival, Settlement
from engine.store.interface import Operation, OperationReport, Result, Store, Work

T = TypeVar("T")
Done: TypeAlias = Callable[[Any], None]
Deliver: TypeAlias = Callable[[Callable[[], None]], None]
#: what travels to the thread: (work, done, size) or (function, done, 0); None only wakes it
_Entry: TypeAlias = tuple[Any, Done, int]

#: how long settlements wait for those of other lanes: part of the last commit's time, at most
_COMPANY_PART, _MOST_COMPANY_S = 0.5, 0.002
#: how often they look in that time
_LOOKS = 4

_log = logging.getLogger("medbus.store")


class _Steps(NamedTuple):
    """A long write, to be begun on the writer's thread."""

    begin: Callable[[Store], Generator[None, None, Any]]


class Writer:
    """
    The one thread that writes the store.

    Args:
        deliver: runs a function on the loop, from any thread (``reactor.callFromThread``).
        on_fence: called once, on the loop, when the disk failed: exit with 75.
        on_ready: called on the loop with the outbound channels whose lanes must look again
            (followers released, an operation applied).
        max_batch: most works in one commit.
        max_batch_bytes: a commit is not made larger than this, except by a single work.
        pause: waits so many seconds.
    """

    def __init__(
        self,
        store: Store,
        *,
        deliver: Deliver,
        on_fence: Callable[[Exception], None],
        on_ready: Callable[[frozenset[str]], None] | None = None,
        max_batch: int = 512,
        max_batch_bytes: int = 16_000_000,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._on_fence = on_fence
        self._on_ready = on_ready
        self._max_batch = max_batch
        self._max_batch_bytes = max_batch_bytes
        self._pause = pause
        self._queue: SimpleQueue[_Entry | None] = SimpleQueue()
        self._put_back: deque[_Entry | None] = deque()
        self._long: deque[tuple[Generator[None, None, Any], Done]] = deque()
        self._fenced: Fenced | None = None
        self._stopping = False
        self._more = True
        #: settlements that may come together: those answered last, and what was waiting then
        self._expected = 0
        self._company_s = 0.0
        #: bytes of bodies and outputs waiting for their commit; loop's thread only
        self.queue_bytes = 0
        #: works waiting for their answer; loop's thread only
        self.depth = 0
        self._thread = threading.Thread(target=self._run, name="medbus-writer", daemon=True)
        store.set_wake(self._wake)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def submit(self, work: Work, done: Callable[[Result | Exception], None]) -> None:
        """Have *work* committed; *done* gets its Accepted, Settled or Noted, or the error."""
        size = _size_bytes(work)
        self.queue_bytes += size
        self.depth += 1
        self._queue.put((work, done, size))

    def call(self, function: Callable[[Store], T], done: Callable[[T | Exception], None]) -> None:
        """Run *function* on the writer's thread, after what was submitted before it."""
        self.depth += 1
        self._queue.put((function, done, 0))

    def apply(
        self, operation: Operation, done: Callable[[OperationReport | Exception], None]
    ) -> None:
        """Apply *operation* slice by slice between commits; *done* gets the report."""
        self.run(lambda store: store.begin(operation), done)

    def run(
        self,
        steps: Callable[[Store], Generator[None, None, T]],
        done: Callable[[T | Exception], None],
    ) -> None:
        """Run a generator of the store (``prune_steps``) slice by slice between commits."""
        self.depth += 1
        self._queue.put((_Steps(steps), done, 0))

    def stop(self, timeout_s: float = 30.0) -> bool:
        """
        Commit what was submitted, end the thread, and return whether it ended in time.

        Long writes are left where they are, and their callers hear that the engine stops.
        Callbacks still go through *deliver*. The store is not closed.
        """
        self._stopping = True
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- the thread ----------------------------------------------------------------------------

    def _wake(self) -> None:
        self._more = True
        self._queue.put(None)

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - a thread has nobody above who could handle it
            # Died in silence it would leave an engine that listens and answers nobody.
            self._fence(error)

    def _work(self) -> None:
        while True:
            idle = not self._more and not self._long
            batch: list[_Entry] = []
            self._take(batch, block=idle and not self._stopping)
            self._wait_for_company(batch)
            if batch:
                self._do(batch)
            elif self._stopping:
                self._leave_long()
                return
            if self._fenced is None:
                self._guard(self._turn)
            else:
                self._more = False
                while self._long:
                    self._answer([(self._long.popleft()[1], self._fenced, 0)])

    def _leave_long(self) -> None:
        """Leave long writes between two slices: the store goes on with them when it is opened."""
        while self._long:
            generator, done = self._long.popleft()
            generator.close()
            self._answer([(done, Stopping(), 0)])

    def _wait_for_company(self, batch: list[_Entry]) -> None:
        """
        Let a few settlements wait a moment for those that other lanes are about to bring.

        Else lanes fall into two groups that take turns, and each commit settles but half of them.
        A message, an operation or a stop ends the wait, at the latest at the next look.
        """
        looks = _LOOKS
        while looks and 0 < len(batch) < self._expected and not (self._put_back or self._stopping):
            if not all(isinstance(work, Settlement) for work, _, _ in batch):
                return
            self._pause(self._company_s / _LOOKS)
            self._take(batch, block=False)
            looks -= 1

    def _take(self, batch: list[_Entry], *, block: bool) -> None:
        """Add the next call or operation alone, or as many works as one commit takes."""
        size = sum(entry[2] for entry in batch)
        while len(batch) < self._max_batch:
            try:
                if self._put_back:
                    entry = self._put_back.popleft()
                else:
                    entry = self._queue.get(block=block and not batch)
            except Empty:
                break
            if entry is None:
                block = False
                continue
            is_work = not (callable(entry[0]) or isinstance(entry[0], _Steps))
            if batch and (not is_work or size + entry[2] > self._max_batch_bytes):
                self._put_back.append(entry)
                break
            batch.append(entry)
            size += entry[2]
            if not is_work:
                break

    def _do(self, batch: list[_Entry]) -> None:
        if self._fenced is not None:
            self._answer([(done, self._fenced, size) for _, done, size in batch])
            return
        first, done, _ = batch[0]
        if isinstance(first, _Steps):
            self._begin(first, done)
        elif callable(first):
            self._call(first, done)
        else:
            self._commit(batch)

    def _begin(self, steps: _Steps, done: Done) -> None:
        try:
            self._long.append((steps.begin(self._store), done))
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, who is told
            self._answer([(done, error, 0)])

    def _call(self, function: Callable[[Store], object], done: Done) -> None:
        answer: object
        try:
            answer = function(self._store)
        except Fenced as error:
            self._fence(error)
            answer = error
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, who is told
            answer = error
        self._answer([(done, answer, 0)])

    def _commit(self, batch: Sequence[_Entry]) -> None:
        work = [entry[0] for entry in batch]
        answered: set[int] = set()
        settled = sum(isinstance(each, Settlement) for each in work)
        began_s = time.monotonic()
        try:
            for group in self._store.group(work):
                answers = self._store.commit([work[index] for index in group])
                # Before anybody is answered: what follows from the answers is not to be counted.
                took_s = time.monotonic() - began_s
                self._company_s = min(_COMPANY_PART * took_s, _MOST_COMPANY_S)
                self._expected = settled + self._queue.qsize()
                answered.update(group)
                self._answer(_lanes_first(batch, zip(group, answers, strict=True)))
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing is known to be durable
            fenced = self._fence(error)
            self._answer(
                [
                    (done, fenced, size)
                    for index, (_, done, size) in enumerate(batch)
                    if index not in answered
                ]
            )

    def _turn(self) -> None:
        """One slice of the oldest long write, one of the store's own, and news for the lanes."""
        if self._long:
            generator, done = self._long[0]
            try:
                next(generator)
            except StopIteration as stop:
                self._long.popleft()
                self._answer([(done, stop.value, 0)])
            except Fenced:
                raise
            except Exception as error:  # noqa: BLE001 - it belongs to the caller, who is told
                self._long.popleft()
                self._answer([(done, error, 0)])
        self._more = False
        self._more = self._store.step() or self._more
        self._store.tell_ready(self._tell_ready)

    def _tell_ready(self, ready: frozenset[str]) -> None:
        on_ready = self._on_ready
        if on_ready is not None:
            self._deliver(lambda: on_ready(ready))

    def _guard(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as error:  # noqa: BLE001 - a store that cannot do its upkeep is not trusted
            self._fence(error)

    def _fence(self, error: Exception) -> Fenced:
        if self._fenced is None:
            fenced = error if isinstance(error, Fenced) else Fenced(_describe(error))
            self._fenced = fenced
            self._deliver(lambda: self._on_fence(fenced))
        return self._fenced

    def _answer(self, answers: Sequence[tuple[Done, object, int]]) -> None:
        def run() -> None:
            for done, answer, size in answers:
                self.queue_bytes -= size
                self.depth -= 1
                try:
                    done(answer)
                except Exception as error:  # noqa: BLE001 - the others must still be told
                    _log.error("a commit callback failed: %s", type(error).__name__)

        self._deliver(run)


def _lanes_first(
    batch: Sequence[_Entry], answers: Iterable[tuple[int, object]]
) -> list[tuple[Done, object, int]]:
    """
    Return what is to be answered: settlements before arrivals, each kind in its order.

    A lane whose settlement is durable sends its next while the acks are still being written.
    """
    lanes: list[tuple[Done, object, int]] = []
    senders: list[tuple[Done, object, int]] = []
    for index, answer in answers:
        work, done, size = batch[index]
        (senders if isinstance(work, Arrival) else lanes).append((done, answer, size))
    return lanes + senders


def _size_bytes(work: Work) -> int:
    if isinstance(work, Arrival):
        return len(work.body) + sum(
            len(delivery.body) for delivery in work.deliveries if delivery.body is not None
        )
    if isinstance(work, Settlement) and work.attempt is not None:
        return len(work.attempt.ack)
    return 0


def _describe(error: Exception) -> str:
    """Name an unexpected error without its text, which may hold what was being written."""
    if isinstance(error, MedbusError):
        return error.what
    return f"the store failed unexpectedly ({type(error).__name__})"
