"""A receiver that is away for long: a great backlog, little memory, a quick start after a crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.torture.engine import Engine, free_port, wait_until
from tests.torture.report import keep_figures

ROOT = Path(__file__).parents[2]

SITE = """
inbound:
  his: {{mllp: {{listen: "127.0.0.1:{inbound}"}}}}
outbound:
  lis:
    mllp: {{connect: "127.0.0.1:{lis}", timeout: 5s}}
    order_by: ["PID-3.1"]
    lanes: 8
    backoff: {{first: 100ms, factor: 2, max: 1s}}
routes:
  to_lis:
    from: his
    steps:
      - set: {{MSH-5: LIS}}
    to: lis
"""


def offer(port: int, first: int, seconds: float) -> int:
    """Send as fast as acks come; return how many were acknowledged."""
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "benchmarks" / "load.py"),
            "send",
            f"--to=127.0.0.1:{port}",
            f"--first={first}",
            f"--seconds={seconds}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["refused"] == 0, told
    return int(told["acked"])


def run_backlog(folder: Path, size: int) -> dict[str, object]:
    """Build a backlog of *size*, crash, start, drain; return the figures."""
    inbound, lis = free_port(), free_port()
    engine = Engine(folder / "site", SITE.format(inbound=inbound, lis=lis))
    receiver: subprocess.Popen[str] | None = None
    try:
        engine.start(inbound)
        owed = 0
        while owed < size:
            owed += offer(inbound, 1 + owed * 2, min(20.0, max(0.5, (size - owed) / 20_000)))
        memory = engine.memory_mb()
        engine.kill()
        recovery_s = engine.start(inbound)
        after = engine.memory_mb()
        assert engine.owed() == owed
        receiver = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks" / "load.py"), "receive", f"--port={lis}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        wait_until(lambda: engine.owed() == 0, max(60.0, owed / 500), "the backlog drains")
        assert receiver.stdin is not None
        assert receiver.stdout is not None
        receiver.stdout.readline()
        receiver.stdin.write("\n")
        receiver.stdin.flush()
        received = json.loads(receiver.stdout.readline())["received"]
        # One repetition per lane is allowed after the crash.
        assert owed <= received <= owed + 8
        return {
            "deliveries waiting": owed,
            "memory while they wait, MB": round(memory),
            "start after kill -9, s": round(recovery_s, 2),
            "memory after the start, MB": round(after),
        }
    finally:
        if receiver is not None:
            receiver.terminate()
            receiver.wait()
        if engine.running:
            engine.kill()


def test_backlog_survives_a_crash(tmp_path: Path) -> None:
    """A backlog of some thousand survives kill -9 and drains completely."""
    figures = run_backlog(tmp_path, 3_000)
    print(json.dumps(figures))


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_great_backlog_in_little_memory(tmp_path: Path) -> None:
    """A million waiting deliveries fit into 250 MB; the start after a crash takes 3 s at most."""
    figures = run_backlog(tmp_path, int(os.environ.get("MEDBUS_BACKLOG", "1000000")))
    keep_figures("backlog", figures)
    print(json.dumps(figures, indent=2))
    assert float(str(figures["memory while they wait, MB"])) <= 250
    assert float(str(figures["start after kill -9, s"])) <= 3
