"""Python steps in worker processes: results, limits, one channel never in another's way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.pipeline.steps.base import PythonCall
from engine.runtime import python_workers
from engine.runtime.python_workers import PythonWorkers

BODY = b"MSH|^~\\&|A|B|C|D|20261121||ADT^A01|M1|P|2.5\rPID|1||88001||DOE^JOHN\r"
SOURCES = {
    "steps": (
        "import time\n"
        "def upper(message, context):\n"
        "    message['PID-5.1'] = message['PID-5.1'].lower()\n"
        "    context.log('changed')\n"
        "    print('this goes nowhere')\n"
        "    return message\n"
        "def fail(message, context):\n"
        "    raise ValueError(message['PID-5.1'])\n"
        "def forget(message, context):\n"
        "    message['PID-5.1'] = 'X'\n"
        "def loop(message, context):\n"
        "    while True: pass\n"
        "def die(message, context):\n"
        "    import os; os._exit(3)\n"
        "def eat(message, context):\n"
        "    x = 'x' * (4 << 30)\n"
        "    return message\n"
        "def wait(message, context):\n"
        "    import os\n"
        "    while not os.path.exists(message['PID-5.1']): time.sleep(0.01)\n"
        "    return message\n"
    )
}


def call(function: str, inbound: str = "his", timeout_s: float = 60.0) -> PythonCall:
    """Return a call as the pipeline makes it."""
    return PythonCall("steps", function, BODY, {"inbound": inbound}, SOURCES, timeout_s)


@pytest.fixture
def workers() -> Iterator[PythonWorkers]:
    """Return workers that end with the test."""
    made = PythonWorkers()
    yield made
    made.close()


def test_a_step_changes_the_message_and_what_it_prints_goes_nowhere(workers: PythonWorkers) -> None:
    """If this failed, Python steps would not work, or print() would break them."""
    answer = workers.run(call("upper"))
    assert answer.error == ""
    assert answer.body is not None
    assert b"doe^JOHN" in answer.body
    assert answer.log == ("changed",)


def test_an_exception_is_told_by_type_and_line_but_not_by_its_text(workers: PythonWorkers) -> None:
    """If this failed, a raised value could carry a name into a park reason."""
    answer = workers.run(call("fail"))
    assert answer.body is None
    assert answer.error == "ValueError at transforms/python/steps.py:8"


def test_a_step_that_forgets_to_return_the_message_is_told_so(workers: PythonWorkers) -> None:
    """The most usual slip in a Python step; a bare TypeError would help nobody."""
    assert workers.run(call("forget")).error == "forget must return the message"


def test_a_loop_is_stopped_and_the_next_message_goes_on(workers: PythonWorkers) -> None:
    """If this failed, one bad step would stop its channel for ever."""
    answer = workers.run(call("loop", timeout_s=0.3))
    assert "did not finish within 0.3 s, twice" in answer.error
    assert workers.run(call("upper")).error == ""


def test_a_crash_is_tried_once_more_and_then_told(workers: PythonWorkers) -> None:
    """If this failed, a crashing step would take the engine's worker with it."""
    assert workers.run(call("die")).error == "steps:die: the worker process crashed, twice"
    assert workers.run(call("upper")).error == ""


def test_memory_is_limited(workers: PythonWorkers) -> None:
    """If this failed, one step could use up the machine's memory."""
    assert "more memory" in workers.run(call("eat")).error


def test_one_channels_slow_step_does_not_delay_anothers(
    workers: PythonWorkers, tmp_path: Path
) -> None:
    """If this failed, a slow sender's step would hold up every other sender's acks."""
    workers.run(call("upper", "lab"))
    workers.run(call("upper", "his"))
    may_end = tmp_path / "may-end"
    slow = workers.submit(
        replace(call("wait", "his"), body=BODY.replace(b"DOE", str(may_end).encode()))
    )
    assert workers.run(call("upper", "lab")).error == ""
    assert not slow.done()
    may_end.touch()
    assert slow.result().error == ""


def test_close_ends_a_running_step_and_begins_no_other(workers: PythonWorkers) -> None:
    """If this failed, a stop of the engine would wait for a step that loops, twice."""
    workers.run(call("upper"))
    slow, next_one = workers.submit(call("loop", timeout_s=600.0)), workers.submit(call("upper"))
    workers.close()
    assert "the engine stops" in slow.result(timeout=60.0).error
    assert next_one.cancelled() or next_one.result(timeout=60.0).body is None


def test_a_worker_made_while_all_are_closed_ends_too(
    workers: PythonWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, a step that begins in the moment of a stop would hold up the stop."""

    class Late(python_workers._Worker):
        def __init__(self, memory_bytes: int) -> None:
            super().__init__(memory_bytes)
            workers.close()

    monkeypatch.setattr(python_workers, "_Worker", Late)
    answer = workers.submit(call("loop", timeout_s=600.0)).result(timeout=60.0)
    assert "the engine stops" in answer.error


def test_changed_sources_reach_a_running_worker(workers: PythonWorkers) -> None:
    """If this failed, a reload would go on running the old code."""
    assert workers.run(call("upper")).error == ""
    other = {"steps": "def upper(message, context):\n    return None\n"}
    changed = PythonCall("steps", "upper", BODY, {"inbound": "his"}, other)
    assert workers.run(changed).error != ""
