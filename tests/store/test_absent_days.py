"""Days whose file is not there, or cannot be trusted: never made anew, never taken for whole."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

from engine.model.errors import Fenced, NotFound, StoreFull
from engine.model.records import Accepted
from engine.store.data_lock import DataLock
from engine.store.day_files import DayFiles
from engine.store.records import Retention
from engine.store.sqlite import SqliteError
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import (
    DAY,
    NEXT_DAY,
    NOON,
    accept,
    arrival,
    commit,
    delivered,
    due,
    ids,
    settle,
    settle_down,
)
from tests.store.test_crashes import SETTINGS, reopen
from tests.store.test_disk import day_file

DAY_S = 86_400.0


def damage(folder: Path, store: SqliteStore, day: str = DAY) -> None:
    """Overwrite all pages of a day but the first, and have its readers look anew."""
    if store._core.files.is_open(day):
        store._core.files.get(day).checkpoint()
    with open(day_file(folder, day), "r+b") as file:
        size = file.seek(0, 2)
        file.seek(8192)
        file.write(bytes(size - 8192))
    store._core.readers.close_all()


def remove(folder: Path, *days: str) -> None:
    """Lose the files of days."""
    for day in days:
        day_file(folder, day).unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed data folder with three messages owed to lis; tomorrow's file is made."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, *[arrival(n) for n in (1, 2, 3)])
    store.close()
    return tmp_path / "d"


# -- missing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [(NEXT_DAY,), (DAY,), (DAY, NEXT_DAY)])
def test_a_lost_day_is_told_whichever_it_is(folder: Path, lost: tuple[str, ...]) -> None:
    """If this failed, what was acknowledged could be gone and nobody would hear of it."""
    remove(folder, *lost)
    for _ in range(2):
        store = SqliteStore(folder, settings=SETTINGS)
        settle_down(store)
        alarms = [(alarm.code, alarm.where) for alarm in store.alarms()]
        assert alarms == [("STO-015", str(day_file(folder, day))) for day in lost]
        assert store.ledger_days() == (DAY, NEXT_DAY)
        told = [one for day in store.ledger_days() for one in store.check_ledger(day)]
        assert [one.day for one in told] == list(lost)
        assert [row.stored for day in lost for row in store.ledger(day)] == [0] * len(lost)
        store.close()


def test_a_lost_day_is_not_made_anew_by_its_next_message(folder: Path) -> None:
    """Arrivals of that day are refused, all else flows; asked for, its messages are missing."""
    remove(folder, DAY)
    store = SqliteStore(folder, settings=SETTINGS)
    answers = commit(store, arrival(4), arrival(1, day=NEXT_DAY, control_id="N1"))
    assert isinstance(answers[0], NotFound)
    assert answers[0].code == "STO-015"
    assert isinstance(answers[1], Accepted)
    assert not day_file(folder).exists()
    assert due(store) == ids(1, day=NEXT_DAY)
    with pytest.raises(NotFound, match=f"the file of {DAY} is missing"):
        store.get_message(f"{DAY}-1")
    store.close()


def test_a_lost_day_comes_back_from_a_backup_or_is_given_up(folder: Path) -> None:
    """Either way the alarm is over, and messages of the day are taken again."""
    kept = day_file(folder).read_bytes()
    for content in (b"", kept):
        remove(folder, DAY)
        SqliteStore(folder, settings=SETTINGS).close()
        day_file(folder).write_bytes(content)
        store = SqliteStore(folder, settings=SETTINGS)
        assert store.alarms() == ()
        number = store.next_number(DAY)
        assert number == (4 if content else 1)
        accept(store, arrival(number, control_id="again"))
        store.close()


def test_a_store_that_knew_only_keys_learns_its_days(folder: Path) -> None:
    """A folder of an older version, opened once, tells of every day it had then."""
    store = SqliteStore(folder, settings=SETTINGS)
    store.put_setting("days", "")
    store.close()
    store = SqliteStore(folder, settings=SETTINGS)
    assert store.alarms() == ()
    store.close()
    remove(folder, NEXT_DAY)
    store = SqliteStore(folder, settings=SETTINGS)
    assert [alarm.code for alarm in store.alarms()] == ["STO-015"]
    store.close()


def test_a_pruned_day_is_not_missed(folder: Path) -> None:
    """If this failed, every prune would raise an alarm at the next start."""
    store = SqliteStore(folder, settings=SETTINGS)
    settle(store, *[delivered(one) for one in ids(1, 2, 3)])
    later = NOON + 30 * DAY_S
    report = store.prune(Retention(metadata_s=28 * DAY_S), now=later, clock_is_right=True)
    assert report.days == (DAY,)
    store.close()
    store = SqliteStore(folder, settings=SETTINGS)
    assert store.alarms() == ()
    store.close()


@pytest.mark.parametrize("failpoint", ["rollover", "migration"])
def test_killed_while_a_day_is_made_nothing_is_missed(tmp_path: Path, failpoint: str) -> None:
    """Keys and a file without a message are no loss: the day is made at the next arrival."""
    folder, killed = tmp_path / "d", tmp_path / "killed"
    store = SqliteStore(folder, settings=SETTINGS)

    def copy(name: str) -> None:
        if name == failpoint:
            shutil.copytree(folder, killed, dirs_exist_ok=True)

    store._core.files._failpoint = copy
    store._core.open_day(DAY, create=True)
    store.close()
    store = SqliteStore(killed, settings=SETTINGS)
    assert store.alarms() == ()
    accept(store, arrival(1))
    store.close()


def test_a_day_that_could_not_be_noted_takes_nothing_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk full at the wrong moment refuses a message; once there is room, it is delivered."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)

    def full(self: DataLock, path: Path) -> None:
        raise OSError(errno.ENOSPC, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(DataLock, "add_file", full)
        assert [type(one) for one in store.commit([arrival(1)])] == [StoreFull]
    accept(store, arrival(2))
    assert due(store) == ids(2)
    assert store.ledger_days() == (DAY, NEXT_DAY)
    shutil.copytree(tmp_path / "d", tmp_path / "killed")
    store.close()
    day_file(tmp_path / "killed").with_suffix(".db-wal").unlink()
    with pytest.raises(Exception, match="write-ahead log"):
        SqliteStore(tmp_path / "killed", settings=SETTINGS)


def test_killed_while_a_day_is_put_to_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A WAL that was brought in for good is not taken for one that was lost."""
    folder = tmp_path / "d"
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(1))
    settle(store, delivered(f"{DAY}-1.1"))
    copies: list[Path] = []
    close = DayFiles.close

    def copy_first(self: DayFiles, day: str) -> None:
        copies.append(tmp_path / f"killed-{day}")
        shutil.copytree(folder, copies[-1])
        close(self, day)

    with monkeypatch.context() as patch:
        patch.setattr(DayFiles, "close", copy_first)
        commit(store, arrival(1, day=NEXT_DAY, control_id="N1"))
    store.close()
    assert [one.name for one in copies] == [f"killed-{DAY}"]
    store = reopen(copies[0])
    assert store.get_delivery(f"{DAY}-1.1").state.value == "delivered"
    store.close()


