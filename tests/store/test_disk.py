"""Disks that fail, fill up, or bring back other bytes than were written."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3 as other_sqlite
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

from engine.model.errors import Fenced, Locked, MedbusError, Sealed, StoreFull
from engine.model.records import Accepted
from engine.security.keyring import KeyRing
from engine.store.data_lock import DataLock
from engine.store.records import AuditRecord, MessageFilter
from engine.store.settings import StoreSettings
from engine.store.sqlite_store import SqliteStore
from tests.faults.bench import Shim
from tests.store.builders import (
    CANARY,
    DAY,
    NEXT_DAY,
    accept,
    arrival,
    commit,
    delivered,
    delivery,
    due,
    ids,
    settle,
    settle_down,
    states,
)
from tests.store.test_crashes import ROOT, SETTINGS, reopen, run_child, said


def day_file(folder: Path, day: str = DAY) -> Path:
    """Return where a day lies."""
    return folder / "messages" / f"{day[:4]}-{day[4:6]}-{day[6:]}.db"


def tamper(path: Path, sql: str, *parameters: object) -> None:
    """Change a closed file behind the engine's back."""
    connection = other_sqlite.connect(path)
    with connection:
        connection.execute(sql, parameters)
    connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A closed data folder with three messages owed to lis."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, *[arrival(n) for n in (1, 2, 3)])
    store.close()
    return tmp_path / "d"


# -- I/O errors --------------------------------------------------------------------------------


def run_until_armed(
    folder: Path, shim: Shim, rule: str, scenario: str = "accept"
) -> tuple[int, list[str]]:
    """Let a child accept a little, then make the disk fail; return how it ended."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.store.crash_child", str(folder), scenario],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **shim.environ},
    )
    assert child.stdout is not None
    lines = [child.stdout.readline().strip() for _ in range(20)]
    shim.arm(rule)
    try:
        rest, _ = child.communicate(timeout=120)
    finally:
        child.kill()
    return child.returncode, lines + rest.splitlines()


@pytest.mark.parametrize("rule", ["sync -wal eio 1", "sync -wal eio -1", "write -wal eio 1"])
def test_an_io_error_fences(tmp_path: Path, rule: str) -> None:
    """The first failing write or sync ends all acks; what was acked before is there afterwards."""
    shim = Shim(tmp_path)
    code, lines = run_until_armed(tmp_path / "d", shim, rule)
    assert (code, lines[-1]) == (75, "fenced")
    store = reopen(tmp_path / "d")
    kept = {one.message_id for one in store.find_messages(MessageFilter(), limit=100_000).items}
    assert set(said(lines, "acked")) <= kept
    assert store.check_ledger(DAY) == ()
    store.close()


@pytest.mark.parametrize(
    "rule",
    ["sync vault.db-wal eio 1", "write vault.db-wal eio 1", "sync vault.db$ eio -1"],
)
def test_an_io_error_in_the_vault_fences(tmp_path: Path, rule: str) -> None:
    """A vault that cannot be written, checkpoints included, ends all acks as a day's file does."""
    code, lines = run_until_armed(tmp_path / "d", Shim(tmp_path), rule, "link")
    assert (code, lines[-1]) == (75, "fenced")
    assert not [line for line in lines if line.startswith("refused")]
    store = reopen(tmp_path / "d")
    kept = {one.message_id for one in store.find_messages(MessageFilter(), limit=100_000).items}
    assert set(said(lines, "acked")) <= kept
    store.close()


