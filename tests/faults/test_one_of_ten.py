"""One receiver of ten is dead for long: the other nine do not notice, and its queue is bounded."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from tests.faults.bench import message, verdict
from tests.support.ports import free_port
from tests.torture.engine import Engine
from tests.torture.receiver import Receiver
from tests.torture.report import keep_figures
from tests.torture.wire import Wire, field, make_ack

fault = pytest.mark.fault

MINUTES = float(os.environ.get("MEDBUS_SOAK", "5"))
PER_S = 20


class Ten:
    """Ten receivers of one sender; each notes when a message came."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.came: list[dict[str, float]] = [{} for _ in range(10)]
        self.is_dead = threading.Event()
        self.receivers = [Receiver(self._script(index)) for index in range(10)]
        outbound = [
            f'  r{index}: {{mllp: {{connect: "127.0.0.1:{one.port}", timeout: 3s}}, '
            "backoff: {first: 100ms, factor: 2, max: 2s}}"
            for index, one in enumerate(self.receivers)
        ]
        names = ", ".join(f"r{index}" for index in range(10))
        site = [
            "inbound:",
            f'  his: {{mllp: {{listen: "127.0.0.1:{self.port}"}}}}',
            "outbound:",
            *outbound,
            "routes:",
            f"  all: {{from: his, to: [{names}]}}",
            "",
        ]
        self.engine = Engine(folder / "site", "\n".join(site))

    def _script(self, index: int):  # type: ignore[no-untyped-def]
        def act(wire: Wire, body: bytes, number: int) -> None:
            if index == 0 and self.is_dead.is_set():
                return
            self.came[index].setdefault(field(body, b"MSH", 10).decode(), time.monotonic())
            wire.send(make_ack(body))

        return act

    def load(self, first: int, seconds: float) -> dict[str, float]:
        """Send PER_S messages a second; return when each was sent."""
        wire, sent, began = Wire.connect(self.port), {}, time.monotonic()
        pause = threading.Event()
        while (now := time.monotonic()) < began + seconds:
            name = f"F{first + len(sent)}"
            sent[name] = now
            wire.send(message(first + len(sent) - 1))
            assert verdict(wire.receive()) == "AA"
            pause.wait(max(0.0, began + len(sent) / PER_S - time.monotonic()))
        wire.close()
        return sent

    def latencies(self, sent: dict[str, float]) -> list[float]:
        """Return how long each of *sent* took to each of the nine, sorted; all must be there."""
        return sorted(came[name] - at for name, at in sent.items() for came in self.came[1:])

    def close(self) -> None:
        """End all."""
        if self.engine.running:
            self.engine.kill()
        for one in self.receivers:
            one.stop()


@fault(45, "one dead receiver of ten", "nine keep their latency; its queue is what was sent")
@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_one_dead_receiver_of_ten(tmp_path: Path) -> None:
    """Silent, then refusing: nine receivers are as quick as before, memory and queue bounded."""
    ten = Ten(tmp_path)
    try:
        ten.engine.start(ten.port)
        healthy = ten.load(1, 15.0)
        ten.engine.wait_drained()
        before = ten.latencies(healthy)
        memory = ten.engine.memory_mb()
        ten.is_dead.set()
        began = time.monotonic()
        silent = ten.load(100_000, MINUTES * 30)
        ten.receivers[0].stop()
        refusing = ten.load(200_000, MINUTES * 30)
        took = time.monotonic() - began
        queues = {row["name"]: row["pending"] for row in ten.engine.ask("status")["outbound"]}
        grown = ten.engine.memory_mb() - memory
        owed = len(silent) + len(refusing)
        assert queues["r0"] == owed
        ten.is_dead.clear()
        ten.receivers[0].start()
        ten.engine.wait_drained(300)
        during = ten.latencies({**silent, **refusing})
        order = sorted(ten.came[0], key=lambda name: ten.came[0][name])
        assert order == [*healthy, *silent, *refusing], "the dead one's order"
        figures = {
            "minutes dead": round(took / 60, 1),
            "messages a second": PER_S,
            "owed at the end": owed,
            "to the nine before, p50 and p99, ms": _ms(before),
            "to the nine meanwhile, p50 and p99, ms": _ms(during),
            "memory grew by, MB": round(grown, 1),
            "drained in order": "yes",
        }
        keep_figures("dead-receiver", figures)
        assert during[len(during) * 99 // 100] < max(0.25, 3 * before[len(before) * 99 // 100])
        assert grown < 60
    finally:
        ten.close()


def _ms(latencies: list[float]) -> str:
    middle, late = latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100]
    return f"{middle * 1000:.1f}, {late * 1000:.1f}"
