"""A backup made under load, restored elsewhere: a prefix of what was accepted, and it runs."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.bench import Bench, Shim, bench, message, shimmed
from tests.torture.engine import MEDBUS, wait_until
from tests.torture.wire import WAIT_S, field

fault = pytest.mark.fault


def accepted_in_order(it: Bench) -> list[str]:
    """Return the control ids of all accepted messages, oldest first."""
    rows = it.engine.all_messages("--state", "accepted")
    return [row["control_id"] for row in reversed(rows)]


def check_backup(folder: Path, most: int) -> None:
    """Back up in the middle of *most* messages from four senders; restore; compare."""
    acked: set[str] = set()
    stop = threading.Event()

    def load(sender: int) -> None:
        for number in range(sender, most, 4):
            if stop.wait(0.01):
                return
            if it.send(message(number, text="x" * (number % 900))) == "AA":
                acked.add(f"F{number}")

    with bench(folder / "first") as it:
        threads = [threading.Thread(target=load, args=(sender,)) for sender in range(4)]
        for thread in threads:
            thread.start()
        it.receiver.wait_for(30)
        before = set(acked)
        done = it.engine.command("backup", str(folder / "copy"), "--with-keys")
        during = len(acked) - len(before)
        assert done.returncode == 0, done.stderr
        count = len(acked)
        it.receiver.wait_for(count + 20)
        stop.set()
        for thread in threads:
            thread.join()
        it.engine.wait_drained()
        order = accepted_in_order(it)
    assert during > 0, "nothing was accepted while the backup was made"
    there = Bench(folder / "second")
    try:
        shutil.copytree(folder / "copy", there.engine.folder / "data")
        there.start()
        there.engine.wait_drained()
        restored = accepted_in_order(there)
        assert restored == order[: len(restored)]
        # It may have been delivered since by the engine that was copied: the copy says so.
        sent = set(there.receiver.control_ids())
        for row in there.engine.all_messages("--state", "accepted"):
            for delivery in row["deliveries"]:
                assert delivery["uncertain"] == (row["control_id"] in sent)
        assert before <= set(restored)
        assert len(restored) < len(order)
        # What the copy still owed goes out, and nothing else.
        assert set(there.receiver.control_ids()) <= set(restored)
        assert all(field(body, b"PID", 3) for body in there.receiver.messages)
        assert there.engine.command("audit", "verify").returncode == 0
        assert all(not row["difference"] for row in there.engine.ask("status")["ledger"])
        assert there.send(message(most + 1)) == "AA"
    finally:
        there.close()


@fault(50, "backup under load, restored elsewhere", "a prefix of the commit order; it runs")
def test_backup_under_load(tmp_path: Path) -> None:
    """What a restored backup holds is a prefix of the accept order, with all acked before it."""
    check_backup(tmp_path, 1_000_000)


@contextmanager
def held_in_a_backup(folder: Path) -> Iterator[tuple[Bench, Shim, subprocess.Popen[str]]]:
    """Give an engine that is in the middle of a backup, and the command that waits for it."""
    with shimmed(folder) as (it, shim):
        assert it.send(message(1)) == "AA"
        it.engine.wait_drained()
        shim.arm("sync copy/messages hang -1")
        words = [MEDBUS, "--site", str(it.engine.folder), "backup", str(folder / "copy")]
        command = subprocess.Popen(
            [*words, "--with-keys"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            wait_until(lambda: list(folder.glob("copy/messages/*.db")), WAIT_S, "a backup began")
            yield it, shim, command
        finally:
            command.kill()
            command.communicate()


@fault(50, "SIGTERM in a backup", "the stop does not wait for it; no half backup is left")
def test_a_stop_ends_a_backup(tmp_path: Path) -> None:
    """A stop ends a backup between two slices, the command says so, and nothing is left of it."""
    with held_in_a_backup(tmp_path) as (it, shim, command):
        assert it.engine.running is not None
        it.engine.running.send_signal(signal.SIGTERM)
        wait_until(lambda: '"stopping"' in it.engine.log(), WAIT_S, "the engine stops")
        shim.disarm()
        assert it.engine.wait() == 0
        out, err = command.communicate(timeout=WAIT_S)
        assert (command.returncode, out) == (1, "")
        assert "RUN-044" in err
        assert not (tmp_path / "copy").exists()
        assert "a backup was ended" in it.engine.log()
        # While it is stopped, the command makes the backup itself.
        assert it.engine.command("backup", str(tmp_path / "copy")).returncode == 0


@fault(50, "kill -9 in a backup", "what is left of it opens nowhere and says what it is")
def test_a_killed_backup_is_no_backup(tmp_path: Path) -> None:
    """What kill -9 leaves of a backup is refused as a data folder, and by the next backup."""
    with held_in_a_backup(tmp_path) as (it, shim, _):
        it.engine.kill()
        shim.disarm()
        refused = it.engine.command("backup", str(tmp_path / "copy"))
        assert (refused.returncode, "cut short" in refused.stderr) == (1, True)
        shutil.move(it.engine.folder / "data", it.engine.folder / "data.old")
        shutil.copytree(tmp_path / "copy", it.engine.folder / "data")
        running = it.engine.launch()
        assert running.wait(WAIT_S) == 1
        assert "STO-016" in it.engine.log_tail()


@fault(50, "prune in a backup", "the prune is put off; the copy has each day with its keys")
def test_a_prune_waits_for_the_backup(tmp_path: Path) -> None:
    """A prune by hand in the middle of a backup removes nothing, and says when to try again."""
    with held_in_a_backup(tmp_path) as (it, shim, command):
        put_off = it.engine.command("prune")
        assert (put_off.returncode, "STO-017" in put_off.stderr) == (1, True)
        assert it.engine.command("prune", "--dry-run").returncode == 0
        shim.disarm()
        command.communicate(timeout=WAIT_S)
        assert command.returncode == 0
        assert it.engine.command("prune").returncode == 0


@fault(50, "backup of a store with a damaged day", "made without it; names it and ends with 1")
def test_a_backup_names_what_it_lacks(tmp_path: Path) -> None:
    """Nobody learns at the restore that a day which was set aside is in none of the backups."""
    with shimmed(tmp_path) as (it, shim):
        assert it.send(message(1)) == "AA"
        it.engine.wait_drained()
        assert it.engine.terminate() == 0
        shim.arm(f"clock - shift {3 * 86_400}")
        it.start(shim.environ)
        assert it.send(message(2)) == "AA"
        it.engine.wait_drained()
        assert it.engine.terminate() == 0
        first = min((it.engine.folder / "data" / "messages").glob("*.db"))
        first.write_bytes(b"no database" * 1000)
        told = it.engine.command("backup", str(tmp_path / "copy"))
        assert told.returncode == 1
        assert "damaged" in told.stderr
        assert not (tmp_path / "copy" / "messages" / first.name).exists()
        assert (tmp_path / "copy" / "control.db").exists()
