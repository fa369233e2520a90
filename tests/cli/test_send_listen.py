"""`medbus send` against `medbus listen`: real processes, real sockets, no engine."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

MEDBUS = (sys.executable, "-m", "engine.cli.main")
TWO = (
    "MSH|^~\\&|HIS|H|E|E|20260101||ADT^A01|X1|P|2.5\nPID|1||1\n"
    "MSH|^~\\&|HIS|H|E|E|20260101||ADT^A08|X2|P|2.5\nPID|1||2\n"
)


@contextmanager
def listening(*options: str) -> Iterator[str]:
    """Run a receiver; give its address."""
    receiver = subprocess.Popen(
        [*MEDBUS, "listen", "127.0.0.1:0", *options],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert receiver.stderr is not None
        found = re.search(r"127\.0\.0\.1:\d+", receiver.stderr.readline())
        assert found is not None
        yield found[0]
    finally:
        receiver.terminate()
        receiver.communicate(timeout=60)


def send(to: str, file: Path, *options: str) -> tuple[int, list[dict[str, object]]]:
    """Run `medbus send --json`; return its exit code and items."""
    told = subprocess.run(
        [*MEDBUS, "send", str(file), "--to", to, "--json", *options],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert told.stdout, told.stderr
    return told.returncode, json.loads(told.stdout)["items"]


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Return a text file with two messages."""
    path = tmp_path / "two.hl7"
    path.write_text(TWO)
    return path


def test_messages_of_a_text_file_arrive_one_by_one_with_segments_ending_in_cr(
    two: Path, tmp_path: Path
) -> None:
    """If this failed, a file written in an editor could not be sent."""
    with listening("--out", str(tmp_path / "out")) as to:
        code, items = send(to, two)
    assert code == 0
    assert [(i["control_id"], i["answer"]) for i in items] == [("X1", "AA"), ("X2", "AA")]
    got = [path.read_bytes() for path in sorted((tmp_path / "out").iterdir())]
    assert got[0] == b"MSH|^~\\&|HIS|H|E|E|20260101||ADT^A01|X1|P|2.5\rPID|1||1\r"
    assert len(got) == 2


def test_framed_files_are_sent_as_they_are(tmp_path: Path) -> None:
    """If this failed, a recorded stream could not be sent again byte for byte."""
    body = b"MSH|^~\\&|HIS|H|E|E|20260101||ADT^A01|F1|P|2.5\rZZZ|\xc8\x7e\r"
    framed = tmp_path / "framed.hl7"
    framed.write_bytes(b"\x0b" + body + b"\x1c\r")
    with listening("--out", str(tmp_path / "out")) as to:
        code, _ = send(to, framed)
    assert code == 0
    assert (tmp_path / "out" / "000001.hl7").read_bytes() == body


@pytest.mark.parametrize(
    ("manner", "told"),
    [("AE", "AE"), ("AR", "AR"), ("garbage", "unreadable")],
)
def test_any_answer_but_aa_or_ca_makes_exit_1(two: Path, manner: str, told: str) -> None:
    """If this failed, a script would take a refused message for delivered."""
    with listening("--ack", manner) as to:
        code, items = send(to, two)
    assert code == 1
    assert {i["answer"] for i in items} == {told}


@pytest.mark.parametrize("manner", ["none", "wrong-id", "late"])
def test_no_matching_answer_in_time_is_a_timeout(two: Path, manner: str) -> None:
    """If this failed, the ack of another message could count as this one's."""
    with listening("--ack", manner) as to:
        code, items = send(to, two, "--timeout", "0.3")
    assert code == 1
    assert {i["answer"] for i in items} == {"timeout"}


def test_only_the_chosen_messages_get_the_bad_answer(two: Path) -> None:
    """If this failed, one patient's refusal could not be tried out."""
    with listening("--ack", "AR", "--only", "PID|1||2") as to:
        code, items = send(to, two)
    assert code == 1
    assert [i["answer"] for i in items] == ["AA", "AR"]


def test_new_ids_are_new_every_time(two: Path) -> None:
    """If this failed, a resend for a try-out would be taken for a duplicate."""
    with listening() as to:
        _, first = send(to, two, "--new-ids")
        _, second = send(to, two, "--new-ids", "--connections", "2")
    ids = {str(i["control_id"]) for i in (*first, *second)}
    assert len(ids) == 4
    assert all(len(one) <= 20 for one in ids)


def test_nobody_listening_is_told_for_each_message(two: Path) -> None:
    """If this failed, a wrong port would end in a traceback."""
    code, items = send("127.0.0.1:9", two)
    assert code == 1
    assert {i["answer"] for i in items} == {"broken: Connection refused"}


def test_a_send_that_is_interrupted_says_so_and_is_not_fine(two: Path) -> None:
    """If this failed, a script would take half of a file for all of it."""
    with listening() as to:
        words = [*MEDBUS, "send", str(two), "--to", to, "--rate", "0.05"]
        # Tests that run in the background of a shell have it ignored, and so would the command.
        with subprocess.Popen(
            words,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as sending:
            assert sending.stdout is not None
            assert "AA" in sending.stdout.readline()
            sending.send_signal(signal.SIGINT)
            assert sending.stdout.read().endswith("; stopped before the end\n")
        assert sending.returncode == 1


def test_the_receiver_says_when_its_port_is_taken() -> None:
    """If this failed, a second receiver would end in a traceback."""
    with listening() as to:
        told = subprocess.run([*MEDBUS, "listen", to], capture_output=True, text=True, timeout=120)
    assert told.returncode == 1
    assert "RUN-022" in told.stderr