def test_an_io_error_at_a_checkpoint_fences(tmp_path: Path) -> None:
    """A checkpoint that cannot write the file is not swallowed."""
    shim = Shim(tmp_path)
    script = (
        "import sys; from pathlib import Path; from tests.store.builders import *;"
        "from engine.store.settings import StoreSettings;"
        "from engine.store.sqlite_store import SqliteStore;"
        f"s = SqliteStore(Path({str(tmp_path / 'd')!r}),"
        f" settings=StoreSettings(min_free_bytes=0, min_free_share=0.0, checkpoint_bytes=1));"
        "accept(s, arrival(1)); s.commit([arrival(2)]);"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "try: settle_down(s); print('went on')\n"
        "except Exception as e: print(type(e).__name__)\n"
        "try: s.commit([arrival(3)]); print('went on')\n"
        "except Exception as e: print(type(e).__name__)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, **shim.environ},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    shim.arm("sync 2026-11-21.db eio -1")
    out, _ = child.communicate("go\n", timeout=120)
    assert out.splitlines() == ["Fenced", "Fenced"]


def test_a_fence_is_for_good(tmp_path: Path) -> None:
    """After a fence nothing is committed any more, whoever asks."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1))
    store._core.fence("test")
    for attempt in (
        lambda: store.commit([arrival(2)]),
        lambda: store.commit([delivered(f"{DAY}-1.1")]),
        store.step,
    ):
        with pytest.raises(Fenced):
            attempt()
    store.close()
    store = reopen(tmp_path / "d")
    assert store.facts().was_unclean
    store.close()


# -- no room -----------------------------------------------------------------------------------


def test_a_full_file_refuses_arrivals_and_lets_deliveries_settle(tmp_path: Path) -> None:
    """max_day_bytes: arrivals get StoreFull, all that is owed can still be settled."""
    settings = StoreSettings(min_free_bytes=0, min_free_share=0.0, max_day_bytes=1_500_000)
    store = SqliteStore(tmp_path / "d", settings=settings)
    taken, n = [], 0
    while True:
        n += 1
        (answer,) = commit(store, arrival(n, body=b"%d " % n + bytes(20_000)))
        if not isinstance(answer, Accepted):
            break
        taken.append(f"{DAY}-{n}.1")
    assert isinstance(answer, StoreFull)
    assert len(taken) > 10
    assert all(one.ok for one in settle(store, *map(delivered, taken)))
    assert store.check_ledger(DAY) == ()
    store.close()


def test_below_the_watermark_arrivals_are_refused_and_come_back(tmp_path: Path) -> None:
    """Too little free space: StoreFull without a fence; a batch keeps its settlements."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1))
    store.close()
    starved = StoreSettings(min_free_bytes=1 << 60, min_free_share=0.0, max_free_share=1.0)
    store = SqliteStore(tmp_path / "d", settings=starved)
    first, second = store.commit([arrival(2), delivered(f"{DAY}-1.1")])
    assert isinstance(first, StoreFull)
    assert getattr(second, "ok", False)
    [alarm] = store.alarms()
    assert alarm.code == "STO-013"
    assert "senders get AE" in alarm.what
    store.close()
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    assert isinstance(commit(store, arrival(2))[0], Accepted)
    assert store.alarms() == ()
    store.close()


def test_the_watermark_leaves_a_small_disk_usable(small_disk: Path) -> None:
    """On a file system smaller than the watermark arrivals are taken until a quarter is left."""
    store = SqliteStore(small_disk / "d", settings=StoreSettings())
    answers = []
    for n in range(1, 200):
        answers += store.commit([arrival(n, body=b"%d " % n + bytes(20_000))])
        if isinstance(answers[-1], StoreFull):
            break
    taken = sum(isinstance(answer, Accepted) for answer in answers)
    assert taken > 5
    assert isinstance(answers[-1], StoreFull)
    store.close()


def test_a_chore_without_room_waits_for_it(tmp_path: Path) -> None:
    """Upkeep that finds the disk full neither fences the store nor is forgotten."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    while store.step():
        pass
    tries: list[str] = []

    def chore() -> bool:
        tries.append("tried")
        if len(tries) < 3:
            raise StoreFull
        return False

    store._core.add_chore("upkeep", chore)
    store.step()
    assert not store.step()
    assert tries == ["tried"]
    for n in (1, 2, 3):
        accept(store, arrival(n))
        while store.step():
            pass
    assert tries == ["tried"] * 3
    store.close()


def test_the_reserve_is_given_up_for_settlements(small_disk: Path) -> None:
    """Filled to the last byte by somebody else, the store can still settle what it owes."""
    store = SqliteStore(small_disk / "d", settings=StoreSettings())
    accept(store, arrival(1), arrival(2))
    assert (small_disk / "d" / "reserve").exists()
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as somebody_else, suppress(OSError):
        while True:
            somebody_else.write(bytes(4096))
    assert isinstance(store.commit([arrival(3)])[0], StoreFull)
    for n in (1, 2):
        answers = [store.commit([delivered(f"{DAY}-{n}.1")])[0] for _ in range(2)]
        assert any(getattr(answer, "ok", False) for answer in answers)
    filler.unlink()
    assert isinstance(store.commit([arrival(3)])[0], Accepted)
    assert (small_disk / "d" / "reserve").exists()
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB; needs root."""
    target = tmp_path / "small"
    target.mkdir()
    mount = shutil.which("mount")
    done = (
        subprocess.run(
            [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(target)], capture_output=True
        )
        if mount
        else None
    )
    if done is None or done.returncode:
        pytest.skip("NOT RUN: a small tmpfs cannot be mounted here (needs root)")
    yield target
    subprocess.run(["umount", "-l", str(target)], check=True)


def test_a_full_disk_is_survived(small_disk: Path) -> None:
    """A disk that is really full: StoreFull, no fence; freed, all flows again, nothing is lost."""
    settings = StoreSettings(min_free_bytes=0, min_free_share=0.0, checkpoint_bytes=100_000)
    store = SqliteStore(small_disk / "d", settings=settings)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(900_000))
    taken, n = [], 0
    while True:
        n += 1
        (answer,) = store.commit([arrival(n, body=b"%d " % n + bytes(20_000))])
        if not isinstance(answer, Accepted):
            break
        taken.append(f"{DAY}-{n}.1")
    assert isinstance(answer, StoreFull)
    filler.unlink()
    settle_down(store)
    assert all(one.ok for one in settle(store, *map(delivered, taken)))
    assert isinstance(commit(store, arrival(n + 1))[0], Accepted)
    assert store.check_ledger(DAY) == ()
    store.close()


