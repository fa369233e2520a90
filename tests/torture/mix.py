"""
Everything at once, at random: refusals, merges, an operator's acts, kills; then the verdict.

    python -m tests.torture.mix SEED [SECONDS]

runs one seed again. All choices come from the seed; the moments are the machine's.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.ports import free_port
from tests.torture.acts import LANES, REASON, Operator, requeue
from tests.torture.checker import Verdict, check_engine
from tests.torture.engine import WAIT_S, outbounds, wait_until
from tests.torture.ledger import Ledger, read_ledger
from tests.torture.moods import Moody
from tests.torture.order import Sent, count_repeats, find_overtakers, read_sent
from tests.torture.receiver import Receiver
from tests.torture.run import end_peer, start_peer

#: one send of each lane of the lis, and one to the ward, ahead of its settlement
DUPLICATES_PER_KILL = max(LANES) + 1
PATIENTS = (4, 20, 60)
#: between two messages of a connection: much to hold and to let go, or much that happens meanwhile
PAUSES_S = (0.004, 0.03)
#: between two acts at most
PAUSE_S = 1.0


@dataclass
class Mix:
    """What happened with one seed."""

    seed: int
    seconds: float
    kills: int = 0
    acted: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def broken(self) -> list[str]:
        """What did not hold, each with the command that runs this seed again."""
        again = f"python -m tests.torture.mix {self.seed} {self.seconds:g}"
        return [f"{again}: {row}" for row in self.verdict.broken]


def summarize(mixes: list[Mix]) -> dict[str, object]:
    """Return the figures of all *mixes* together."""
    acted = sum((mix.acted for mix in mixes), Counter[str]())
    verdicts = [mix.verdict for mix in mixes]
    kills = sum(mix.kills for mix in mixes)
    return {
        "seeds": ", ".join(str(mix.seed) for mix in mixes),
        "seconds of each": mixes[0].seconds,
        "kills": kills,
        "acted": ", ".join(f"{count} {name}" for name, count in sorted(acted.items())),
        "acked": sum(verdict.acked for verdict in verdicts),
        "deliveries": sum(verdict.delivered for verdict in verdicts),
        "lost": sum(len(verdict.lost) for verdict in verdicts),
        "order violations": sum(
            row.startswith("I2") for verdict in verdicts for row in verdict.broken
        ),
        "duplicates": sum(verdict.duplicates for verdict in verdicts),
        "duplicates allowed": kills * DUPLICATES_PER_KILL,
        "invariants broken": sum(len(verdict.broken) for verdict in verdicts),
    }


def run_mix(folder: Path, seconds: float, seed: int) -> Mix:
    """Mix for *seconds*, drain, and return what the checker says."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = random.Random(seed)
    mix = Mix(seed, seconds)
    ledgers = {name: folder / f"{name}.jsonl" for name in ("sent", "lis", "ward")}
    moody = Moody(Ledger(ledgers["lis"]), f"{seed}/lis")
    calm = Moody(Ledger(ledgers["ward"]), f"{seed}/ward", is_calm=True)
    lis, ward = Receiver(moody), Receiver(calm)
    operator = Operator(folder, [free_port(), free_port()], lis.port, ward.port, dice)
    try:
        operator.start()
        _act(operator, ledgers["sent"], seconds, seed)
        moody.is_calm = True
        operator.command("resume", "lis", *REASON)
        wait_until(lambda: _is_drained(operator), 5 * WAIT_S, "every delivery settled")
        _judge(mix, operator, ledgers)
        if code := operator.engine.terminate():
            operator.wrong.append(f"it ended with {code} after SIGTERM")
    except (AssertionError, subprocess.TimeoutExpired) as error:
        mix.verdict.say("I9", str(error))
    finally:
        if operator.engine.running:
            operator.engine.kill()
        lis.stop()
        ward.stop()
    if "Traceback" in operator.engine.log():
        operator.wrong.append("an exception is in the log")
    for what in operator.wrong:
        mix.verdict.say("exit", what)
    mix.kills, mix.acted = operator.kills, operator.acted
    return mix


def _act(operator: Operator, sent: Path, seconds: float, seed: int) -> None:
    """Let senders send and the operator act until the time is over."""
    ports = [str(port) for port in operator.inbounds]
    patients = str(operator.dice.choice(PATIENTS))
    sender = start_peer(
        "sender",
        *("--port", *ports, "--ledger", str(sent), "--seed", str(seed)),
        *("--pause-s", str(operator.dice.choice(PAUSES_S)), "--shared-patients", patients),
    )
    try:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            threading.Event().wait(operator.dice.uniform(0, PAUSE_S))
            operator.act()
    finally:
        end_peer(sender)


def _is_drained(operator: Operator) -> bool:
    """Requeue what is parked; return whether nothing is owed."""
    rows = outbounds(operator.engine.ask("status"))
    if any(row["parked"] for row in rows):
        requeue(operator)
    return not any(row[state] for row in rows for state in ("parked", "pending", "held"))


def _judge(mix: Mix, operator: Operator, ledgers: dict[str, Path]) -> None:
    verdict = mix.verdict
    sent = read_sent(read_ledger(ledgers["sent"]))
    passed = read_ledger(operator.ledger_path)
    freed: dict[str, float] = {}
    for row in passed:
        freed.setdefault(row["id"], row["at"])
    acked = {name for name, one in sent.items() if one.is_acked}
    cancelled = {row["id"] for row in passed if row["act"] == "cancel"}
    verdict.acked = len(acked)
    lis, ward = read_ledger(ledgers["lis"]), read_ledger(ledgers["ward"])
    _check_arrivals(verdict, "lis", lis, sent, acked - cancelled)
    _check_arrivals(verdict, "ward", ward, sent, acked)
    for what in find_overtakers(lis, sent, freed, by_patient=True):
        verdict.say("I2", f"lis: {what}")
    for what in find_overtakers(ward, sent, {}, by_patient=False):
        verdict.say("I2", f"ward: {what}")
    allowed = operator.kills * DUPLICATES_PER_KILL
    if verdict.duplicates > allowed:
        verdict.say("I6", f"{verdict.duplicates} duplicates, at most {allowed} allowed")
    check_engine(verdict, operator.engine, acked)


def _check_arrivals(
    verdict: Verdict,
    name: str,
    arrivals: list[dict[str, object]],
    sent: dict[str, Sent],
    wanted: set[str],
) -> None:
    came = {str(row["id"]) for row in arrivals if "taken" in str(row["outcome"])}
    verdict.delivered += len(came)
    verdict.duplicates += count_repeats(arrivals)
    for missing in sorted(wanted - came):
        verdict.lost.append(f"{missing} at {name}")
        verdict.say("I1", f"{missing} was acknowledged but never taken by {name}")
    for row in arrivals:
        origin = sent.get(str(row["id"]))
        if origin is None or origin.sha256 != row["sha256"]:
            verdict.say("I10", f"{row['id']} came to {name}, but nobody sent it with these bytes")


def main() -> int:
    """Run one seed; the ledgers and the site stay where it says."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture.mix")
    parser.add_argument("seed", type=int)
    parser.add_argument("seconds", type=float, nargs="?", default=20.0)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mix-"))
    mix = run_mix(folder, arguments.seconds, arguments.seed)
    print(json.dumps(summarize([mix]), indent=2), *mix.broken, f"in {folder}", sep="\n")
    return int(bool(mix.broken))


if __name__ == "__main__":
    sys.exit(main())
