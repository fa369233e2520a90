"""What a lane reads of its queue while the queue grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.store.sqlite_store import SqliteStore
from tests.store.builders import DAY, NEXT_DAY, accept, arrival, commit
from tests.store.test_crashes import SETTINGS
from tests.store.test_days import next_day


def test_a_page_over_midnight_passes_over_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed to yesterday's file while a lane reads on to today's is not left behind."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1))
    commit(store, next_day(1))
    token = store.lane_open("lis", 0, 1)
    read_page = store._lanes._page
    late = [lambda: accept(store, arrival(2)), lambda: commit(store, next_day(2))]

    def page(day: str, *arguments: Any) -> Any:
        rows = read_page(day, *arguments)
        while day == DAY and late:
            late.pop(0)()
        return rows

    monkeypatch.setattr(store._lanes, "_page", page)
    found = store.next(token, 10)
    found += store.next(token, 10, found[-1])
    shown = [each.delivery_id for each in found]
    assert shown == [f"{DAY}-1.1", f"{NEXT_DAY}-1.1", f"{DAY}-2.1", f"{NEXT_DAY}-2.1"]
    store.close()
