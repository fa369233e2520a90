"""What the store does between commits, and what may go wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.errors import QueueChanged
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import (
    DAY,
    NEXT_DAY,
    accept,
    arrival,
    commit,
    delivery,
    due,
    ids,
    key,
    keyed,
    operation,
    refused,
    settle,
    settle_down,
    states,
)
from tests.store.test_crashes import SETTINGS


def test_a_damaged_old_day_does_not_stop_what_walks_over_all_days(tmp_path: Path) -> None:
    """Followers of today are held although an old file turns out to be damaged on the way."""
    folder = tmp_path / "d"
    store = SqliteStore(folder, settings=SETTINGS)
    same = {"order_keys": (key(1),)}
    accept(store, *[arrival(n, delivery(**same)) for n in range(1, 40)])
    accept(store, *[arrival(n, delivery(**same), day=NEXT_DAY, control_id=f"N{n}") for n in (1, 2)])
    settle_down(store)
    store.close()
    store = SqliteStore(folder, settings=SETTINGS)
    settle_down(store)
    with open(folder / "messages" / "2026-11-21.db", "r+b") as file:
        size = file.seek(0, 2)
        file.seek(8192)
        file.write(bytes(size - 8192))
    store._core.readers.close_all()
    settle(store, refused(f"{NEXT_DAY}-1.1", "hold_key"))
    settle_down(store)
    assert [alarm.code for alarm in store.alarms()] == ["STO-002"]
    assert states(store, *ids(1, 2, day=NEXT_DAY)) == ["parked", "held"]
    assert due(store) == []
    store.close()


def test_who_comes_between_two_slices_of_a_release_is_let_go_too(tmp_path: Path) -> None:
    """If this failed, a message would stay held for nobody, and later ones would overtake it."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, *[keyed(n, 1) for n in (1, 2, 3)])
    settle(store, refused(f"{DAY}-1.1"))
    assert states(store, *ids(1, 2, 3)) == ["parked", "held", "held"]
    store.apply(operation("release", f"{DAY}-1.1"))
    store.step()
    assert states(store, *ids(2, 3)) == ["pending", "pending"]
    store.commit([keyed(4, 1)])
    assert states(store, *ids(4)) == ["held"]
    settle_down(store)
    commit(store, keyed(5, 1))
    assert states(store, *ids(4, 5)) == ["pending", "pending"]
    assert due(store) == ids(2, 3, 4, 5)
    store.close()


def test_a_page_emptied_by_a_drain_does_not_say_that_this_was_all(tmp_path: Path) -> None:
    """If this failed, a lane would send what it was offered before what a drain delays."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1, delivery(order_keys=(key(1),))))
    token = store.lane_open("lis", 0, 1)
    store._core.holding.start_draining("lis", (key(1),))
    with pytest.raises(QueueChanged):
        store.next(token, 5)
    store._core.holding.drained("lis")
    assert [one.delivery_id for one in store.next(token, 5)] == ids(1)
    store.close()
