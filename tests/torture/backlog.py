"""
What a great backlog costs: measured on a running engine, from outside, beside an empty one.

The stores are built by great_store.py in a process of its own; everything here uses processes,
sockets and public commands only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.ports import free_port
from tests.torture.engine import Engine, outbounds, wait_until
from tests.torture.wire import Wire

ROOT = Path(__file__).parents[2]
LOAD = str(ROOT / "benchmarks" / "load.py")

SITE = """
inbound:
  his: {{mllp: {{listen: "127.0.0.1:{his}"}}}}
  his2: {{mllp: {{listen: "127.0.0.1:{his2}"}}}}
outbound:
  lis:
    mllp: {{connect: "127.0.0.1:{lis}", timeout: 5s}}
    order_by: ["PID-3.1"]
    lanes: 8
    backoff: {{first: 100ms, factor: 2, max: 1s}}
  ward:
    mllp: {{connect: "127.0.0.1:{ward}", timeout: 5s}}
    order_by: ["PID-3.1"]
    lanes: 8
    backoff: {{first: 100ms, factor: 2, max: 1s}}
routes:
  to_lis:
    from: his
    steps:
      - set: {{MSH-5: LIS}}
    to: lis
  to_ward:
    from: his2
    steps:
      - set: {{MSH-5: WARD}}
    to: ward
"""


class Bench:
    """One engine on a site with two ways through it: his to the lis, his2 to the ward."""

    def __init__(self, folder: Path, built: Path | None = None, *, ward: int) -> None:
        self.his, self.his2, self.lis, self.ward = free_port(), free_port(), free_port(), ward
        site = SITE.format(his=self.his, his2=self.his2, lis=self.lis, ward=ward)
        self.engine = Engine(folder, site)
        if built is not None:
            built.rename(folder / "data")
        self._first = 1

    def start(self) -> float:
        """Start the engine; return after how many seconds it listens."""
        return self.engine.start(self.his, self.his2, wait_s=300)

    def rate(self, seconds: float) -> float:
        """Return messages per second from his2 to the ward, until the last one is delivered."""
        started = time.monotonic()
        acked = offer(self.his2, self._first, seconds)
        self._first += acked + 1000
        wait_until(lambda: self.owed("ward") == 0, 120, "the ward's queue drains")
        return acked / (time.monotonic() - started)

    def accept_rate(self, seconds: float) -> float:
        """Return acks per second from his, whose receiver is away."""
        acked = offer(self.his, self._first, seconds)
        self._first += acked + 1000
        return acked / seconds

    def owed(self, outbound: str) -> int:
        """Return how many deliveries wait for one outbound channel."""
        for entry in outbounds(self.engine.ask("status")):
            if entry["name"] == outbound:
                return int(entry["pending"]) + int(entry["held"])
        raise AssertionError(f"status does not show {outbound}")

    def end(self) -> None:
        """Kill the engine if it runs."""
        if self.engine.running and self.engine.running.poll() is None:
            self.engine.kill()


class Probe(threading.Thread):
    """One sender that waits for each ack and notes how long it took."""

    def __init__(self, port: int, pause_s: float = 0.005) -> None:
        super().__init__(daemon=True)
        self.waits_ms: list[float] = []
        self._port, self._pause_s = port, pause_s
        self._is_over = threading.Event()

    def run(self) -> None:
        """Send until told to stop."""
        wire = Wire.connect(self._port)
        n = 0
        while not self._is_over.wait(self._pause_s):
            n += 1
            body = (
                f"MSH|^~\\&|PROBE|P|M|M|20261101083000||ADT^A08|Q{id(self)}N{n}|P|2.5.1\r"
                f"PID|1||Q{n % 50}^^^T^MR||Harbour^Nell\r"
            )
            began = time.perf_counter()
            wire.send(body.encode())
            answer = wire.receive(60.0)
            self.waits_ms.append((time.perf_counter() - began) * 1000)
            assert b"\rMSA|AA|" in answer, answer
        wire.close()

    def end(self) -> dict[str, float]:
        """Stop; return what was measured."""
        self._is_over.set()
        self.join(60)
        ordered = sorted(self.waits_ms)
        assert len(ordered) > 20, "too few tries to mean anything"
        return {
            "p50": round(ordered[len(ordered) // 2], 1),
            "p99": round(ordered[len(ordered) * 99 // 100], 1),
            "max": round(ordered[-1], 1),
        }


@contextmanager
def receiver(port: int) -> Iterator[subprocess.Popen[str]]:
    """Run a receiver that answers AA to all."""
    process = subprocess.Popen(
        [sys.executable, LOAD, "receive", f"--port={port}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
    finally:
        process.terminate()
        process.wait()


def received(process: subprocess.Popen[str]) -> int:
    """Return how many messages a receiver has had."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(json.loads(process.stdout.readline())["received"])


