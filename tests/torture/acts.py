"""What an operator, and bad luck, do to an engine in traffic: one table of small acts."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.torture.engine import Engine
from tests.torture.ledger import Ledger
from tests.torture.moods import TIMEOUT_S

LANES = (1, 2, 3, 4, 8)
FURTHER = ("", "rate: 300/s", "expire_after: 1h")
#: how often the engine is killed in the middle of an operator's command
KILLED_SHARE = 0.25
#: the longest a command of an operator is let run before such a kill
COMMAND_S = 0.8
REASON = ("--reason", "mix")


def mix_site(inbounds: list[int], lis: int, ward: int, *, lanes: int = 2, more: str = "") -> str:
    """Return the site of the mix: a receiver that refuses, in lanes by patient, and a calm one."""
    first, second = inbounds
    return f"""
inbound:
  his: {{mllp: {{listen: "127.0.0.1:{first}"}}}}
  his2: {{mllp: {{listen: "127.0.0.1:{second}"}}}}
outbound:
  lis:
    mllp: {{connect: "127.0.0.1:{lis}", timeout: {TIMEOUT_S:.0f}s}}
    order_by: ["PID-3.1", "MRG-1.1"]
    lanes: {lanes}
    on_ack: {{AE: {{retry: 1, then: park}}, AR: park}}
    backoff: {{first: 50ms, factor: 2, max: 500ms}}
    {more}
  ward:
    mllp: {{connect: "127.0.0.1:{ward}", timeout: 30s}}
    backoff: {{first: 50ms, factor: 2, max: 500ms}}
routes:
  to_lis: {{from: [his, his2], to: lis}}
  to_ward: {{from: [his, his2], to: ward}}
"""


class Operator:
    """Acts on the engine, as often as asked, by the dice; writes down what it lets pass."""

    def __init__(self, folder: Path, inbounds: list[int], lis: int, ward: int, dice: random.Random):
        self.dice, self.inbounds, self._receivers = dice, inbounds, (lis, ward)
        self.lanes, self.more = dice.choice(LANES), ""
        self.engine = Engine(folder / "site", self.site())
        self.ledger_path = folder / "operator.jsonl"
        self._ledger = Ledger(self.ledger_path)
        self.kills = 0
        self.acted: Counter[str] = Counter()
        #: what a command or an exit did that it must never do
        self.wrong: list[str] = []

    def site(self) -> str:
        """Return the site as it is now."""
        return mix_site(self.inbounds, *self._receivers, lanes=self.lanes, more=self.more)

    def start(self) -> None:
        """Start the engine; wait until it listens and answers commands."""
        self.engine.start(*self.inbounds)
        self.engine.wait_started()

    def act(self) -> None:
        """Do one act of the table."""
        act = self.dice.choices(list(ACTS), list(ACTS.values()))[0]
        if act(self):
            self.acted[act.__name__.replace("_", " ")] += 1

    def command(self, *arguments: str) -> bool:
        """Run one command that must work; return that it did."""
        done = self.engine.command(*arguments)
        if done.returncode:
            self.wrong.append(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
        return done.returncode == 0

    def try_command(self, *arguments: str) -> bool:
        """
        Run one command that may come too late, and that a kill may cut short.

        What it chose may have changed meanwhile: then it says so, with 1.
        """
        killer = None
        if self.dice.random() < KILLED_SHARE:
            killer = threading.Timer(
                self.dice.uniform(0, COMMAND_S), os.kill, (self.engine.pid, signal.SIGKILL)
            )
            killer.start()
        done = self.engine.command(*arguments)
        if done.returncode not in (0, 1) or "Traceback" in done.stderr:
            self.wrong.append(f"{arguments[0]} ended with {done.returncode}: {done.stderr}")
        if killer:
            killer.join()
            self.engine.wait()
            self.kills += 1
            self.start()
        return done.returncode == 0

    def parked(self) -> int:
        """Return how many deliveries of the lis are parked."""
        return sum(len(_of_lis(item)) for item in self.chosen("parked"))

    def chosen(self, state: str) -> list[dict[str, Any]]:
        """Return the messages whose delivery to the lis is in *state*."""
        return self.engine.all_messages("--outbound", "lis", "--state", state)

    def let_pass(self, verb: str, state: str) -> bool:
        """Release or cancel one delivery, noted before it is done."""
        items = self.chosen(state)
        if not items:
            return False
        item = self.dice.choice(items)
        self._ledger.write(id=item["control_id"], act=verb, at=time.time())
        return self.try_command(verb, *_of_lis(item), *REASON, "--yes", "1")


def _of_lis(item: dict[str, Any]) -> list[str]:
    return [row["delivery_id"] for row in item["deliveries"] if row["outbound"] == "lis"]


def kill(operator: Operator) -> bool:
    """kill -9."""
    operator.engine.kill()
    operator.kills += 1
    operator.start()
    return True


def terminate(operator: Operator) -> bool:
    """Stop it in order, and start it."""
    if code := operator.engine.terminate():
        operator.wrong.append(f"it ended with {code} after SIGTERM")
    operator.start()
    return True


def reload(operator: Operator) -> bool:
    """Another rate, another expiry."""
    operator.more = operator.dice.choice(FURTHER)
    operator.engine.write("channels/channels.yaml", operator.site())
    return operator.command("reload")


def change_lanes(operator: Operator) -> bool:
    """Another number of lanes."""
    operator.lanes = operator.dice.choice(LANES)
    return reload(operator)


def pause(operator: Operator) -> bool:
    """Pause the lis, and resume it a moment later."""
    return operator.command("pause", "lis", *REASON) and operator.command("resume", "lis", *REASON)


def requeue(operator: Operator) -> bool:
    """Requeue all that is parked."""
    count = operator.parked()
    chosen = ("--state", "parked", "--outbound", "lis", *REASON, "--yes", str(count))
    return bool(count) and operator.try_command("requeue", *chosen)


def release(operator: Operator) -> bool:
    """Let pass what is held behind one that is parked."""
    return operator.let_pass("release", "parked")


def cancel(operator: Operator) -> bool:
    """Give up one delivery, wherever it stands."""
    return operator.let_pass(
        "cancel", operator.dice.choice(("parked", "parked", "held", "pending"))
    )


#: what can happen, and how often beside the others
ACTS: dict[Callable[[Operator], bool], int] = {
    kill: 1,
    terminate: 1,
    reload: 1,
    change_lanes: 1,
    pause: 1,
    requeue: 3,
    release: 1,
    cancel: 1,
}