# -- damaged -----------------------------------------------------------------------------------


def test_todays_damage_fences_although_tomorrow_is_made(folder: Path) -> None:
    """If this failed, messages would be acknowledged into a file nobody reads any more."""
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(4))
    damage(folder, store)
    with pytest.raises(Fenced):
        due(store)
    with pytest.raises(Fenced):
        store.commit([arrival(5)])
    store.close()


def test_a_day_set_aside_takes_nothing_more(folder: Path) -> None:
    """Settlements and late arrivals are refused, and what is owed is still counted right."""
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(1, day=NEXT_DAY, control_id="N1"))
    settle(store, delivered(f"{DAY}-1.1"))
    damage(folder, store)
    assert due(store) == ids(1, day=NEXT_DAY)
    answers = commit(store, delivered(f"{DAY}-2.1"), arrival(9))
    assert [getattr(one, "code", "") for one in answers] == ["STO-002", "STO-002"]
    assert store.counts().outbounds["lis"].pending == 1
    assert [one.day for one in store.check_ledger(DAY)] == [DAY]
    settle_down(store)
    store.close()


def test_two_who_find_the_same_damage_do_not_fence(folder: Path) -> None:
    """A second reader of the same damaged file comes a moment late; the store goes on."""
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(1, day=NEXT_DAY, control_id="N1"))
    damage(folder, store)
    with store._core.readers.use(DAY) as late, pytest.raises(SqliteError) as caught:
        late.execute("SELECT count(*) FROM deliveries").fetchone()
    assert due(store) == ids(1, day=NEXT_DAY)
    store._core.translate(DAY, caught.value)
    accept(store, arrival(2, day=NEXT_DAY, control_id="N2"))
    store.close()
