"""
A soak: load for minutes, twice as many senders as usual, and faults at random all the while.

Two stretches, half the time each. In the first the engine is killed, frozen, cut off and made to
fail by its disk. In the second it must live on: receivers refuse, the disk is full for a moment,
the site is reloaded, strangers knock; memory and files are watched. Then the checker judges all.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.bench import Shim
from tests.support.ports import free_port
from tests.torture.checker import Verdict, check_run
from tests.torture.engine import Engine, is_listening, torture_site, wait_until
from tests.torture.run import DUPLICATES_PER_KILL, end_peer, start_peer

#: twice the senders of the other runs, without a pause between their messages
CONNECTIONS = 8
#: each try that a fault cuts off may go out once more, on every lane
DUPLICATES_PER_FAULT = DUPLICATES_PER_KILL


@dataclass
class Soak:
    """What happened."""

    minutes: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    memory_mb: list[float] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def memory_growth_mb(self) -> float:
        """Median of the last quarter of the watch less that of the second quarter."""
        quarter = max(1, len(self.memory_mb) // 4)
        return _median(self.memory_mb[-quarter:]) - _median(self.memory_mb[quarter : 2 * quarter])

    def summary(self) -> dict[str, object]:
        """Return the figures of the run."""
        return {
            "minutes": round(self.minutes, 1),
            "senders, each as fast as it is answered": CONNECTIONS,
            "faults": ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items())),
            "acked": self.verdict.acked,
            "deliveries": self.verdict.delivered,
            "lost": len(self.verdict.lost),
            "duplicates": self.verdict.duplicates,
            "order violations": sum(row.startswith("I2") for row in self.verdict.broken),
            "memory at the end, MB": round(self.memory_mb[-1], 1),
            "memory grew while watched, MB": round(self.memory_growth_mb, 1),
            "most files open": max(self.files),
            "invariants broken": len(self.verdict.broken),
        }


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


class Rig:
    """Engine, peers and the faults that can be done to them."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.inbound, self.lis, self.ward = free_port(), free_port(), free_port()
        self.engine = Engine(folder / "site", torture_site(self.inbound, self.lis, self.ward))
        self.shim = Shim(folder)
        self.ledgers = {name: folder / f"{name}.jsonl" for name in ("sent", "lis", "ward")}
        self.peers = {name: self.start_receiver(name) for name in ("lis", "ward")}
        self._pause = threading.Event()
        self.faults: Counter[str] = Counter()

    def start_receiver(self, name: str):  # type: ignore[no-untyped-def]
        """Start the lis or the ward as a process."""
        port = {"lis": self.lis, "ward": self.ward}[name]
        peer = start_peer("receiver", "--port", str(port), "--ledger", str(self.ledgers[name]))
        wait_until(lambda: is_listening(port), 30, f"{name} listens")
        return peer

    def wait(self, seconds: float) -> None:
        """Let it run."""
        self._pause.wait(seconds)

    def start(self) -> None:
        """Start the engine."""
        self.engine.start(self.inbound, environ=self.shim.environ, wait_s=60)

    # -- faults that may end the engine -----------------------------------------------------

    def kill(self) -> None:
        """kill -9."""
        self.engine.kill()
        self.start()

    def freeze(self) -> None:
        """Stop it for longer than its receivers' time-out."""
        os.kill(self.engine.pid, signal.SIGSTOP)
        self.wait(6)
        os.kill(self.engine.pid, signal.SIGCONT)

    def fail_sync(self) -> None:
        """One sync returns an I/O error: the engine ends with 75."""
        self.shim.arm("sync -wal eio 1")
        assert self.engine.wait(60) == 75
        self.shim.disarm()
        self.start()

    def terminate(self) -> None:
        """Stop it in order."""
        assert self.engine.terminate(60) == 0
        self.start()

    # -- faults it must live through --------------------------------------------------------

    def kill_receiver(self) -> None:
        """A receiver dies in the middle of what it does, and comes back."""
        name = self.dice.choice(("lis", "ward"))
        self.peers[name].kill()
        self.peers[name].wait()
        self.wait(self.dice.uniform(0.2, 4))
        self.peers[name] = self.start_receiver(name)

    def freeze_receiver(self) -> None:
        """A receiver keeps silent for longer than the time-out."""
        peer = self.peers[self.dice.choice(("lis", "ward"))]
        peer.send_signal(signal.SIGSTOP)
        self.wait(7)
        peer.send_signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """The disk is full for two seconds."""
        self.shim.arm("write data/messages enospc -1")
        self.wait(2)
        self.shim.disarm()

    def reload(self) -> None:
        """The same site once more, and one that is no good."""
        assert self.engine.command("reload").returncode == 0
        path = self.engine.folder / "channels" / "channels.yaml"
        good = path.read_text()
        path.write_text(good.replace("set:", "sett:"))
        assert self.engine.command("reload").returncode == 1
        path.write_text(good)

    def knock(self) -> None:
        """Strangers: half a frame, HTTP, nothing at all."""
        for noise in (b"\x0bMSH|^~\\&|half", b"GET / HTTP/1.1\r\n\r\n", b""):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self.inbound), timeout=5) as stranger,
            ):
                stranger.sendall(noise)

    def do(self, *faults: Callable[[], None]) -> None:
        """Do one of *faults*."""
        fault = self.dice.choice(faults)
        fault()
        self.faults[fault.__name__.replace("_", " ")] += 1

    def close(self) -> None:
        """End everything."""
        self.shim.disarm()
        if self.engine.running:
            self.engine.kill()
        for peer in self.peers.values():
            end_peer(peer)


def run_soak(folder: Path, minutes: float, seed: int) -> Soak:
    """Soak for *minutes*; return what the checker and the watch say."""
    folder.mkdir(parents=True, exist_ok=True)
    rig, soak = Rig(folder, seed), Soak()
    began = time.monotonic()
    try:
        rig.start()
        sender = start_peer(
            "sender",
            *("--port", str(rig.inbound), "--ledger", str(rig.ledgers["sent"])),
            *("--seed", str(seed), "--connections", str(CONNECTIONS)),
        )
        try:
            while time.monotonic() < began + minutes * 30:
                rig.wait(rig.dice.uniform(0.2, 3))
                rig.do(rig.kill, rig.freeze, rig.fail_sync, rig.terminate, rig.kill_receiver)
            starts, ends = rig.engine.starts, began + minutes * 60
            while time.monotonic() < ends:
                rig.wait(rig.dice.uniform(0.5, 3))
                rig.do(rig.kill_receiver, rig.freeze_receiver, rig.fill_disk, rig.reload, rig.knock)
                soak.memory_mb.append(rig.engine.memory_mb())
                soak.files.append(rig.engine.open_files())
            assert rig.engine.running is not None
            assert rig.engine.running.poll() is None, "it ended where it should live on"
            assert rig.engine.starts == starts
        finally:
            end_peer(sender)
        rig.engine.wait_drained(300)
        soak.minutes = (time.monotonic() - began) / 60
        soak.faults = rig.faults
        soak.verdict = check_run(
            rig.engine,
            *(rig.ledgers[name] for name in ("sent", "lis", "ward")),
            most_duplicates=sum(rig.faults.values()) * DUPLICATES_PER_FAULT,
        )
    finally:
        rig.close()
    return soak