def offer(port: int, first: int, seconds: float) -> int:
    """Send as fast as acks come; return how many were acknowledged."""
    command = ["send", f"--to=127.0.0.1:{port}", f"--first={first}", f"--seconds={seconds}"]
    done = subprocess.run(
        [sys.executable, LOAD, *command], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["refused"] == 0, told
    return int(told["acked"])


def built(what: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Run great_store.py; return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.torture.great_store", what, str(folder), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measure_owed(
    folder: Path, store: Path, rounds: int = 3, seconds: float = 5.0
) -> dict[str, object]:
    """Measure start, memory and throughput of an engine that owes what is in *store*."""
    found = built("look", store)
    ward = free_port()
    full, empty = Bench(folder / "full", store, ward=ward), Bench(folder / "empty", ward=ward)
    try:
        with receiver(ward):
            empty_s = empty.start()
            started_s, cpu_s = full.start(), full.engine.cpu_s()
            owed = full.owed("lis")
            memory = full.engine.memory_mb()
            passed: list[tuple[float, float]] = []
            taken: list[tuple[float, float]] = []
            for _ in range(rounds):
                passed.append((empty.rate(seconds), full.rate(seconds)))
                taken.append((empty.accept_rate(seconds), full.accept_rate(seconds)))
            busy = full.engine.memory_mb()
        drained, draining = drain_for(full, 4 * seconds)
    finally:
        full.end()
        empty.end()
    return {
        "deliveries waiting": owed,
        "over days": found.pop("days"),
        "start after kill -9, s": round(started_s, 2),
        "start of an empty engine beside it, s": round(empty_s, 2),
        "processor time of the start, s": round(cpu_s, 2),
        **found,
        "memory after the start, MB": round(memory),
        "memory under load, MB": round(busy),
        "memory while the queue drains, MB": round(draining),
        **shares("to another channel", passed),
        **shares("to the channel that owes", taken),
        "the queue drains at, msg/s": round(drained),
    }


def shares(what: str, rates: list[tuple[float, float]]) -> dict[str, object]:
    """Return the median round of (empty engine, engine that owes), and the share."""
    empty, full = sorted(rates, key=lambda pair: pair[1] / pair[0])[len(rates) // 2]
    return {
        f"{what}, msg/s": round(full),
        f"{what}, empty engine, msg/s": round(empty),
        f"{what}, share of the empty engine's": round(full / empty, 2),
    }


def drain_for(bench: Bench, seconds: float) -> tuple[float, float]:
    """Let the lis come back for a while; return the rate it gets, and the most memory used."""
    most = 0.0
    with receiver(bench.lis) as lis:
        wait_until(lambda: received(lis) > 0, 30, "the queue begins to drain")
        before, started = received(lis), time.monotonic()
        pause = threading.Event()
        while time.monotonic() - started < seconds:
            pause.wait(0.5)
            most = max(most, bench.engine.memory_mb())
        return (received(lis) - before) / (time.monotonic() - started), most


def measure_release(folder: Path, store: Path) -> dict[str, object]:
    """Release what waits behind the first delivery of *store*, with other traffic beside it."""
    ward = free_port()
    bench = Bench(folder / "release-site", store, ward=ward)
    try:
        with receiver(ward):
            bench.start()
            probe = Probe(bench.his2)
            probe.start()
            threading.Event().wait(5.0)
            quiet = probe.end()
            probe = Probe(bench.his2)
            probe.start()
            parked = bench.engine.ask("messages", "--state", "parked", "--outbound", "lis")["items"]
            identity = parked[0]["deliveries"][0]["delivery_id"]
            began = time.monotonic()
            must_work(bench, "release", identity, "--yes", "1")
            wait_until(lambda: held(bench) == 0, 1800, "everything held is released")
            took_s = time.monotonic() - began
            waits = probe.end()
            owed = bench.owed("lis")
    finally:
        bench.end()
    return {
        "released": owed,
        "took, s": round(took_s, 1),
        "ack before, p50 and longest, ms": f"{quiet['p50']}, {quiet['max']}",
        "ack meanwhile, p50 and p99, ms": f"{waits['p50']}, {waits['p99']}",
        "longest ack meanwhile, ms": waits["max"],
    }


def held(bench: Bench) -> int:
    """Return how many deliveries to the lis are held."""
    (lis,) = (row for row in outbounds(bench.engine.ask("status")) if row["name"] == "lis")
    return int(lis["held"])


def measure_prune(folder: Path, store: Path) -> dict[str, object]:
    """Delete the bodies of an old day, then the day, with other traffic beside it."""
    ward = free_port()
    figures: dict[str, object] = {}
    bench = Bench(folder / "prune-site", store, ward=ward)
    config = bench.engine.folder / "medbus.yaml"
    unlimited = config.read_text()
    try:
        with receiver(ward):
            # Without retention at first: an engine prunes by itself when it starts after three.
            figures["start, s"] = round(bench.start(), 2)
            for what, metadata in (("bodies", "10000d"), ("day", "20d")):
                config.write_text(f"{unlimited}retention: {{bodies: 10d, metadata: {metadata}}}\n")
                must_work(bench, "reload")
                probe = Probe(bench.his2)
                probe.start()
                began = time.monotonic()
                told = must_work(bench, "prune")
                figures[f"{what}: took, s"] = round(time.monotonic() - began, 1)
                assert "deleted" in told, told
                threading.Event().wait(1.0)
                waits = probe.end()
                figures[f"{what}: ack meanwhile, p50 and p99, ms"] = (
                    f"{waits['p50']}, {waits['p99']}"
                )
                figures[f"{what}: longest ack meanwhile, ms"] = waits["max"]
    finally:
        bench.end()
    return figures


def must_work(bench: Bench, *arguments: str) -> str:
    """Run one command, with a reason; return what it printed."""
    answer = bench.engine.command(*arguments, "--reason", "torture", wait_s=1800)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout
