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

    __slots__ = ("connection", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: Connection | None = None

    def close(self) -> None:
        with self.lock:
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
        with slot.lock:
            if slot.connection is None:
                slot.connection = open_reader(self._path_of(name))
                with self._lock:
                    self._slots.setdefault(name, set()).add(slot)
            yield slot.connection

    def close(self, name: str) -> None:
        """Close every thread's connection to a file; they open again when asked."""
        with self._lock:
            slots = self._slots.pop(name, set())
        for slot in slots:
            slot.close()

    def close_all(self) -> None:
        """Close everything."""
        for name in list(self._slots):
            self.close(name)

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