# -- other bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE bodies SET sealed = zeroblob(length(sealed)) WHERE id = (2 << 16) + 1",
        "UPDATE bodies SET sealed = (SELECT sealed FROM bodies WHERE id = (3 << 16) + 1)"
        " WHERE id = (2 << 16) + 1",
        "UPDATE bodies SET sealed = substr(sealed, 1, 20) WHERE id = (2 << 16) + 1",
        "DELETE FROM bodies WHERE id = (2 << 16) + 1",
    ],
)
def test_a_changed_body_is_parked_and_the_others_flow(folder: Path, change: str) -> None:
    """Flipped, swapped, cut or missing bytes are never sent; an alarm names the delivery."""
    tamper(day_file(folder), change)
    store = SqliteStore(folder, settings=SETTINGS)
    assert due(store) == ids(1, 3)
    settle_down(store)
    assert states(store, *ids(1, 2, 3)) == ["pending", "parked", "pending"]
    assert store.get_delivery(f"{DAY}-2.1").park_code == "damaged"
    [alarm] = store.alarms()
    assert f"stored bytes of {DAY}-2.1 cannot be opened" in alarm.what
    store.close()


def test_damage_to_what_was_delivered_is_told_when_it_is_read(folder: Path) -> None:
    """Whoever looks gets no garbage, and everybody an alarm with day, message and way back."""
    store = SqliteStore(folder, settings=SETTINGS)
    settle(store, delivered(f"{DAY}-1.1"))
    store.close()
    tamper(day_file(folder), "UPDATE bodies SET sealed = zeroblob(length(sealed))")
    store = SqliteStore(folder, settings=SETTINGS)
    with pytest.raises(Sealed) as caught:
        store.get_body(f"{DAY}-1")
    assert caught.value.code == "STO-009"
    with pytest.raises(Sealed):
        store.get_body(f"{DAY}-1")
    [alarm] = store.alarms()
    assert alarm.code == "STO-009"
    assert alarm.what == f"the stored bytes of {DAY}-1 cannot be opened"
    assert "backup" in alarm.fix
    assert states(store, f"{DAY}-1.1") == ["delivered"]
    store.close()


