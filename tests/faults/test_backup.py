"""A backup made under load, restored elsewhere: a prefix of what was accepted, and it runs."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from tests.faults.bench import Bench, bench, message
from tests.torture.wire import field

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
