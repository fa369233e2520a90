"""
The memory that messages in flight may take, all channels together; over it, reading stops.

Rules of this file: what a connection has half read counts as well as what is being worked on.
While the budget is used up, one connection with a message half read goes on, so that a message
larger than what is left (or than the whole budget) gets through: it runs alone.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Protocol

DEFAULT_LIMIT_BYTES = 64_000_000
#: messages from this size on leave more behind than the collector's counting of objects sees
_LARGE_BYTES = 100_000
#: the collector is called when so much of large messages is done with
_COLLECT_EACH_BYTES = 32_000_000
#: reading goes on when so much of the limit is in use
_RESUME_PART = 0.75


class Reader(Protocol):
    """What the budget can stop and start: one connection."""

    @property
    def is_inside_frame(self) -> bool:
        """Return whether a message has been half read."""
        ...

    def stop_reading(self) -> None:
        """Read no more for now."""
        ...

    def go_on_reading(self) -> None:
        """Read again."""
        ...


class Budget:
    """
    Bytes in flight, and who waits for them to become fewer.

    Args:
        limit_bytes: what may be in flight before reading stops.
        collect: frees what was in flight and is reachable from nowhere else any more.
    """

    __slots__ = ("_alone", "_collect", "_large_bytes", "_waiting", "limit", "resume_at", "used")

    def __init__(
        self,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        *,
        collect: Callable[[], object] = gc.collect,
    ) -> None:
        self._collect = collect
        #: of large messages, counted out since the collector was called
        self._large_bytes = 0
        self.limit = limit_bytes
        self.resume_at = int(limit_bytes * _RESUME_PART)
        self.used = 0
        self._waiting: dict[Reader, None] = {}
        self._alone: Reader | None = None

    @property
    def waiting_count(self) -> int:
        """Return how many connections are not read from."""
        return len(self._waiting)

    def add(self, size: int) -> None:
        """Count *size* bytes in."""
        self.used += size

    def remove(self, size: int) -> None:
        """Count *size* bytes out; those who waited go on when there is room again."""
        self.used -= size
        if size >= _LARGE_BYTES:
            self._clear_away(size)
        if self._waiting and self.used <= self.resume_at:
            self._alone = None
            waiting, self._waiting = self._waiting, {}
            for reader in waiting:
                reader.go_on_reading()

    def _clear_away(self, size: int) -> None:
        """
        Call the collector for large messages by their bytes.

        A message and its segments know each other, so only the collector frees them; it counts
        objects, and a few large messages are few objects.
        """
        self._large_bytes += size
        if self._large_bytes >= _COLLECT_EACH_BYTES:
            self._large_bytes = 0
            self._collect()

    def gate(self, reader: Reader) -> None:
        """Stop *reader* if there is no room and it is not the one that goes on."""
        if self.used <= self.limit:
            return
        if self._alone is reader and not reader.is_inside_frame:
            self._alone = None
        if self._alone is None and reader.is_inside_frame:
            self._alone = reader
        if self._alone is not reader:
            self._waiting[reader] = None
            reader.stop_reading()
            self._choose_next()

    def forget(self, reader: Reader) -> None:
        """Count on *reader* no more: its connection is gone."""
        self._waiting.pop(reader, None)
        if self._alone is reader:
            self._alone = None
            if self.used > self.resume_at:
                self._choose_next()

    def _choose_next(self) -> None:
        """Let the first of the waiting with a message half read go on, if nobody does."""
        if self._alone is not None:
            return
        for reader in self._waiting:
            if reader.is_inside_frame:
                self._alone = reader
                del self._waiting[reader]
                reader.go_on_reading()
                return