def test_a_damaged_old_day_is_set_aside(folder: Path) -> None:
    """The engine starts, sends what today owes, and an alarm names the damaged file."""
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(1, day=NEXT_DAY, control_id="N1"))
    store.close()
    path = day_file(folder)
    path.write_bytes(b"this is no database" * 1000)
    store = SqliteStore(folder, settings=SETTINGS)
    assert due(store) == ids(1, day=NEXT_DAY)
    assert [one.code for one in store.alarms()] == ["STO-002"]
    assert [one.message_id for one in store.find_messages(MessageFilter()).items] == [
        f"{NEXT_DAY}-1"
    ]
    assert path.exists()
    store.close()


def test_a_day_damaged_while_running_is_set_aside(folder: Path) -> None:
    """A read that finds garbage gives an alarm, not garbage."""
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(1, day=NEXT_DAY, control_id="N1"))
    settle_down(store)
    store.close()
    content = bytearray(day_file(folder).read_bytes())
    store = SqliteStore(folder, settings=SETTINGS)
    content[8192:] = bytes(len(content) - 8192)
    with open(day_file(folder), "r+b") as file:
        file.seek(8192)
        file.write(bytes(len(content) - 8192))
    store._core.readers.close_all()
    assert due(store) == ids(1, day=NEXT_DAY)
    assert [one.code for one in store.alarms()] == ["STO-002"]
    store.close()


@pytest.mark.parametrize("name", ["today", "control.db"])
def test_a_damaged_current_file_is_refused(folder: Path, name: str) -> None:
    """What is being written cannot be set aside: the start is refused with the way back."""
    path = day_file(folder, NEXT_DAY) if name == "today" else folder / name
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(MedbusError, match="backup"):
        SqliteStore(folder, settings=SETTINGS)


def test_a_lost_day_file_is_told(folder: Path) -> None:
    """A day's file that was removed is an alarm with two ways back; a pruned day is none."""
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(1, day=NEXT_DAY))
    store.close()
    path = day_file(folder)
    kept = path.read_bytes()
    path.unlink()
    store = SqliteStore(folder, settings=SETTINGS)
    [alarm] = store.alarms()
    assert alarm.code == "STO-015"
    assert alarm.where == str(path)
    store.close()
    path.touch()
    store = SqliteStore(folder, settings=SETTINGS)
    assert store.alarms() == ()
    store.close()
    path.write_bytes(kept)
    store = SqliteStore(folder, settings=SETTINGS)
    assert store.alarms() == ()
    assert len(due(store)) == 3
    store.close()


@pytest.mark.parametrize("is_empty", [False, True])
def test_a_lost_control_db_is_refused(folder: Path, is_empty: bool) -> None:
    """control.db gone or cut to nothing is refused, unless its loss is accepted by a person."""
    store = SqliteStore(folder, settings=SETTINGS)
    store.audit(AuditRecord(0, 1.0, "nurse", "pause", "lis"))
    store.close()
    for path in folder.glob("control.db*"):
        path.unlink()
    if is_empty:
        (folder / "control.db").touch()
    with pytest.raises(MedbusError, match=r"audit\.head") as caught:
        SqliteStore(folder, settings=SETTINGS)
    assert caught.value.code == "STO-014"
    (folder / "keys" / "audit.head").unlink()
    store = SqliteStore(folder, settings=SETTINGS)
    assert len(due(store)) == 3
    store.close()


def test_a_lost_wal_is_refused(tmp_path: Path) -> None:
    """Killed, and the WAL removed: acked messages would be missing, so the start is refused."""
    run_child(tmp_path / "d", "accept", "commit.after:6")
    wal = day_file(tmp_path / "d").with_name("2026-11-21.db-wal")
    kept = wal.read_bytes()
    wal.unlink()
    with pytest.raises(MedbusError, match="write-ahead log") as caught:
        SqliteStore(tmp_path / "d", settings=SETTINGS)
    assert caught.value.code == "STO-007"
    assert "backup" in caught.value.fix
    wal.write_bytes(kept)
    reopen(tmp_path / "d").close()


# -- keys, locks, audit ------------------------------------------------------------------------


def break_key(folder: Path) -> None:
    """Put another master key in the right one's place."""
    (folder / "keys" / "master.key").write_text("00" * 32)


def lose_key(folder: Path) -> None:
    """Remove the master key."""
    (folder / "keys" / "master.key").unlink()


