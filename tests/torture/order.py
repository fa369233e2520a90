"""
Who may arrive before whom: judged by the moments the peers wrote down, by nothing else.

A message comes before another when its sender had the ack before the other was sent for the first
time. Then the other must not arrive before the first was taken, when they share a patient; a merge
has two. Only what an operator released or cancelled lets its followers pass, from that moment on.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

POSITIVE = ("AA", "CA")
#: how a receiver's row says that it took the message
TAKEN = "taken"
#: it sent an ack that may have been too late or mixed up with others: repeating it is no mistake
MAYBE_TAKEN = "maybe taken"
#: the key of a channel that keeps one order for all
ALL = "all"


@dataclass(frozen=True)
class Sent:
    """One message as its sender saw it."""

    keys: frozenset[str]
    sha256: str
    sent_at: float
    acked_at: float

    @property
    def is_acked(self) -> bool:
        """Whether the sender may forget it."""
        return self.acked_at < math.inf


def read_sent(tries: Iterable[Mapping[str, Any]]) -> dict[str, Sent]:
    """Return the messages of a sender's ledger: first try, first positive ack."""
    found: dict[str, Sent] = {}
    for row in tries:
        acked_at = row["at"] if row["answer"] in POSITIVE else math.inf
        before = found.get(row["id"])
        found[row["id"]] = Sent(
            keys=frozenset(key for key in (row["patient"], row["merged"]) if key),
            sha256=row["sha256"],
            sent_at=before.sent_at if before else row["sent_at"],
            acked_at=min(before.acked_at, acked_at) if before else acked_at,
        )
    return found


def find_overtakers(
    arrivals: list[dict[str, Any]],
    sent: Mapping[str, Sent],
    freed: Mapping[str, float],
    *,
    by_patient: bool,
) -> list[str]:
    """Return a line for each pair that arrived the wrong way round."""
    waiting: dict[str, dict[str, Sent]] = defaultdict(dict)
    for name, one in sorted(sent.items(), key=lambda item: item[1].acked_at):
        for key in one.keys if by_patient else (ALL,):
            waiting[key][name] = one
    came: set[str] = set()
    found: set[str] = set()
    for row in arrivals:
        name = row["id"]
        if (one_sent := sent.get(name)) is None:
            continue
        for key in one_sent.keys if by_patient else (ALL,):
            if name not in came:
                found |= {
                    f"{name} came before {first}"
                    for first in _acked_before(one_sent, waiting[key])
                    if row["at"] < freed.get(first, math.inf)
                }
            if row["outcome"] in (TAKEN, MAYBE_TAKEN):
                waiting[key].pop(name, None)
        came.add(name)
    return sorted(found)


def _acked_before(second: Sent, waiting: Mapping[str, Sent]) -> Iterable[str]:
    """Yield who was acknowledged before *second* was sent; *waiting* is in order of acks."""
    for name, one in waiting.items():
        if one.acked_at >= second.sent_at:
            return
        yield name


def count_repeats(arrivals: Iterable[Mapping[str, Any]]) -> int:
    """Return how often a message came again that its receiver had taken in time."""
    taken: set[str] = set()
    repeats = 0
    for row in arrivals:
        repeats += row["id"] in taken
        if row["outcome"] == TAKEN:
            taken.add(row["id"])
    return repeats
