"""The conformance suite against both stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.store.interface import Store
from engine.store.memory_store import MemoryStore
from engine.store.sqlite_store import SqliteStore
from tests.store.conformance import StoreConformance


class TestSqliteStore(StoreConformance):
    """On disk."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        """A fresh data folder."""
        store = SqliteStore(tmp_path / "data")
        yield store
        store.close()


class TestMemoryStore(StoreConformance):
    """In memory."""

    @pytest.fixture
    def store(self) -> Store:
        """A fresh one."""
        return MemoryStore()
