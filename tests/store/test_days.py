"""Days: the file made ahead, the file put to rest, the file pruned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from engine.model.errors import NotFound
from engine.store import prune, term_index
from engine.store.ids import day_after
from engine.store.records import MessageFilter, Retention
from engine.store.sqlite import open_reader
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import (
    DAY,
    NEXT_DAY,
    NOON,
    accept,
    arrival,
    commit,
    delivered,
    ids,
    refused,
    settle,
    settle_down,
    states,
)
from tests.store.test_crashes import SETTINGS, reopen

DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """A fresh data folder."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    yield store
    store.close()


def next_day(n: int) -> object:
    """Return a message of the day after."""
    return arrival(n, day=NEXT_DAY, control_id=f"N{n}", received_at=NOON + DAY_S)


def fill_days(store: SqliteStore, count: int) -> tuple[str, ...]:
    """Store one delivered message on each of so many days; return all days, tomorrow's too."""
    day = DAY
    for _ in range(count):
        accept(store, arrival(1, day=day, control_id=day))
        settle(store, delivered(f"{day}-1.1"))
        day = day_after(day)
    return store.ledger_days()


def test_tomorrows_file_is_made_ahead(store: SqliteStore) -> None:
    """The first message after midnight finds its file and its keys."""
    accept(store, arrival(1))
    assert store.ledger_days() == (DAY, NEXT_DAY)
    assert store.keys.has_day(NEXT_DAY, "bodies")


def test_a_past_day_that_owes_nothing_is_put_to_rest(store: SqliteStore, tmp_path: Path) -> None:
    """No WAL stays beside it; it can still be read, searched and reopened by a late nack."""
    accept(store, arrival(1), arrival(2))
    settle(store, delivered(f"{DAY}-1.1"))
    commit(store, next_day(1))
    wal = tmp_path / "d" / "messages" / "2026-11-21.db-wal"
    assert wal.exists()
    settle(store, delivered(f"{DAY}-2.1"))
    settle_down(store)
    assert not wal.exists()
    assert store.get_body(f"{DAY}-1") == arrival(1).body
    assert store.find_messages(MessageFilter(control_id="C2")).items[0].message_id == f"{DAY}-2"
    settle(store, refused(f"{DAY}-2.1", "continue"))
    assert states(store, *ids(1, 2)) == ["delivered", "parked"]
    assert store.check_ledger(DAY) == ()


