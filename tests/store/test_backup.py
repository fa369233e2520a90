"""Backups beside everything else that touches whole files, and what a copy knows of itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from engine.model.errors import Conflict, MedbusError, PutOff, Stopping
from engine.store.interface import Retention
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
    keyed,
    refused,
    settle,
    states,
)
from tests.store.test_crashes import ROOT, SETTINGS, reopen

DAY_S = 86_400.0
LAST_DAY = "20261123"
WAIT_S = 60.0
BODIES_3_DAYS = Retention(bodies_s=3 * DAY_S)
PRUNE_AT = NOON + 5 * DAY_S

_KILLED = """
import os, signal, sys
from pathlib import Path
from engine.store.sqlite_store import SqliteStore
left = int(sys.argv[3])
def go_on():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
SqliteStore(Path(sys.argv[1])).backup(Path(sys.argv[2]), with_master=True, go_on=go_on)
"""


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    """Three days: the first is settled and past its time at PRUNE_AT, the others owe."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1), arrival(2))
    settle(store, *map(delivered, ids(1, 2)))
    accept(store, arrival(1, day=NEXT_DAY, control_id="N1"))
    accept(store, arrival(1, day=LAST_DAY, control_id="L1"))
    return store


def open_copy(folder: Path) -> SqliteStore:
    """Open a copy that has its master key."""
    return SqliteStore(folder, settings=SETTINGS)


def at_slice(number: int, act: Callable[[], None]) -> Callable[[], None]:
    """Return what does *act* when it is asked for the *number*-th time."""
    left = number

    def go_on() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            act()

    return go_on


def elsewhere(act: Callable[[], None]) -> Callable[[], None]:
    """Return what does *act* in a thread of its own and waits: no connection is used twice."""

    def run() -> None:
        thread = Thread(target=act, daemon=True)
        thread.start()
        thread.join(WAIT_S)
        assert not thread.is_alive(), "it is held up by the backup"

    return run


def give_up() -> None:
    """Say what a stop says."""
    raise Stopping()


