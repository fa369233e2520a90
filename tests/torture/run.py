"""One torture run: peers and engine as processes, kill -9 at random moments, then the verdict."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port
from tests.torture.checker import Verdict, check_run
from tests.torture.engine import WAIT_S, Engine, is_listening, torture_site, wait_until

ROOT = Path(__file__).parents[2]
#: lanes of the lis plus the one lane of the ward, one send each ahead of its settlement
DUPLICATES_PER_KILL = 5
#: how often a kill is followed by another one while it starts
STARTING_SHARE = 0.5
#: acks before every second kill, however slow the machine: there must be something to lose
ACKS_PER_LIFE = 20


@dataclass
class Run:
    """What happened."""

    kills: int = 0
    #: on top of them, before it listened
    kills_while_starting: int = 0
    recoveries_s: list[float] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def most_duplicates(self) -> int:
        """Return how many are allowed."""
        return (self.kills + self.kills_while_starting) * DUPLICATES_PER_KILL

    def summary(self) -> dict[str, object]:
        """Return the figures of the run."""
        ordered = sorted(self.recoveries_s) or [0.0]
        return {
            "kills": self.kills,
            "further kills while it started": self.kills_while_starting,
            "acked": self.verdict.acked,
            "deliveries": self.verdict.delivered,
            "lost": len(self.verdict.lost),
            "duplicates": self.verdict.duplicates,
            "duplicates allowed": self.most_duplicates,
            "order violations": sum(row.startswith("I2") for row in self.verdict.broken),
            "recovery p50 s": round(ordered[len(ordered) // 2], 2),
            "recovery max s": round(ordered[-1], 2),
        }


def start_peer(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start sender or receiver as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.torture.{module}", *arguments],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )


def end_peer(peer: subprocess.Popen[bytes]) -> None:
    """Ask it to end; kill it when it does not."""
    peer.send_signal(signal.SIGTERM)
    try:
        peer.wait(WAIT_S)
    except subprocess.TimeoutExpired:
        peer.kill()
        peer.wait()


def wait_for_acks(sent: Path, count: int) -> None:
    """Wait until the sender has noted *count* more positive acks."""
    wait_until(sent.exists, WAIT_S, "the sender begins")
    seen = 0
    with sent.open("rb") as lines:
        lines.seek(0, os.SEEK_END)

        def are_there() -> bool:
            nonlocal seen
            seen += lines.read().count(b'"answer": "AA"')
            return seen >= count

        wait_until(are_there, 2 * WAIT_S, f"{count} messages are acknowledged")


def _kill_while_starting(engine: Engine, dice: random.Random, run: Run) -> None:
    """Kill it while it starts, now and then several times in a row."""
    while dice.random() < STARTING_SHARE:
        engine.launch()
        threading.Event().wait(dice.uniform(0.1, 1.3))
        engine.kill()
        run.kills_while_starting += 1


def run_kills(folder: Path, kills: int, seed: int = 1, *, longest_s: float = 1.2) -> Run:
    """
    Kill the engine *kills* times under load; return what the checker says of the rest.

    As many again, roughly, come on top while it starts; senders keep trying all the time.

    Args:
        longest_s: it is killed at most so long after its start.
    """
    dice = random.Random(seed)
    inbound, lis, ward = free_port(), free_port(), free_port()
    engine = Engine(folder / "site", torture_site(inbound, lis, ward))
    ledgers = {name: folder / f"{name}.jsonl" for name in ("sent", "lis", "ward")}
    peers = [
        start_peer("receiver", "--port", str(port), "--ledger", str(ledgers[name]))
        for name, port in (("lis", lis), ("ward", ward))
    ]
    run = Run()
    try:
        for port in (lis, ward):
            wait_until(lambda port=port: is_listening(port), WAIT_S, f"receiver listens on {port}")
        engine.start(inbound)
        sender = start_peer(
            "sender", "--port", str(inbound), "--ledger", str(ledgers["sent"]), "--seed", str(seed)
        )
        try:
            while run.kills < kills:
                if run.kills % 2:
                    wait_for_acks(ledgers["sent"], ACKS_PER_LIFE)
                threading.Event().wait(dice.uniform(0.05, longest_s))
                engine.kill()
                run.kills += 1
                _kill_while_starting(engine, dice, run)
                run.recoveries_s.append(engine.start(inbound))
            threading.Event().wait(0.5)
        finally:
            end_peer(sender)
        engine.wait_drained(5 * WAIT_S)
        run.verdict = check_run(
            engine,
            ledgers["sent"],
            ledgers["lis"],
            ledgers["ward"],
            most_duplicates=run.most_duplicates,
        )
    finally:
        if engine.running:
            engine.kill()
        for peer in peers:
            end_peer(peer)
    return run
