"""The processes of a benchmark: generator and receiver, the floor program, the engine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model.errors import MedbusError

SCRIPTS = Path(__file__).parents[2] / "benchmarks"

SITE = """\
site: bench
data: data
timezone: UTC
log: {{level: warning, format: json}}
"""
CHANNELS = """\
inbound:
  bench: {{mllp: {{listen: "127.0.0.1:{port}"}}}}
outbound:
  peer:
    mllp: {{connect: "127.0.0.1:{receiver}"}}
    order_by: ["PID-3.1"]
    lanes: 8
routes:
  bench_to_peer:
    from: bench
    steps:
      - set:
          MSH-5: PEER
          PID-5.1: "{{{{ PID-5.1 | upper }}}}"
          PV1-3.1: "{{{{ PV1-3.1 }}}}-{{{{ PV1-3.3 }}}}"
    to: peer
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator measured, and when the last output had arrived."""

    acked: int
    refused: int
    rate: float
    p50_ms: float
    p99_ms: float
    #: messages per second from the first send to the last output at the receiver
    forwarded_rate: float


class Peer:
    """The receiver process."""

    def __init__(self) -> None:
        self._running = subprocess.Popen(  # noqa: S603  our own script
            [sys.executable, str(SCRIPTS / "load.py"), "receive"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self._line())

    def _line(self) -> str:
        assert self._running.stdout is not None
        return self._running.stdout.readline()

    def counts(self) -> dict[str, Any]:
        """Return how much was received, and when the last."""
        assert self._running.stdin is not None
        self._running.stdin.write("\n")
        self._running.stdin.flush()
        counts: dict[str, Any] = json.loads(self._line())
        return counts

    def wait_for(self, count: int, wait_s: float = 120.0) -> float:
        """Wait until *count* messages are there; return when the last one came."""
        give_up = time.monotonic() + wait_s
        while (counts := self.counts())["received"] < count:
            if time.monotonic() > give_up:
                raise MedbusError(
                    f"{count - counts['received']} of {count} messages never arrived",
                    code="RUN-061",
                    fix="look at the engine's log in the folder of the benchmark",
                )
            time.sleep(0.02)
        return float(counts["last_at"])

    def close(self) -> None:
        """End it."""
        _end(self._running)


def offer(port: int, peer: Peer, first: int, seconds: float, **options: float) -> Load:
    """Send load to *port* for a while and wait until all of it is at the receiver."""
    before = peer.counts()["received"]
    words = [f"--{name}={value:g}" for name, value in options.items()]
    done = subprocess.run(  # noqa: S603  our own script
        [
            sys.executable, str(SCRIPTS / "load.py"), "send", f"--to=127.0.0.1:{port}",
            f"--first={first}", f"--seconds={seconds:g}", *words,
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    told = json.loads(done.stdout)
    last_at = peer.wait_for(before + told["acked"] - told["refused"])
    return Load(
        acked=told["acked"],
        refused=told["refused"],
        rate=told["rate"],
        p50_ms=told["p50_ms"],
        p99_ms=told["p99_ms"],
        forwarded_rate=told["acked"] / max(last_at - told["started"], 1e-9),
    )


@contextmanager
def floor_program(folder: Path, peer: Peer) -> Iterator[int]:
    """Run the floor program; give its port."""
    path = folder / "floor.log"
    path.unlink(missing_ok=True)
    running = subprocess.Popen(  # noqa: S603  our own script
        [
            sys.executable, str(SCRIPTS / "floor.py"), f"--connect=127.0.0.1:{peer.port}",
            f"--file={path}", "--lanes=8",
        ],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert running.stdout is not None
        yield int(running.stdout.readline())
    finally:
        _end(running)
        path.unlink(missing_ok=True)


@contextmanager
def engine_program(folder: Path, peer: Peer, port: int) -> Iterator[int]:
    """Run the engine on a fresh site; give its port."""
    site = folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    (site / "channels").mkdir(parents=True)
    (site / "medbus.yaml").write_text(SITE.format())
    (site / "channels" / "bench.yaml").write_text(CHANNELS.format(port=port, receiver=peer.port))
    with (folder / "engine.log").open("w") as log:
        running = subprocess.Popen(  # noqa: S603  our own command
            [sys.executable, "-m", "engine.cli.main", "--site", str(site), "run"],
            stdout=log,
            stderr=log,
            env={**os.environ, "MEDBUS_ENV": ""},
        )
    try:
        _wait_for_port(port, running, folder / "engine.log")
        yield port
    finally:
        _end(running)
        shutil.rmtree(site, ignore_errors=True)


def _end(running: subprocess.Popen[Any]) -> None:
    """End a process of the benchmark; one that does not let itself be ended is killed."""
    running.terminate()
    try:
        running.wait(20)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()


def _wait_for_port(port: int, running: subprocess.Popen[bytes], log: Path) -> None:
    import socket

    give_up = time.monotonic() + 30
    while time.monotonic() < give_up:
        if running.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise MedbusError(
        "the engine of the benchmark did not start", code="RUN-061", where=str(log),
        fix="read that log",
    )  # fmt: skip
