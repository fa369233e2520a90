"""Deliveries that end at their first answer take the short way; it comes to the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.model.states import AttemptOutcome, DeliveryState
from engine.store.interface import Store
from engine.store.plain_settling import is_plain
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import DAY, accept, arrival, attempt, commit, delivered, refused, states

_ONE = f"{DAY}-1.1"


def open_store(folder: Path) -> SqliteStore:
    """Return a store with eight messages, a delivery each."""
    store = SqliteStore(folder)
    accept(store, *[arrival(n) for n in range(1, 9)])
    return store


def told(store: Store, delivery_id: str) -> tuple[object, ...]:
    """Return what is kept of a delivery and its attempts."""
    found = store.get_delivery(delivery_id)
    tries = [each.attempt for each in store.get_attempts(delivery_id)]
    return replace(found, delivery_id="", message_id="", seq=0, control_id=""), tries


def test_the_short_way_writes_what_the_long_way_writes(tmp_path: Path) -> None:
    """A delivery looks the same whichever way it was settled; so does the ledger."""
    store = open_store(tmp_path)
    long_way = replace(delivered(f"{DAY}-2.1"), uncertain=False)
    assert is_plain(delivered(_ONE))
    assert not is_plain(long_way)
    assert all(answer.ok for answer in commit(store, delivered(_ONE), long_way))
    assert told(store, _ONE) == told(store, f"{DAY}-2.1")
    assert store.counts().outbounds["lis"].pending == 6
    assert store.check_ledger(DAY) == ()
    store.close()


def test_both_ways_go_together(tmp_path: Path) -> None:
    """Answers keep the order of the settlements, whatever becomes of each."""
    store = open_store(tmp_path)
    ids = [f"{DAY}-{n}.1" for n in range(1, 5)]
    unknown = delivered(f"{DAY}-99.1")
    answers = commit(store, delivered(ids[0]), refused(ids[1]), unknown, delivered(ids[3]))
    assert [getattr(answer, "delivery_id", "") for answer in answers] == [*ids[:2], "", ids[3]]
    assert states(store, *ids) == ["delivered", "parked", "pending", "delivered"]
    assert store.check_ledger(DAY) == ()
    store.close()


def test_two_settlements_of_one_delivery_are_taken_in_order(tmp_path: Path) -> None:
    """A try that failed and the one that delivered it may be in one commit: both are kept."""
    store = open_store(tmp_path)
    failed = replace(
        delivered(_ONE), state=DeliveryState.PENDING, attempt=attempt(AttemptOutcome.TIMEOUT)
    )
    assert [answer.ok for answer in commit(store, failed, delivered(_ONE))] == [True, True]
    outcomes = [each.attempt.outcome for each in store.get_attempts(_ONE)]
    assert outcomes == [AttemptOutcome.TIMEOUT, AttemptOutcome.ACKED]
    store.close()


def test_the_short_way_asks_for_the_token_too(tmp_path: Path) -> None:
    """A lane that was opened anew elsewhere settles nothing, however plain it is."""
    store = open_store(tmp_path)
    stale = store.lane_open("lis", 0, 1)
    fresh = store.lane_open("lis", 0, 1)
    other = store.lane_open("mpi", 0, 1)
    answers = commit(
        store,
        delivered(_ONE, stale),
        delivered(f"{DAY}-2.1", fresh),
        delivered(f"{DAY}-3.1", other),
    )
    assert [answer.ok for answer in answers] == [False, True, False]
    assert states(store, _ONE, f"{DAY}-2.1", f"{DAY}-3.1") == ["pending", "delivered", "pending"]
    store.close()


def test_what_is_delivered_once_is_not_delivered_again(tmp_path: Path) -> None:
    """A second settlement of a final delivery is refused and leaves no attempt."""
    store = open_store(tmp_path)
    commit(store, delivered(_ONE))
    (again,) = commit(store, delivered(_ONE))
    assert not again.ok
    assert len(store.get_attempts(_ONE)) == 1
    store.close()