def lose_ring(folder: Path) -> None:
    """Remove all keys."""
    shutil.rmtree(folder / "keys")


def open_key(folder: Path) -> None:
    """Let others read the master key."""
    (folder / "keys" / "master.key").chmod(0o644)


@pytest.mark.parametrize("harm", [break_key, lose_key, lose_ring, open_key])
def test_a_wrong_key_is_refused_and_nothing_changes(
    folder: Path, harm: Callable[[Path], None]
) -> None:
    """Wrong, missing or readable keys stop the start before any file is touched."""
    harm(folder)
    before = day_file(folder).read_bytes(), (folder / "control.db").read_bytes()
    with pytest.raises(Sealed) as caught:
        SqliteStore(folder, settings=SETTINGS)
    assert caught.value.fix
    assert (day_file(folder).read_bytes(), (folder / "control.db").read_bytes()) == before


def test_a_second_engine_is_refused(folder: Path) -> None:
    """Two engines on one data folder: the second is told so, the first goes on."""
    store = SqliteStore(folder, settings=SETTINGS)
    code, lines = run_child(folder, "open")
    assert (code, lines) == (1, ["error RUN-004"])
    with pytest.raises(Locked):
        SqliteStore(folder, settings=SETTINGS)
    accept(store, arrival(4))
    store.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("UPDATE audit SET at = at + 1 WHERE seq = 2", "record 2 was changed"),
        ("DELETE FROM audit WHERE seq = 2", "record 2 is missing"),
        ("DELETE FROM audit WHERE seq = 4", "the end is cut off"),
        ("DELETE FROM audit", "the end is cut off"),
    ],
)
def test_a_changed_audit_chain_is_found(folder: Path, change: str, problem: str) -> None:
    """Edited, removed and cut-off records are found at their place."""
    store = SqliteStore(folder, settings=SETTINGS)
    for n in range(1, 5):
        store.audit(AuditRecord(0, float(n), "nurse", "show"))
    store.close()
    tamper(folder / "control.db", change)
    store = SqliteStore(folder, settings=SETTINGS)
    verdict = store.verify_audit()
    assert not verdict.ok
    assert problem in verdict.problem
    store.close()


def test_a_corrupted_counter_is_found(folder: Path) -> None:
    """A ledger that says other than the rows is told, counter and equation."""
    tamper(day_file(folder), "UPDATE ledger SET value = value + 1 WHERE counter = 'accepted'")
    store = SqliteStore(folder, settings=SETTINGS)
    found = [one.what for one in store.check_ledger(DAY)]
    assert found[0] == "accepted: 4 kept, 3 counted"
    assert found[1].startswith("stored = accepted + rejected + duplicate")
    store.close()


