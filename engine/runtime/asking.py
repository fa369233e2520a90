"""
Threads that ask the loop or the writer, and are told when neither will answer any more.

Rules of this file: nobody is left waiting at the end, or the process could not end either.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from engine.model.errors import Stopping


class Asking:
    """All threads of one engine that wait for an answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: set[Future[Any]] = set()
        self._is_over = False

    def ask(self, begin: Callable[[Callable[[Any], None]], object]) -> Any:
        """
        Wait for an answer, and return it or raise it.

        Args:
            begin: has something done; is handed what takes the answer, on the loop.

        Raises:
            Stopping: there will be none.
        """
        answered: Future[Any] = Future()

        def done(answer: object) -> None:
            if answered.done():
                return
            if isinstance(answer, BaseException):
                answered.set_exception(answer)
            else:
                answered.set_result(answer)

        with self._lock:
            if self._is_over:
                raise Stopping()
            self._waiting.add(answered)
        try:
            begin(done)
            return answered.result()
        finally:
            with self._lock:
                self._waiting.discard(answered)

    def end(self) -> None:
        """Tell whoever waits, or asks from now on; on the loop."""
        with self._lock:
            self._is_over = True
            waiting = list(self._waiting)
        for answered in waiting:
            if not answered.done():
                answered.set_exception(Stopping())
