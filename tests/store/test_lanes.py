"""What a lane reads of its queue while the queue grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import QueueChanged, StoreFull
from engine.store import followers
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import (
    DAY,
    NEXT_DAY,
    accept,
    arrival,
    commit,
    due,
    ids,
    keyed,
    operate,
    operation,
    refused,
    settle,
    settle_down,
    states,
)
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


def test_who_was_not_yet_held_does_not_overtake_who_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freed while followers were still being moved to held, they go out in order all the same."""
    monkeypatch.setattr(followers, "SLICE", 1)
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, keyed(1, 1), keyed(2, 1), keyed(3, 2), keyed(4, 1))
    store.commit([refused(f"{DAY}-1.1")])
    assert store.step()
    assert states(store, *ids(2, 4)) == ["held", "pending"]
    store.apply(operation("cancel", f"{DAY}-1.1"))
    assert due(store) == ids(3)
    settle_down(store)
    assert due(store) == ids(2, 3, 4)
    store.close()


def test_a_page_that_ends_in_the_middle_of_a_commit_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows may be from before and behind the commit; afterwards pages are given again."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, keyed(1, 1), keyed(2, 2))
    settle(store, refused(f"{DAY}-1.1", "continue"))
    token = store.lane_open("lis", 0, 1)
    publish, pages = store._core._publish, list[object]()

    def read() -> None:
        try:
            pages.append([one.delivery_id for one in store.next(token, 10)])
        except QueueChanged as error:
            pages.append(type(error))

    def read_and_publish(transaction: Any) -> None:
        read()
        publish(transaction)

    monkeypatch.setattr(store._core, "_publish", read_and_publish)
    operate(store, "requeue", f"{DAY}-1.1")
    read()
    assert pages == [QueueChanged, ids(1, 2)]
    store.close()


def test_a_commit_that_was_rolled_back_spoils_no_page_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was said to be about to change and did not is told, and then over."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, keyed(1, 1), keyed(2, 2))
    settle(store, refused(f"{DAY}-1.1", "continue"))
    token = store.lane_open("lis", 0, 1)

    def fail(name: str) -> None:
        if name == "commit.before":
            raise StoreFull

    with monkeypatch.context() as patched:
        patched.setattr(store._core, "failpoint", fail)
        report = store.apply(operation("requeue", f"{DAY}-1.1"))
    assert report.done == 0
    told: list[str] = []
    store.tell_ready(told.extend)
    assert told == ["lis"]
    assert [one.delivery_id for one in store.next(token, 10)] == ids(2)
    store.close()


def test_a_page_that_saw_half_of_a_change_is_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows read before followers were let go, holds asked after it: the page has a gap."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, keyed(1, 1), keyed(2, 1))
    settle(store, refused(f"{DAY}-1.1"))
    settle_down(store)
    token = store.lane_open("lis", 0, 1)
    read_page = store._lanes._page
    changes = [lambda: operate(store, "cancel", f"{DAY}-1.1")]

    def page(*arguments: Any) -> Any:
        rows = read_page(*arguments)
        while changes:
            changes.pop()()
            store.tell_ready(lambda _: None)
            accept(store, keyed(3, 1))
        return rows

    monkeypatch.setattr(store._lanes, "_page", page)
    accept(store, keyed(4, 2))
    with pytest.raises(QueueChanged):
        store.next(token, 10)
    assert [one.delivery_id for one in store.next(token, 10)] == ids(2, 4, 3)
    store.close()
