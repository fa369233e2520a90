"""
Two ways to write the store: through the running engine's writer, or directly when none runs.

Rules of this file: both block; neither may be called on the loop's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol, TypeVar

from engine.model.errors import MedbusError
from engine.runtime.asking import Asking
from engine.store.interface import Operation, OperationReport, Result, Store, Work
from engine.store.writer import Writer

T = TypeVar("T")


class StoreAccess(Protocol):
    """What operations ask of the store."""

    #: for reading, from any thread
    store: Store

    def write(self, function: Callable[[Store], T]) -> T:
        """Run *function* where the store may be written; raises what it raises."""
        ...

    def run(self, steps: Callable[[Store], Generator[None, None, T]]) -> T:
        """Run long work of the store slice by slice; between slices other work commits."""
        ...

    def apply(self, operation: Operation) -> OperationReport:
        """Audit and apply an operator's action."""
        ...

    def commit(self, work: Work) -> Result:
        """Make one work durable."""
        ...


class DirectAccess:
    """The store of a stopped engine, opened by this command under the data lock."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, function: Callable[[Store], T]) -> T:
        """Run *function*."""
        return function(self.store)

    def run(self, steps: Callable[[Store], Generator[None, None, T]]) -> T:
        """Run *steps* to their end."""
        generator = steps(self.store)
        while True:
            try:
                next(generator)
            except StopIteration as end:
                answer: T = end.value
                return answer

    def apply(self, operation: Operation) -> OperationReport:
        """Apply *operation*."""
        return self.store.apply(operation)

    def commit(self, work: Work) -> Result:
        """Commit *work* alone."""
        return _result(self.store.commit([work])[0])


class WriterAccess:
    """
    The store of the running engine.

    Args:
        on_loop: runs a function on the loop, from any thread.
        asking: where the threads wait.
    """

    def __init__(
        self,
        store: Store,
        writer: Writer,
        on_loop: Callable[[Callable[[], None]], object],
        asking: Asking,
    ) -> None:
        self.store = store
        self._writer = writer
        self._on_loop = on_loop
        self._asking = asking

    def write(self, function: Callable[[Store], T]) -> T:
        """Run *function* on the writer's thread."""
        answer: T = self._ask(lambda done: self._writer.call(function, done))
        return answer

    def run(self, steps: Callable[[Store], Generator[None, None, T]]) -> T:
        """Run *steps* on the writer's thread, between commits."""
        answer: T = self._ask(lambda done: self._writer.run(steps, done))
        return answer

    def apply(self, operation: Operation) -> OperationReport:
        """Apply *operation* between commits."""
        report: OperationReport = self._ask(lambda done: self._writer.apply(operation, done))
        return report

    def commit(self, work: Work) -> Result:
        """Commit *work* with the next batch."""
        return _result(self._ask(lambda done: self._writer.submit(work, done)))

    def _ask(self, ask: Callable[[Callable[[Any], None]], None]) -> Any:
        return self._asking.ask(lambda done: self._on_loop(lambda: ask(done)))


def _result(answer: Result | MedbusError) -> Result:
    if isinstance(answer, MedbusError):
        raise answer
    return answer
