"""
How often the leak check alarms without reason, over real sample messages.

Two figures: outputs parked although the profile did its work (every hard hit there is looked
at as a false alarm), and identifiers of one message searched in the output of an unrelated
one, where whatever is found is chance.

Run: python -m benchmarks.deid_false_alarms FOLDER [--json]
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.config.models.profiles import BUILT_IN_PROFILES
from engine.deid.leak_check import find_leaks
from engine.deid.profiles import Deidentified, compile_profile
from engine.hl7.batch import split_messages
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message

TIMEZONE = ZoneInfo("UTC")


@dataclass
class Rate:
    """What was checked and what alarmed."""

    checked: int = 0
    hard: int = 0
    soft: int = 0


def messages_of(raw: bytes) -> list[bytes]:
    """Return the messages of a file, without frames and envelopes."""
    return [one for one in split_messages(raw) if one]


def _outputs(messages: Iterable[bytes], name: str) -> list[tuple[Deidentified, bytes, Message]]:
    compiled, _ = compile_profile(name, {}, key=lambda _: b"false alarm key, 32 bytes long..")
    assert compiled is not None
    made = []
    for raw in messages:
        try:
            message = Message.parse(raw)
        except Hl7Error:
            continue
        done = compiled.apply(message, received_at=1_793_500_200.0, timezone=TIMEZONE)
        made.append((done, message.encode(), message))
    return made


def own(messages: Sequence[bytes], name: str) -> Rate:
    """Return how many outputs of a profile the check would park."""
    rate = Rate()
    for done, output, message in _outputs(messages, name):
        leaks = find_leaks(done.identifiers, output, message)
        rate.checked += 1
        rate.hard += any(leak.hard for leak in leaks)
        rate.soft += any(not leak.hard for leak in leaks)
    return rate


def measure(messages: Sequence[bytes], *, pairs: int, name: str = "limited_dataset") -> Rate:
    """Return how often identifiers of one patient are found in an output of another's."""
    dice = random.Random(11)
    made = _outputs(messages, name)
    rate = Rate()
    while rate.checked < pairs:
        first, second = dice.sample(made, 2)
        known = first[0].identifiers
        shared = set(known.hard.words) | set(known.hard.anywhere) | set(known.hard.bounded)
        theirs = second[0].identifiers.hard
        # The samples invent few patients: two messages about the same one are not unrelated.
        if shared & (set(theirs.words) | set(theirs.anywhere) | set(theirs.bounded)):
            continue
        leaks = find_leaks(known, second[1], second[2])
        rate.checked += 1
        rate.hard += any(leak.hard for leak in leaks)
        rate.soft += any(not leak.hard for leak in leaks)
    return rate


def main() -> None:
    """Print both figures for every profile."""
    folder = Path(sys.argv[1])
    messages = [
        one for file in sorted(folder.glob("*.hl7")) for one in messages_of(file.read_bytes())
    ]
    rows = []
    for name in BUILT_IN_PROFILES:
        same, other = own(messages, name), measure(messages, pairs=2000, name=name)
        rows.append({"profile": name, "own": vars(same), "unrelated": vars(other)})
    if "--json" in sys.argv:
        print(json.dumps({"items": rows}))
        return
    print(f"{len(messages)} messages; alarms that stop a message, and words that only count")
    for row in rows:
        same, other = Rate(**row["own"]), Rate(**row["unrelated"])
        print(
            f"{row['profile']:<16} own output: {same.hard} of {same.checked} stopped, "
            f"{same.soft} with ordinary words; unrelated output: {other.hard} of {other.checked} "
            f"({other.hard / other.checked:.2%})"
        )


if __name__ == "__main__":
    main()
