"""The stores a simulated world may have: the twin in memory, or one on disk in small slices."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

from engine.model.states import DeliveryState
from engine.store.ids import delivery_id
from engine.store.interface import Store
from engine.store.memory_store import MemoryStore
from engine.store.settings import StoreSettings
from engine.store.sqlite_store import SqliteStore


class Row(NamedTuple):
    """How a delivery stands, whatever its store."""

    seq: int
    state: DeliveryState
    is_released: bool


class InMemory:
    """The twin: a crash leaves it as it is."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._twin = MemoryStore(now=now)
        self.store: Store = self._twin

    def rows(self) -> dict[str, Row]:
        """Return every delivery there is."""
        return {
            name: Row(one.message.seq, one.state, one.released)
            for name, one in self._twin._deliveries.items()
        }

    def crash(self) -> None:
        """Nothing is lost."""

    def close(self) -> None:
        """Nothing is open."""


class OnDisk:
    """SQLite: followers and operations move in slices, a crash forgets what is in memory."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self._folder = folder
        self._settings = StoreSettings(
            now=now, min_free_bytes=0, min_free_share=0.0, reserve_bytes=0
        )
        self._disk = SqliteStore(folder, settings=self._settings)
        self.store: Store = self._disk

    def rows(self) -> dict[str, Row]:
        """Return every delivery there is, past everything that could be wrong in memory."""
        found = {}
        for day in self._disk._core.days:
            with self._disk._core.read(day) as connection:
                for number, seq, state, released in connection.execute(
                    "SELECT id, seq, state, released FROM deliveries"
                ):
                    row = Row(seq, DeliveryState(state), bool(released))
                    found[delivery_id(day, number)] = row
        return found

    def crash(self) -> None:
        """Go on with a copy of the folder as it is just now, as after a kill."""
        left = self._folder
        self._folder = left.with_name(left.name + "+")
        shutil.copytree(left, self._folder)
        self._disk.close()
        shutil.rmtree(left)
        self._disk = SqliteStore(self._folder, settings=self._settings)
        self.store = self._disk

    def close(self) -> None:
        """Close it in order."""
        self._disk.close()


@contextmanager
def small_slices(rows: int) -> Iterator[None]:
    """Have followers and operations move so few rows with one commit."""
    with (
        patch("engine.store.followers.SLICE", rows),
        patch("engine.store.followers._LOOK", rows + 1),
        patch("engine.store.operating.SLICE", rows),
    ):
        yield
