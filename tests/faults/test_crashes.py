"""The engine dies at the worst moments; nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from tests.faults.bench import IMPATIENT, Bench, Shim, bench, message, shimmed, verdict
from tests.torture.engine import WAIT_S, at_most, wait_until
from tests.torture.wire import PeerClosed, Wire, make_ack

fault = pytest.mark.fault


@fault(2, "kill -9 between commit and AA", "stored once; the resend gets the stored AA")
def test_killed_after_the_commit_before_the_ack(tmp_path: Path) -> None:
    """A message whose ack died with the engine is delivered once, and its resend is answered AA."""
    with shimmed(tmp_path) as (it, shim):
        shim.arm("send MSA|AA|F1 kill 1")
        assert it.send(message(1)) == "none"
        it.engine.wait()
        shim.disarm()
        it.start(shim.environ)
        it.receiver.wait_for(1)
        assert it.send(message(1)) == "AA"
        it.engine.wait_drained()
        assert it.receiver.control_ids() == ["F1"]
        assert [item["state"] for item in it.engine.all_messages()] == ["duplicate", "accepted"]


@fault(3, "kill -9 after downstream AA, before it is settled", "one duplicate, same bytes, marked")
def test_killed_after_the_receivers_ack_before_the_settlement(tmp_path: Path) -> None:
    """A delivery whose ack was not yet durable goes out again, same bytes, marked uncertain."""
    with shimmed(tmp_path) as (it, shim):
        shim.arm("recv MSA|AA|F1 kill 1")
        it.send(message(1))
        it.engine.wait()
        shim.disarm()
        it.start(shim.environ)
        first, second = it.receiver.wait_for(2)
        assert first == second
        (delivery,) = it.wait_for_states("delivered")
        assert delivery["uncertain"] is True


@fault(4, "kill -9 in a commit, in a checkpoint, while a file is made", "opens again; nothing lost")
@pytest.mark.parametrize(
    ("point", "both_files_are_made"),
    [
        ("write -wal kill 1", True),
        ("sync -wal kill 1", True),
        ("write .db$ kill 1", True),
        ("sync .db$ kill 1", True),
        ("write .db$ kill 1", False),
        ("sync .db$ kill 1", False),
    ],
    ids=[
        "commit-write",
        "commit-sync",
        "checkpoint-write",
        "checkpoint-sync",
        "new-file-write",
        "new-file-sync",
    ],
)
def test_killed_while_the_store_writes(
    tmp_path: Path, point: str, both_files_are_made: bool
) -> None:
    """Killed inside a write or sync of the store, the engine starts again and owes all it acked."""
    with shimmed(tmp_path) as (it, shim):
        acked = 0
        if both_files_are_made:
            acked += it.send(message(1)) == "AA"
            days = it.engine.folder / "data" / "messages"
            wait_until(lambda: len(list(days.glob("*.db-wal"))) == 2, WAIT_S, "tomorrow's file")
        shim.arm(point)
        # Enough for a checkpoint; the engine dies on the way.
        while acked < 60 and it.send(message(acked + 1, text="x" * 400_000)) == "AA":
            acked += 1
        assert it.engine.wait() == -signal.SIGKILL
        shim.disarm()
        it.start(shim.environ)
        assert it.send(message(acked + 1, text="x" * 400_000)) == "AA"
        it.engine.wait_drained()
        assert set(it.receiver.control_ids()) == {f"F{n}" for n in range(1, acked + 2)}


@fault(6, "SIGTERM under load", "what was accepted is answered; exit 0 within 10 s; no loss")
def test_sigterm_under_load(tmp_path: Path) -> None:
    """Asked to stop under load, the engine answers what it accepted, exits 0, and loses nothing."""
    with bench(tmp_path) as it:
        acked: list[str] = []
        stop = threading.Event()

        def load() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                if it.send(message(number)) == "AA":
                    acked.append(f"F{number}")

        thread = threading.Thread(target=load)
        thread.start()
        it.receiver.wait_for(20)
        assert it.engine.terminate(at_most(10.0)) == 0
        stop.set()
        thread.join()
        it.start()
        it.engine.wait_drained()
        assert set(acked) <= set(it.receiver.control_ids())


def check_frozen(folder: Path, seconds: float) -> None:
    """Freeze the engine for *seconds* with a message before its door; it must go on."""
    with bench(folder, connect=IMPATIENT) as it:
        it.send(message(1))
        it.receiver.wait_for(1)
        os.kill(it.engine.pid, signal.SIGSTOP)
        wire = Wire.connect(it.port)
        wire.send(message(2))
        threading.Event().wait(seconds)
        os.kill(it.engine.pid, signal.SIGCONT)
        assert verdict(wire.receive()) == "AA"
        wire.close()
        it.receiver.wait_for(2)
        it.engine.wait_drained()
        assert len(it.receiver.messages) <= 3


@fault(7, "SIGSTOP 3.5 s, then SIGCONT", "no storm of duplicates; it goes on")
def test_stopped_and_continued(tmp_path: Path) -> None:
    """Frozen for longer than a time-out, the engine goes on where it was, with few duplicates."""
    check_frozen(tmp_path, 3.5)


@fault(7, "SIGSTOP 30 s, then SIGCONT", "no storm of duplicates; it goes on")
@pytest.mark.torture
def test_stopped_for_long(tmp_path: Path) -> None:
    """Frozen for half a minute, the engine goes on as after a moment."""
    check_frozen(tmp_path, 30.0)


@fault(28, "downstream processes, its ack is lost", "one duplicate with the same bytes, recorded")
def test_the_receivers_ack_is_lost(tmp_path: Path) -> None:
    """A receiver that takes a message and dies before answering gets the same bytes again."""

    def script(wire: Wire, body: bytes, number: int) -> None:
        if number == 1:
            raise PeerClosed("dies before it answers")
        wire.send(make_ack(body))

    with bench(tmp_path, script) as it:
        assert it.send(message(1)) == "AA"
        first, second = it.receiver.wait_for(2)
        assert first == second
        it.wait_for_states("delivered")
        outcomes = [row["outcome"] for row in it.attempts(it.first_message_id())]
        assert outcomes == ["broken", "acked"]


@fault(1, "kill -9 in an idle engine with a queue", "the queue is delivered in order after start")
def test_killed_with_a_queue(tmp_path: Path) -> None:
    """A queue that waits for a receiver survives kill -9 and goes out in accept order."""
    it = Bench(tmp_path)
    try:
        it.receiver.stop()
        it.start()
        assert [it.send(message(n)) for n in range(1, 31)] == ["AA"] * 30
        it.engine.kill()
        it.receiver.start()
        it.start()
        it.receiver.wait_for(30)
        assert it.receiver.control_ids() == [f"F{n}" for n in range(1, 31)]
        wait_until(lambda: it.engine.owed() == 0, WAIT_S, "queue is empty")
    finally:
        it.close()


def test_the_shim_is_harmless_when_it_has_no_rules(tmp_path: Path) -> None:
    """An engine with the fault shim loaded but not armed works as without it."""
    with shimmed(tmp_path) as (it, _):
        assert isinstance(_, Shim)
        assert it.send(message(1)) == "AA"
        it.wait_for_states("delivered")
