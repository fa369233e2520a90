"""The disk fails in every way that can be made here."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import pytest

from tests.faults.bench import Bench, bench, message, shimmed
from tests.torture.engine import MEDBUS, WAIT_S, is_listening, wait_until

fault = pytest.mark.fault


@fault(8, "fdatasync EIO once on the WAL", "fence: closed unanswered, exit 75; clean restart")
def test_one_failed_sync_fences(tmp_path: Path) -> None:
    """After one failed sync no ack is given, the engine exits 75, and a restart is clean."""
    with shimmed(tmp_path) as (it, shim):
        assert it.send(message(1)) == "AA"
        it.wait_for_states("delivered")
        shim.arm("sync -wal eio 1")
        assert it.send(message(2)) == "none"
        assert it.engine.wait() == 75
        shim.disarm()
        it.start(shim.environ)
        assert it.send(message(2)) == "AA"
        it.engine.wait_drained()
        assert set(it.receiver.control_ids()) == {"F1", "F2"}


@fault(9, "fdatasync EIO for ever", "never an AA; every start refuses")
def test_sync_never_works(tmp_path: Path) -> None:
    """While syncs fail the engine never says AA, and a start refuses before it listens."""
    with shimmed(tmp_path) as (it, shim):
        shim.arm("sync / eio -1")
        assert it.send(message(1)) == "none"
        assert it.engine.wait() == 75
        it.engine.launch(environ=shim.environ)
        assert it.engine.wait() == 75
        assert not is_listening(it.port)
        shim.disarm()
        it.start(shim.environ)
        assert it.send(message(1)) == "AA"
        it.receiver.wait_for(1)


@fault(10, "write EIO in the WAL", "fence; the store is whole afterwards")
def test_failed_write_fences(tmp_path: Path) -> None:
    """A failed write of the store is answered with the fence, never with an ack."""
    with shimmed(tmp_path) as (it, shim):
        shim.arm("write -wal eio 1")
        assert it.send(message(1)) == "none"
        assert it.engine.wait() == 75
        shim.disarm()
        it.start(shim.environ)
        assert it.send(message(1)) == "AA"
        it.receiver.wait_for(1)


@fault(11, "read EIO, short read, end of file", "an error or the fence; nothing wrong is sent")
@pytest.mark.parametrize("action", ["eio", "short", "eof"])
def test_failed_read_sends_nothing_wrong(tmp_path: Path, action: str) -> None:
    """When the store cannot be read, what goes out is right or does not go out."""
    with shimmed(tmp_path) as (it, shim):
        assert it.send(message(1)) == "AA"
        it.receiver.wait_for(1)
        first = it.first_message_id()
        shim.arm(f"read messages {action} 4")
        it.engine.command("show", first, "--received")
        it.send(message(2), wait_s=10)
        shim.disarm()
        answer = it.send(message(2))
        if answer == "none":
            # The fence: hung up unanswered; the supervisor starts the engine again.
            assert it.engine.wait() == 75
            it.start(shim.environ)
            answer = it.send(message(2))
        assert answer == "AA"
        it.engine.wait_drained()
        wait_until(lambda: len(set(it.receiver.messages)) >= 2, WAIT_S, "both messages arrive")
        assert set(it.receiver.messages) == {message(1), message(2)}


@fault(12, "disk full (ENOSPC on write)", "AE, deliveries go on, recovers without a restart")
def test_full_disk(tmp_path: Path) -> None:
    """With a full disk senders get AE, nothing acked is lost; freed, it flows without a restart."""
    with shimmed(tmp_path) as (it, shim):
        assert it.send(message(1)) == "AA"
        it.wait_for_states("delivered")
        shim.arm("write data/messages enospc -1")
        assert it.send(message(2)) == "AE"
        assert it.send(message(3)) == "AE"
        shim.disarm()
        assert it.send(message(2)) == "AA"
        it.receiver.wait_for(2)
        assert set(it.receiver.control_ids()) == {"F1", "F2"}
        assert it.engine.starts == 1


@fault(12, "disk full (small tmpfs, queue waiting)", "AE; the queue still drains; AA when freed")
def test_full_file_system(tmp_path: Path) -> None:
    """Senders get AE in time, what was acked is delivered all the same, and room brings AA back."""
    it = Bench(tmp_path, mllp_in="max_message: 2MB")
    folder = it.engine.folder / "data"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        it.close()
        pytest.skip("NOT RUN: this user may not mount a tmpfs")
    try:
        it.receiver.stop()
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(6_000_000))
        it.start()
        answers: list[str] = []
        while (not answers or answers[-1] == "AA") and len(answers) < 80:
            answers.append(it.send(message(len(answers) + 1, text="x" * 500_000)))
        taken = answers.count("AA")
        assert answers == ["AA"] * taken + ["AE"]
        assert taken >= 8
        with ballast.open("ab", buffering=0) as somebody_else, contextlib.suppress(OSError):
            while True:
                somebody_else.write(b"x" * 4096)
        assert it.send(message(90)) == "AE"
        it.receiver.start()
        it.receiver.wait_for(taken)
        it.engine.wait_drained()
        ballast.unlink()
        assert it.send(message(91)) == "AA"
        it.receiver.wait_for(taken + 1)
        assert it.receiver.control_ids() == [*(f"F{n}" for n in range(1, taken + 1)), "F91"]
        assert it.engine.starts == 1
    finally:
        it.close()
        subprocess.run(["umount", "-l", str(folder)], check=False)


@fault(14, "a message of 100 MB", "refused at the limit, memory bounded, others served")
def test_giant_message(tmp_path: Path) -> None:
    """A message far beyond the limit is refused without being held in memory."""
    with bench(tmp_path, mllp_in="max_message: 1MB") as it:
        before = it.engine.memory_mb()
        assert it.send(message(1, text="x" * 100_000_000)) in ("AR", "none")
        assert it.engine.memory_mb() < before + 40
        assert it.send(message(2)) == "AA"
        it.receiver.wait_for(1)
        assert it.receiver.control_ids() == ["F2"]


@fault(15, "a second engine on the same folder", "refuses with a plain sentence")
def test_second_engine_refuses(tmp_path: Path) -> None:
    """A second engine on the same data folder refuses and leaves the first one alone."""
    with bench(tmp_path) as it:
        second = subprocess.run(
            [MEDBUS, "--site", str(it.engine.folder), "run"],
            capture_output=True,
            text=True,
            timeout=2 * WAIT_S,
            check=False,
        )
        assert second.returncode == 1
        assert "RUN-004" in second.stderr
        assert it.send(message(1)) == "AA"


@fault(10, "write EIO in the database at a checkpoint", "fence; nothing acked is lost")
def test_failed_checkpoint(tmp_path: Path) -> None:
    """An I/O error while the log is carried over loses nothing that was acknowledged."""
    with shimmed(tmp_path) as (it, shim):
        assert [it.send(message(n)) for n in range(1, 6)] == ["AA"] * 5
        it.engine.wait_drained()
        shim.arm("write .db$ eio 1")
        acked = []
        while it.engine.running and it.engine.running.poll() is None and len(acked) < 60:
            number = len(acked) + 6
            if it.send(message(number, text="x" * 400_000)) != "AA":
                break
            acked.append(number)
        assert it.engine.wait() == 75
        shim.disarm()
        it.start(shim.environ)
        it.engine.wait_drained()
        assert {f"F{n}" for n in acked} <= set(it.receiver.control_ids())
        assert it.engine.command("audit", "verify").returncode == 0