def test_no_patient_data_is_readable_on_disk(tmp_path: Path) -> None:
    """Bodies, ids, acks, names and reasons leave no trace in any file of the data folder."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    text = CANARY.encode()
    output = delivery(body=b"out " + text, control_id=CANARY + "O", file_name=CANARY + ".hl7")
    accept(
        store,
        arrival(
            1,
            output,
            body=b"in " + text,
            control_id=CANARY,
            ack=b"ack " + text,
            terms=(),
            sender=(CANARY, "H"),
            reject_reason=CANARY,
        ),
    )
    store.audit(AuditRecord(0, 1.0, "nurse", "show", CANARY, CANARY))
    store.put_snapshot({"a.yaml": text}, at=1.0)

    def leaks() -> list[str]:
        return [
            path.name
            for path in (tmp_path / "d").rglob("*")
            if path.is_file() and text in path.read_bytes()
        ]

    assert leaks() == []
    assert store.get_body(f"{DAY}-1") == b"in " + text
    store.close()
    assert leaks() == []
    assert KeyRing.exists(tmp_path / "d" / "keys")


def test_a_backup_taken_while_running_opens(folder: Path, tmp_path: Path) -> None:
    """The copy holds everything committed; with the master key beside it a store opens on it."""
    store = SqliteStore(folder, settings=SETTINGS)
    settle(store, delivered(f"{DAY}-1.1"))
    store.audit(AuditRecord(0, 1.0, "nurse", "show"))
    store.backup(tmp_path / "copy")
    accept(store, arrival(9))
    assert not (tmp_path / "copy" / "keys" / "master.key").exists()
    store.close()
    shutil.copy(folder / "keys" / "master.key", tmp_path / "copy" / "keys" / "master.key")
    copy = SqliteStore(tmp_path / "copy", settings=SETTINGS)
    assert due(copy) == ids(2, 3)
    assert copy.get_body(f"{DAY}-1") == arrival(1).body
    assert copy.verify_audit().ok
    assert not copy.facts().was_unclean
    copy.close()


#: messages within which a backup ends, however long a slow disk takes over its copy
ENOUGH = 50_000


def test_a_backup_ends_although_messages_come_all_the_time(folder: Path, tmp_path: Path) -> None:
    """A file larger than one step of the copy, written between every two steps, is copied once."""
    store = SqliteStore(folder, settings=SETTINGS)
    accept(store, *[arrival(n, body=bytes([n]) * 500_000) for n in range(10, 60)])
    steps: list[None] = []
    copying = Thread(target=lambda: steps.append(store.backup(tmp_path / "copy")))
    copying.start()
    n = 100
    while copying.is_alive() and n < ENOUGH:
        commit(store, arrival(n), arrival(n, day=NEXT_DAY, control_id=f"N{n}"))
        n += 1
    copying.join(60)
    assert steps
    assert n < ENOUGH
    store.close()
    shutil.copy(folder / "keys" / "master.key", tmp_path / "copy" / "keys" / "master.key")
    copy = SqliteStore(tmp_path / "copy", settings=SETTINGS)
    found = copy.find_messages(MessageFilter(), limit=3 * ENOUGH).items
    # Over all days together, what is there is what was committed first.
    assert sorted(one.seq for one in found) == list(range(1, len(found) + 1))
    assert copy.check_ledger(DAY) == copy.check_ledger(NEXT_DAY) == ()
    copy.close()


def test_a_backup_that_cannot_be_written_does_not_stop_the_store(
    folder: Path, tmp_path: Path
) -> None:
    """Trouble with the place of the copy is the backup's alone: the store is not fenced for it."""
    store = SqliteStore(folder, settings=SETTINGS)
    too_long = tmp_path.joinpath(*["x" * 100] * 6)  # SQLite opens no such path, the system does
    with pytest.raises(MedbusError, match="RUN-031"):
        store.backup(too_long)
    assert isinstance(accept(store, arrival(9))[0], Accepted)
    store.backup(tmp_path / "copy")
    store.close()


@pytest.mark.parametrize("room_for", range(6))
def test_a_start_that_fails_for_room_leaves_a_store_that_opens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room_for: int
) -> None:
    """A full disk after a kill never makes the next start take a write-ahead log for lost."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1), arrival(2, day=NEXT_DAY))
    shutil.copytree(tmp_path / "d", tmp_path / "killed")
    store.close()
    left = [room_for]
    write = DataLock._write

    def write_if_room(lock: DataLock, names: set[str]) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "no room")
        write(lock, names)

    with monkeypatch.context() as full, suppress(OSError, MedbusError):
        full.setattr(DataLock, "_write", write_if_room)
        SqliteStore(tmp_path / "killed", settings=SETTINGS).close()
    store = SqliteStore(tmp_path / "killed", settings=SETTINGS)
    assert due(store) == [*ids(1), *ids(2, day=NEXT_DAY)]
    store.close()


def test_what_is_noted_as_being_written_has_its_wal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However early the power goes, a note that it leaves never speaks of a lost WAL."""
    folder, write = tmp_path / "d", DataLock._write
    noted: set[str] = set()

    def write_and_look(lock: DataLock, names: set[str]) -> None:
        logs = {path.name.removesuffix("-wal") for path in folder.rglob("*.db-wal")}
        assert names <= logs
        noted.update(names)
        write(lock, names)

    monkeypatch.setattr(DataLock, "_write", write_and_look)
    for n in (1, 3):
        store = SqliteStore(folder, settings=SETTINGS)
        accept(store, arrival(n), arrival(n + 1, day=NEXT_DAY))
        store.close()
    assert len(noted - {"control.db"}) >= 2