def test_what_a_copy_owes_is_uncertain_there_and_only_there(tmp_path: Path) -> None:
    """The store that was copied went on: what the copy sends again says that it may be known."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, *[keyed(n, n // 2) for n in (2, 3, 4, 5)], arrival(9))
    settle(store, refused(f"{DAY}-2.1"), delivered(f"{DAY}-4.1"))
    assert states(store, *ids(2, 3, 4, 5, 9)) == [
        "parked", "held", "delivered", "pending", "pending",
    ]  # fmt: skip
    store.backup(tmp_path / "copy", with_master=True)
    assert not any(store.get_delivery(identity).uncertain for identity in ids(2, 3, 5, 9))
    copy = open_copy(tmp_path / "copy")
    flags = [copy.get_delivery(identity).uncertain for identity in ids(2, 3, 4, 5, 9)]
    assert flags == [True, True, False, True, True]
    token = copy.lane_open("lis", 0, 1)
    assert [one.uncertain for one in copy.next(token, 10)] == [True, True]
    accept(copy, arrival(10))
    assert [one.uncertain for one in copy.next(token, 10)] == [True, True, False]
    assert copy.check_ledger(DAY) == ()
    store.close()
    copy.close()


def test_a_prune_is_put_off_while_a_backup_runs(store: SqliteStore, tmp_path: Path) -> None:
    """A day that lost its key in the middle of a backup would be in the copy, and unreadable."""
    is_copying, may_go_on = Event(), Event()

    def hold() -> None:
        is_copying.set()
        assert may_go_on.wait(WAIT_S)

    copying = Thread(
        target=store.backup,
        args=(tmp_path / "copy",),
        # The second slice: the moment is taken, the settled day is still to be copied.
        kwargs={"with_master": True, "go_on": at_slice(2, hold)},
    )
    copying.start()
    assert is_copying.wait(WAIT_S)
    with pytest.raises(PutOff):
        store.prune(BODIES_3_DAYS, now=PRUNE_AT, clock_is_right=True)
    shown = store.prune(BODIES_3_DAYS, now=PRUNE_AT, clock_is_right=True, dry_run=True)
    assert shown.bodies == (DAY,)
    may_go_on.set()
    copying.join(WAIT_S)
    report = store.prune(BODIES_3_DAYS, now=PRUNE_AT, clock_is_right=True)
    assert report.bodies == (DAY,)
    copy = open_copy(tmp_path / "copy")
    assert copy.get_body(f"{DAY}-1") == arrival(1).body
    store.close()
    copy.close()


def test_a_backup_waits_for_a_running_prune(store: SqliteStore, tmp_path: Path) -> None:
    """A copy made in the middle of a prune would hold bodies whose key is gone."""
    steps = store.prune_steps(BODIES_3_DAYS, now=PRUNE_AT, clock_is_right=True)
    next(steps)
    has_asked = Event()
    copying = Thread(
        target=store.backup,
        args=(tmp_path / "copy",),
        # Asked for the third time it still waits: it was asked before, and after a tenth second.
        kwargs={"with_master": True, "go_on": at_slice(3, has_asked.set)},
    )
    copying.start()
    assert has_asked.wait(WAIT_S)
    assert not list((tmp_path / "copy" / "messages").iterdir())
    for _ in steps:
        pass
    copying.join(WAIT_S)
    copy = open_copy(tmp_path / "copy")
    assert copy.get_message(f"{DAY}-1").message_id == f"{DAY}-1"
    with pytest.raises(MedbusError):
        copy.get_body(f"{DAY}-1")
    assert copy.get_body(f"{NEXT_DAY}-1") == arrival(1, day=NEXT_DAY, control_id="N1").body
    store.close()
    copy.close()


def test_a_prune_left_in_the_middle_keeps_no_backup_waiting(
    store: SqliteStore, tmp_path: Path
) -> None:
    """A stop leaves a prune between two slices; a backup by command comes after it."""
    steps = store.prune_steps(BODIES_3_DAYS, now=PRUNE_AT, clock_is_right=True)
    next(steps)
    steps.close()
    store.backup(tmp_path / "copy")
    store.close()


@pytest.mark.parametrize("is_new", [True, False])
def test_a_backup_that_is_given_up_leaves_nothing(
    store: SqliteStore, tmp_path: Path, is_new: bool
) -> None:
    """Half a backup must not be taken for one, wherever it was ended."""
    folder = tmp_path / "copy"
    if not is_new:
        folder.mkdir()
    ended = 0
    while True:
        try:
            store.backup(folder, go_on=at_slice(ended + 1, give_up))
        except Stopping:
            ended += 1
            assert list(tmp_path.glob("copy/**/*")) == []
            assert folder.exists() is not is_new
        else:
            break
    assert ended > 4, "it was ended before, in and between all the files"
    assert not (folder / "unfinished").exists()
    store.prune(BODIES_3_DAYS, now=PRUNE_AT, clock_is_right=True)
    store.close()


@pytest.mark.parametrize("number", [1, 3, 5])
def test_a_backup_that_is_killed_says_what_it_is(
    store: SqliteStore, tmp_path: Path, number: int
) -> None:
    """A copy cut short by kill -9 opens nowhere, also with all keys; nor is it written over."""
    store.close()
    words = [sys.executable, "-c", _KILLED, str(tmp_path / "d"), str(tmp_path / "copy")]
    killed = subprocess.run([*words, str(number)], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    with pytest.raises(MedbusError, match="STO-016"):
        open_copy(tmp_path / "copy")
    again = reopen(tmp_path / "d")
    with pytest.raises(Conflict, match="cut short"):
        again.backup(tmp_path / "copy")
    again.backup(tmp_path / "other", with_master=True)
    again.close()
    open_copy(tmp_path / "other").close()


def test_a_backup_of_a_restored_store_holds_nobody_up(store: SqliteStore, tmp_path: Path) -> None:
    """Files as a backup leaves them are at rest: a second backup must not keep them there."""
    store.backup(tmp_path / "copy", with_master=True)
    store.close()
    copy = open_copy(tmp_path / "copy")
    n = 10

    def work() -> None:
        nonlocal n
        n += 1
        accept(copy, arrival(n, day=LAST_DAY, control_id=f"L{n}"))
        settle(copy, delivered(f"{NEXT_DAY}-1.1"))

    copy.backup(tmp_path / "second", go_on=at_slice(3, elsewhere(work)), with_master=True)
    assert copy.alarms() == ()
    copy.close()
    second = open_copy(tmp_path / "second")
    assert due(second) == [*ids(1, day=NEXT_DAY), *ids(1, day=LAST_DAY)]
    second.close()


def test_a_backup_ends_although_an_old_day_is_being_settled(tmp_path: Path) -> None:
    """A backlog that is sent after a restart lies in files that nobody has opened yet."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    many = range(1, 41)
    accept(store, *[arrival(n, body=bytes([n]) * 500_000) for n in many])
    for day in (NEXT_DAY, LAST_DAY):
        accept(store, arrival(1, day=day, control_id=day))
    store.close()
    store = reopen(tmp_path / "d")
    left, slices = ids(*many), 0

    def settle_one() -> None:
        nonlocal slices
        slices += 1
        # The first time, the moment is still to come: the file would be open by then.
        if slices > 1 and left:
            commit(store, delivered(left.pop(0)))

    store.backup(tmp_path / "copy", with_master=True, go_on=elsewhere(settle_one))
    assert left, "it began anew with each settlement, until there were none"
    copy = open_copy(tmp_path / "copy")
    assert due(copy)[: len(left)] != left, "what was settled after the moment is owed in the copy"
    store.close()
    copy.close()


def test_a_copy_has_the_master_key_that_opens_it(store: SqliteStore, tmp_path: Path) -> None:
    """A rotation in the middle of a backup must not leave a ring with another master key."""
    rotate = at_slice(4, store.keys.rotate_master)
    store.backup(tmp_path / "copy", with_master=True, go_on=rotate)
    open_copy(tmp_path / "copy").close()
    store.close()
