"""Read-only connections: one per thread and file, closed by the writer when it must."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.store.sqlite import Connection, open_reader

#: files a thread keeps open
_KEPT = 8


class _Slot:
    """A thread's connection to one file."""

    __slots__ = ("connection", "is_stale", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: Connection | None = None
        #: closed by others while it was in use: its user closes it
        self.is_stale = False

    def close(self) -> None:
        """Close now, or have it closed by the thread that is just using it."""
        self.is_stale = True
        self.sweep()

    def sweep(self) -> None:
        """Close a stale connection nobody is using."""
        while self.is_stale and self.lock.acquire(blocking=False):
            try:
                self.drop()
            finally:
                self.lock.release()

    def drop(self) -> None:
        """Close it; under the lock."""
        self.is_stale = False
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Readers:
    """All read-only connections of a store."""

    def __init__(self, path_of: Callable[[str], Path]) -> None:
        self._path_of = path_of
        self._mine = threading.local()
        self._slots: dict[str, set[_Slot]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self, name: str) -> Iterator[Connection]:
        """Lend this thread its connection to a file; not to be kept, not to be nested."""
        slot = self._slot(name)
        try:
            with slot.lock:
                if slot.is_stale:
                    slot.drop()
                if slot.connection is None:
                    # Known first, opened then: whoever closes the file meanwhile marks it.
                    with self._lock:
                        self._slots.setdefault(name, set()).add(slot)
                    slot.connection = open_reader(self._path_of(name))
                yield slot.connection
        finally:
            slot.sweep()

    def close(self, name: str) -> None:
        """
        Close every thread's connection to a file; they open again when asked.

        One in the middle of a long read goes on with what it has, and is closed after that: the
        writer does not wait for it.
        """
        with self._lock:
            slots = self._slots.pop(name, set())
        for slot in slots:
            slot.close()

    def close_all(self) -> None:
        """Close everything, and wait for who is still reading: the store is closed after this."""
        with self._lock:
            slots = [slot for known in self._slots.values() for slot in known]
            self._slots.clear()
        for slot in slots:
            with slot.lock:
                slot.drop()

    def _slot(self, name: str) -> _Slot:
        mine: OrderedDict[str, _Slot] | None = getattr(self._mine, "slots", None)
        if mine is None:
            mine = self._mine.slots = OrderedDict()
        slot = mine.get(name)
        if slot is None:
            slot = mine[name] = _Slot()
            if len(mine) > _KEPT:
                old_name, old = mine.popitem(last=False)
                with self._lock:
                    self._slots.get(old_name, set()).discard(old)
                old.close()
        else:
            mine.move_to_end(name)
        return slot
