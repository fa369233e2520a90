"""The engine is killed inside its upkeep: prune, a new day's file, a migration."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.bench import Bench, Shim, message

fault = pytest.mark.fault

FORTY_DAYS_S = 40 * 86_400


def check_whole(it: Bench, acked: int) -> None:
    """Whatever was killed: it answers, nothing is lost, ledger and audit hold."""
    assert it.send(message(acked + 1)) == "AA"
    it.engine.wait_drained()
    assert set(it.receiver.control_ids()) == {f"F{n}" for n in range(1, acked + 2)}
    assert it.engine.command("audit", "verify").returncode == 0
    assert all(not row["difference"] for row in it.engine.ask("status")["ledger"])


@fault(4, "kill -9 in a running engine's prune", "opens; the day is whole or gone, never between")
@pytest.mark.torture
@pytest.mark.parametrize(
    ("point", "retention"),
    [
        ("prune.before_rename", "bodies: 2d"),
        ("prune.after_rename", "bodies: 2d"),
        ("prune.before_unlink", "bodies: 1d, metadata: 2d"),
    ],
)
def test_killed_in_a_prune(tmp_path: Path, point: str, retention: str) -> None:
    """Killed in a prune forty days later, it starts again and can finish the prune."""
    is_whole_day = "metadata" in retention
    it, shim = Bench(tmp_path), Shim(tmp_path)
    with (it.engine.folder / "medbus.yaml").open("a") as settings:
        settings.write(f"retention: {{{retention}}}\n")
    try:
        it.start()
        assert [it.send(message(n)) for n in range(1, 11)] == ["AA"] * 10
        it.engine.wait_drained()
        first = it.first_message_id()
        assert it.engine.terminate() == 0
        shim.arm(f"clock - shift {FORTY_DAYS_S}")
        it.start({**shim.environ, "MEDBUS_FAILPOINT": f"{point}:1"})
        it.engine.command("prune", "--clock-is-right", "--yes", "2")
        assert it.engine.wait() == -signal.SIGKILL
        it.start(shim.environ)
        check_whole(it, 10)
        # The run that was killed is known: the clock has not moved since.
        it.engine.command("prune")
        ids = [item["message_id"] for item in it.engine.all_messages()]
        assert (first in ids) is not is_whole_day
        shown = it.engine.command("show", first, "--received")
        assert shown.returncode != 0
        assert "Traceback" not in shown.stderr + it.engine.log()
    finally:
        it.close()


@fault(4, "kill -9 while a day's file or a table is made", "opens; takes messages as ever")
@pytest.mark.torture
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("point", ["rollover", "migration"])
def test_killed_while_a_file_is_made(tmp_path: Path, point: str, count: int) -> None:
    """Killed at a new day, with messages stored on the day before, it makes the file anew."""
    it, shim = Bench(tmp_path), Shim(tmp_path)
    try:
        it.start()
        assert [it.send(message(n)) for n in range(1, 11)] == ["AA"] * 10
        assert it.engine.terminate() == 0
        shim.arm(f"clock - shift {3 * 86_400}")
        it.start({**shim.environ, "MEDBUS_FAILPOINT": f"{point}:{count}"})
        # The first message makes today's file; tomorrow's is made ahead when it is quiet.
        acked = 10 + (it.send(message(11)) == "AA")
        assert it.engine.wait(30) == -signal.SIGKILL
        it.start(shim.environ)
        check_whole(it, acked)
    finally:
        it.close()
