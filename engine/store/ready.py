"""
Outbound channels that got something to send in front of what their lanes have read.

A lane pages through its queue with a cursor. Followers that are let go, and what is requeued,
appear before that cursor: a page read then would overtake them. So the lane has to hear of it
before it takes such a page.

Rules of this file: a channel is added before the commit that shows lanes the change, and changed
after it; telling it and forgetting it is one step for those who read.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


class Ready:
    """Added to and told by the writer's thread, asked by any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: set[str] = set()
        #: added, and not changed yet
        self._changing: set[str] = set()
        self._changes: Counter[str] = Counter()

    def add(self, outbounds: Iterable[str]) -> None:
        """Something is about to be committed before the cursors of these channels' lanes."""
        with self._lock:
            names = frozenset(outbounds)
            self._names |= names
            self._changing |= names

    def changed(self, outbounds: Iterable[str]) -> None:
        """It was committed or rolled back: what was read meanwhile may have half of it."""
        with self._lock:
            # What was not added is told to no lane: its pages must not be spoilt.
            over = self._changing.intersection(outbounds)
            self._changes.update(over)
            self._changing -= over

    @contextmanager
    def changing(self, outbound: str) -> Iterator[None]:
        """Let what the block does to the memory be told like a commit."""
        self.add((outbound,))
        try:
            yield
        finally:
            self.changed((outbound,))

    def changes(self, outbound: str) -> int:
        """Return a number that grows with each change; to be asked before a page is read."""
        with self._lock:
            return self._changes[outbound]

    def spoils(self, outbound: str, changes: int, *, has_cursor: bool) -> bool:
        """Return whether a page must not be used that was begun when ``changes`` said so."""
        with self._lock:
            return (
                self._changes[outbound] != changes
                or outbound in self._changing
                or (has_cursor and outbound in self._names)
            )

    def tell(self, tell: Callable[[frozenset[str]], None]) -> None:
        """Tell, once, what was added; see ``Store.tell_ready``."""
        # Under the lock: a page that is found to be good after this was forgotten comes to the
        # lane after *tell*, one that is found to be spoilt was begun before it.
        with self._lock:
            if self._names:
                tell(frozenset(self._names))
                self._names.clear()