def test_terms_are_found_in_runs_and_tail_and_after_a_start(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the index stands, a search finds every message once, over days."""
    monkeypatch.setattr("engine.store.day_chores.RUN_MESSAGES", 10)
    for first in range(1, 36, 7):
        accept(store, *[arrival(n) for n in range(first, first + 7)])
    commit(store, next_day(1))

    def found(store: SqliteStore) -> list[str]:
        page = store.find_messages(MessageFilter(patient="P1"), limit=100)
        return [one.message_id for one in page.items]

    wanted = [f"{NEXT_DAY}-1"] + [f"{DAY}-{n}" for n in range(34, 0, -3)]
    assert found(store) == wanted
    store.close()
    again = reopen(tmp_path / "d")
    assert found(again) == wanted
    (answer,) = accept(again, arrival(90, body=arrival(3).body, control_id="C3"))
    assert answer.duplicate_of == f"{DAY}-3"
    again.close()
    assert term_index.RUN_MESSAGES == 2048


class TestPrune:
    """Bodies first, then the day; only what owes nothing and is past its time."""

    def test_bodies_go_and_everything_else_stays(self, store: SqliteStore, tmp_path: Path) -> None:
        """Facts, acks and attempts can still be read, bodies not; their key is gone."""
        accept(store, arrival(1), arrival(2))
        settle(store, *map(delivered, ids(1, 2)))
        before = store.get_message(f"{DAY}-1")
        report = store.prune(
            Retention(bodies_s=3 * DAY_S), now=NOON + 5 * DAY_S, clock_is_right=True
        )
        assert DAY in report.bodies
        assert not store.keys.has_day(DAY, "bodies")
        with pytest.raises(NotFound):
            store.get_body(f"{DAY}-1")
        after = store.get_message(f"{DAY}-1")
        assert (after.seq, after.control_id, after.routes) == (
            before.seq,
            before.control_id,
            before.routes,
        )
        assert not after.deliveries[0].has_body
        assert store.get_ack(f"{DAY}-1") == b"ACK 1"
        assert len(store.get_attempts(f"{DAY}-1.1")) == 1
        assert store.find_messages(MessageFilter(patient="P1")).items[0].message_id == f"{DAY}-1"
        assert store.check_ledger(DAY) == ()
        assert not list((tmp_path / "d" / "messages").glob("*.pruning*"))

    def test_the_day_goes_with_its_keys(self, store: SqliteStore, tmp_path: Path) -> None:
        """After the second stage nothing of it is left."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        report = store.prune(
            Retention(metadata_s=3 * DAY_S), now=NOON + 5 * DAY_S, clock_is_right=True
        )
        assert report.days == (DAY,)
        assert not (tmp_path / "d" / "messages" / "2026-11-21.db").exists()
        assert not store.keys.has_day(DAY, "evidence")
        with pytest.raises(NotFound):
            store.get_message(f"{DAY}-1")

    def test_a_day_that_owes_is_kept_and_said(self, store: SqliteStore) -> None:
        """It stays whole, and an alarm names what it owes to whom, until that is settled."""
        accept(store, arrival(1))
        settle(store, refused(f"{DAY}-1.1", "continue"))
        retention = Retention(bodies_s=DAY_S, metadata_s=DAY_S)
        report = store.prune(retention, now=NOON + 5 * DAY_S, clock_is_right=True)
        assert report.owing == ((DAY, "1 parked to lis"),)
        assert store.get_body(f"{DAY}-1")
        assert [one.code for one in store.alarms()] == ["STO-011"]

    def test_a_dry_run_changes_nothing(self, store: SqliteStore) -> None:
        """It reports what would go."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        retention = Retention(metadata_s=3 * DAY_S)
        assert store.prune(
            retention, now=NOON + 5 * DAY_S, dry_run=True, clock_is_right=True
        ).days == (DAY,)
        assert store.get_body(f"{DAY}-1")

    def test_nobody_waits_for_who_reads_the_day(self, store: SqliteStore) -> None:
        """A recount under way on a day at rest does not stop the writer from removing the day."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        accept(store, arrival(1, day=NEXT_DAY))
        reading, go_on, seen = Event(), Event(), []

        def read() -> None:
            with store._core.read(DAY) as connection:
                connection.execute("SELECT 1 FROM messages").fetchone()
                reading.set()
                go_on.wait(60)
                seen.append(connection.execute("SELECT count(*) FROM messages").fetchone())

        reader = Thread(target=read)
        reader.start()
        assert reading.wait(60)
        retention = Retention(metadata_s=3 * DAY_S)
        report = store.prune(retention, now=NOON + 5 * DAY_S, clock_is_right=True)
        assert report.days == (DAY,)
        go_on.set()
        reader.join(60)
        assert seen == [(1,)]
        with pytest.raises(NotFound):
            store.get_message(f"{DAY}-1")

    def test_a_day_somebody_reads_keeps_its_bodies_for_now(
        self, store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Rewriting needs a day without a WAL: it is left whole, and taken the next time."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        reader = open_reader(tmp_path / "d" / "messages" / "2026-11-21.db")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM messages").fetchone()
        retention = Retention(bodies_s=3 * DAY_S)
        monkeypatch.setattr(prune, "_REST_PAUSE_S", 0.0)
        assert store.prune(retention, now=NOON + 5 * DAY_S, clock_is_right=True).bodies == ()
        assert store.get_body(f"{DAY}-1")
        reader.close()
        assert store.prune(retention, now=NOON + 5 * DAY_S, clock_is_right=True).bodies == (DAY,)

    def test_one_new_day_per_run(self, store: SqliteStore, tmp_path: Path) -> None:
        """A wrong clock cannot remove more than one day before someone looks."""
        days = fill_days(store, 3)
        store.prune(Retention(metadata_s=DAY_S), now=NOON + 2 * DAY_S, clock_is_right=True)
        store.close()
        again = reopen(tmp_path / "d")
        later = NOON + 2 * DAY_S + 25 * 3600
        report = again.prune(Retention(metadata_s=DAY_S), now=later)
        assert (report.days, report.left) == (days[:1], 1)
        assert again.prune(Retention(metadata_s=DAY_S), now=later + 60).days == days[1:2]
        again.close()

    def test_what_is_left_goes_a_day_a_run(self, store: SqliteStore) -> None:
        """After days of rest, or with a shorter retention, the nightly runs catch up."""
        days = fill_days(store, 5)
        long, short = Retention(metadata_s=90 * DAY_S), Retention(metadata_s=DAY_S)
        for nights in range(1, 7):
            assert store.prune(long, now=NOON + nights * DAY_S).days == ()
        told = [store.prune(short, now=NOON + nights * DAY_S) for nights in (6.5, 7.5)]
        assert [one.days for one in told] == [(days[0], days[4]), (days[1], days[5])]
        assert [one.left for one in told] == [3, 2]

    def test_who_says_that_the_clock_is_right_has_it_all_done(self, store: SqliteStore) -> None:
        """The engine was off for weeks: one command, and what it does is shown before."""
        days = fill_days(store, 4)
        retention = Retention(bodies_s=20 * DAY_S, metadata_s=22 * DAY_S)
        now = NOON + 25 * DAY_S
        stopped = store.prune(retention, now=now)
        assert (stopped.days, bool(stopped.stopped)) == ((), True)
        shown = store.prune(retention, now=now, dry_run=True, clock_is_right=True)
        report = store.prune(retention, now=now, clock_is_right=True)
        assert report == shown
        assert (report.days, report.bodies, report.left) == (days[:2], days[2:4], 0)
        assert store.prune(retention, now=now).days == ()
        assert store.ledger_days() == days[2:]

    def test_a_clock_that_jumped_stops_it(self, store: SqliteStore) -> None:
        """More than a day between two runs without a day passing: nothing is removed, an alarm."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        retention = Retention(metadata_s=DAY_S)
        store.prune(retention, now=NOON + 60)
        for later in (0, DAY_S, 2 * DAY_S):
            # However often it is tried: only a person can know.
            report = store.prune(retention, now=NOON + 9 * DAY_S + later)
            assert "--clock-is-right" in report.stopped
            assert report.days == ()
        assert store.get_body(f"{DAY}-1")
        assert [one.code for one in store.alarms()] == ["STO-010"]
        shown = store.prune(retention, now=NOON + 9 * DAY_S, dry_run=True)
        assert (shown.days, bool(shown.stopped)) == ((DAY,), True)
        report = store.prune(retention, now=NOON + 9 * DAY_S, clock_is_right=True)
        assert (report.days, report.stopped) == ((DAY, NEXT_DAY), "")
        assert store.alarms() == ()

    def test_a_new_store_knows_when_it_was_made(self, store: SqliteStore) -> None:
        """The very first run is asked about the clock too."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        assert store.prune(Retention(metadata_s=DAY_S), now=NOON + 60 * DAY_S).stopped
        assert store.get_body(f"{DAY}-1")

    def test_a_moved_clock_is_no_alarm_where_nothing_would_go(self, store: SqliteStore) -> None:
        """Who starts the engine once a week is not asked before there is something to lose."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        report = store.prune(Retention(metadata_s=90 * DAY_S), now=NOON + 60 * DAY_S)
        assert (report.stopped, report.days) == ("", ())
        assert store.alarms() == ()
        assert store.prune(Retention(metadata_s=DAY_S), now=NOON + 60 * DAY_S).stopped

    @pytest.mark.parametrize(("hours", "stops"), [(24.1, False), (25.0, False), (49.0, True)])
    def test_a_nightly_run_after_a_restart_is_no_jump(
        self, store: SqliteStore, tmp_path: Path, hours: float, stops: bool
    ) -> None:
        """Restarted between two nightly runs, retention is applied; days later it asks first."""
        accept(store, arrival(1))
        settle(store, delivered(f"{DAY}-1.1"))
        retention = Retention(metadata_s=2 * DAY_S)
        store.prune(retention, now=NOON + 2 * DAY_S, clock_is_right=True)
        store.close()
        again = reopen(tmp_path / "d")
        report = again.prune(retention, now=NOON + 2 * DAY_S + hours * 3600)
        assert bool(report.stopped) is stops
        assert report.days == (() if stops else (DAY,))
        again.close()
