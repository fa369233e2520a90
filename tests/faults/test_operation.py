"""Reload in traffic, steps that raise or loop, and what may be found in logs afterwards."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from tests.faults.bench import Bench, bench, message

fault = pytest.mark.fault

PYTHON = """
def raises(message, context):
    raise ValueError(message["PID-5.1"])


def loops(message, context):
    while message["PID-5.1"] == "ZQCANARY":
        pass
    return message


def grows(message, context):
    kept = []
    while True:
        kept.append(bytearray(50_000_000))
"""


@fault(44, "a Python step raises, loops, or takes a gigabyte", "that route parks; others go on")
@pytest.mark.parametrize("function", ["raises", "loops", "grows"])
@pytest.mark.timeout(120)
def test_bad_python_step(tmp_path: Path, function: str) -> None:
    """A Python step that misbehaves parks its route; the engine and other messages go on."""
    steps = f"- python: bad:{function}\n  when: MSH-10 == 'F1'"
    files = {"transforms/python/bad.py": PYTHON}
    with bench(tmp_path, steps=steps, **files) as it:
        assert it.send(message(1), wait_s=60) == "AA"
        assert it.send(message(2), wait_s=60) == "AA"
        it.receiver.wait_for(1)
        deliveries = it.wait_for_states("parked", "delivered")
        assert deliveries[0]["park_code"] == "step"
        assert it.receiver.control_ids() == ["F2"]
        assert "ZQCANARY" not in it.engine.log() + str(deliveries)


def edited(it: Bench, old: str, new: str) -> None:
    """Change the site's channel file."""
    path = it.engine.folder / "channels" / "channels.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@fault(42, "reload under load: good, then broken", "good: at once and whole; broken: old goes on")
def test_reload_in_traffic(tmp_path: Path) -> None:
    """Under load a good reload takes effect and loses nothing, a broken one changes nothing."""
    with bench(tmp_path, steps="- set: {MSH-6: BEFORE}") as it:
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
        try:
            it.receiver.wait_for(10)
            edited(it, "BEFORE", "LATER")
            assert it.engine.command("reload").returncode == 0
            count = len(it.receiver.messages)
            it.receiver.wait_for(count + 20)
            edited(it, "set:", "sett:")
            broken = it.engine.command("reload")
            assert broken.returncode == 1
            assert "channels.yaml:" in broken.stdout + broken.stderr
            count = len(it.receiver.messages)
            it.receiver.wait_for(count + 10)
        finally:
            stop.set()
            thread.join()
        it.engine.wait_drained()
        assert it.receiver.control_ids() == acked
        facilities = [body.split(b"|")[5] for body in it.receiver.messages]
        first_later = facilities.index(b"LATER")
        assert set(facilities[:first_later]) == {b"BEFORE"}
        assert set(facilities[first_later:]) == {b"LATER"}


@fault(42, "a reload removes a channel that owes deliveries", "refused or kept, never dropped")
def test_reload_removes_a_channel_that_owes(tmp_path: Path) -> None:
    """Taking away an outbound channel with a queue is reported with its count."""
    it = Bench(tmp_path)
    try:
        it.receiver.stop()
        it.start()
        assert it.send(message(1)) == "AA"
        edited(it, "  lis:\n", "  other:\n")
        edited(it, "to: lis", "to: other")
        answer = it.engine.command("reload")
        told = answer.stdout + answer.stderr
        assert "lis" in told
        assert "1" in told
        assert it.engine.all_messages()[0]["deliveries"][0]["state"] == "pending"
    finally:
        it.close()


@fault(48, "patient data in logs, metrics and plain files", "none")
def test_no_patient_data_in_plain_sight(tmp_path: Path) -> None:
    """After traffic, refusals, parks and a restart no name stands in any log or plain file."""
    with bench(
        tmp_path,
        steps="- lookup: {path: PV1-2, table: t, column: b}",
        **{"transforms/tables/t.csv": "a,b\nI,1\n"},
    ) as it:
        it.send(message(1))
        it.send(message(2).replace(b"|I|", b"|Q|"))
        it.send(message(3).replace(b"|F3|", b"||"))
        it.send(b"MSH|ZQCANARY")
        it.receiver.wait_for(1)
        it.engine.kill()
        it.start()
        it.engine.wait_drained()
        it.engine.ask("status")
        it.engine.terminate()
        for path in it.engine.folder.rglob("*"):
            if path.is_file():
                assert b"ZQCANARY" not in path.read_bytes(), path.relative_to(it.engine.folder)
