"""
Judges a run by the ledgers of the peers and the engine's public commands, by nothing else.

I1 nothing acked is lost · I2 order · I3 no message at a receiver it was not routed to · I4 the
record is complete · I5 no AA without a stored message · I6 duplicates within the bound · I7
bounded memory and files · I8 no patient data outside the sealed store · I9 the queue drains
I10 exact bytes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.torture.engine import Engine
from tests.torture.ledger import read_ledger
from tests.torture.sender import CANARY


@dataclass
class Verdict:
    """What the checker found; empty `broken` means that every invariant held."""

    acked: int = 0
    delivered: int = 0
    duplicates: int = 0
    unanswered_tries: int = 0
    lost: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def say(self, invariant: str, what: str) -> None:
        """Note a broken invariant."""
        self.broken.append(f"{invariant}: {what}")


def check_run(
    engine: Engine, sent: Path, lis: Path, ward: Path, *, most_duplicates: int
) -> Verdict:
    """Return the verdict over one drained run; the engine must be running."""
    verdict = Verdict()
    tries = read_ledger(sent)
    acked = {row["id"]: row for row in tries if row["answer"] in ("AA", "CA")}
    known = {row["id"]: row for row in tries}
    verdict.acked = len(acked)
    verdict.unanswered_tries = sum(row["answer"] == "none" for row in tries)
    for name, path in (("lis", lis), ("ward", ward)):
        _check_receiver(verdict, name, read_ledger(path), acked, known)
    if verdict.duplicates > most_duplicates:
        verdict.say("I6", f"{verdict.duplicates} duplicates, at most {most_duplicates} allowed")
    check_engine(verdict, engine, set(acked))
    return verdict


def check_engine(verdict: Verdict, engine: Engine, acked: set[str]) -> None:
    """Check what the running engine says of itself and what it leaves on the disk."""
    _check_store(verdict, engine, acked)
    _check_resources(verdict, engine)
    _check_privacy(verdict, engine)


def _check_receiver(
    verdict: Verdict,
    name: str,
    got: list[dict[str, Any]],
    acked: dict[str, dict[str, Any]],
    known: dict[str, dict[str, Any]],
) -> None:
    want_class = ("I", "O") if name == "lis" else ("I",)
    wanted = {key for key, row in acked.items() if row["class"] in want_class}
    received = {row["id"] for row in got}
    verdict.delivered += len(received)
    for missing in sorted(wanted - received):
        verdict.lost.append(f"{missing} at {name}")
        verdict.say("I1", f"{missing} was acknowledged but never came to {name}")
    for row in got:
        origin = known.get(row["id"])
        if origin is None or origin["class"] not in want_class:
            verdict.say("I3", f"{row['id']} came to {name}, which no route allows")
        elif row["sha256"] != origin["expected" if name == "lis" else "sha256"]:
            verdict.say("I10", f"{row['id']} came to {name} with other bytes than the route makes")
    verdict.duplicates += len(got) - len(received)
    _check_order(verdict, name, got, known, by="patient" if name == "lis" else "connection")


def _check_order(
    verdict: Verdict,
    name: str,
    got: Iterable[dict[str, Any]],
    known: dict[str, dict[str, Any]],
    *,
    by: str,
) -> None:
    seen: set[str] = set()
    last: dict[str, int] = {}
    for row in got:
        if row["id"] in seen or row["id"] not in known:
            continue
        seen.add(row["id"])
        key = row["patient"] if by == "patient" else row["id"].split("N")[0]
        place = known[row["id"]]["place"]
        if place < last.get(key, 0):
            verdict.say("I2", f"{row['id']} came to {name} after a later one of {key}")
        last[key] = max(place, last.get(key, 0))


def _check_store(verdict: Verdict, engine: Engine, acked: set[str]) -> None:
    accepted = engine.all_messages("--state", "accepted")
    stored = {item["control_id"] for item in accepted}
    for missing in sorted(acked - stored):
        verdict.say("I5", f"{missing} was acknowledged but is not in the store")
    twice = len(accepted) - len(stored)
    if twice:
        verdict.say("I6", f"{twice} messages were accepted twice in spite of the duplicate check")
    audit = engine.command("audit", "verify")
    if audit.returncode:
        verdict.say("I4", f"audit verify: {audit.stdout}{audit.stderr}")
    owed = engine.owed()
    if owed:
        verdict.say("I9", f"{owed} deliveries are still owed")
    ledger = engine.ask("status")["ledger"]
    if not any(row["accepted"] for row in ledger):
        verdict.say("I4", "the ledger counts nothing as accepted")
    for row in ledger:
        if row["difference"]:
            verdict.say("I4", f"the ledger does not add up: {row}")


def _check_resources(verdict: Verdict, engine: Engine) -> None:
    if (memory := engine.memory_mb()) > 300:
        verdict.say("I7", f"the engine uses {memory:.0f} MB")
    if (files := engine.open_files()) > 200:
        verdict.say("I7", f"the engine has {files} files open")


def _check_privacy(verdict: Verdict, engine: Engine) -> None:
    needle = CANARY.encode()
    for path in engine.folder.rglob("*"):
        if path.is_file() and not path.is_socket() and needle in path.read_bytes():
            verdict.say("I8", f"patient data in {path.relative_to(engine.folder)}")
