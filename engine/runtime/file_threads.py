"""
Threads of one file channel, which may hang with its folder and are then left behind.

The pools of the standard library are waited for when the process ends: a folder on a dead network
file system would keep the engine from ending at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue


class FileThreads:
    """Runs what is submitted, in *count* threads; the process ends without waiting for them."""

    def __init__(self, channel: str, count: int) -> None:
        self._count = count
        self._work: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        for number in range(count):
            threading.Thread(target=self._run, name=f"file-{channel}-{number}", daemon=True).start()

    def submit(self, function: Callable[[], object]) -> None:
        """Have *function*, which never raises, called in one of the threads."""
        self._work.put(function)

    def end(self) -> None:
        """End each thread once it is through with what was submitted; waits for nothing."""
        for _ in range(self._count):
            self._work.put(None)

    def _run(self) -> None:
        while (function := self._work.get()) is not None:
            function()
