"""
Writes what a torture run measured into docs/reliability.md; run after the tests.

Tests leave their figures as JSON files in out/torture; this turns them into the tables between the
two marker lines of the page. Nothing is left out: a part that did not run, a fault without an
outcome and a test that this machine cannot run are named.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "out" / "torture"
PAGE = ROOT / "docs" / "reliability.md"
#: every part, as `make torture` runs them
PART_NAMES = ("kills", "mix", "faults", "nightly", "backlog", "others")
#: every number of the fault table
NUMBERS = range(1, 51)
#: figures with a table of two columns
_TABLES = {
    "kills": "kill -9 under load",
    "mix": "everything at once, at random",
    "power": "power loss",
    "dead-receiver": "one dead receiver of ten",
    "soak": "soak with random faults",
    "backlog": "a receiver that is away",
    "release": "release of what is held behind one delivery",
    "prune": "prune of one day",
}
#: what a part of the torture leaves
_FIGURES_OF = {
    "kills": ("kills", "fault-kills-"),
    "mix": ("mix", "fault-mix-"),
    "faults": ("fault-faults-",),
    "nightly": ("fault-nightly-", "power", "dead-receiver", "soak"),
    "backlog": ("backlog", "release", "prune"),
}
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
HELD, BROKEN = "held", "BROKEN"


def keep_figures(name: str, figures: Mapping[str, object]) -> None:
    """Leave the figures of one test for the report."""
    FIGURES.mkdir(parents=True, exist_ok=True)
    fresh = FIGURES / f".{name}.{os.getpid()}"
    fresh.write_text(json.dumps(figures, indent=1))
    fresh.rename(FIGURES / f"{name}.json")


def read_figures(prefix: str) -> list[dict[str, Any]]:
    """Return the figures of all tests whose name begins with *prefix*."""
    return [json.loads(path.read_text()) for path in sorted(FIGURES.glob(f"{prefix}*.json"))]


def forget_figures(part: str) -> None:
    """Drop what an earlier run of *part* left, so that the report never mixes two runs of it."""
    for prefix in (*_FIGURES_OF.get(part, ()), f"part-{part}"):
        for path in FIGURES.glob(f"{prefix}*.json"):
            path.unlink()


def render() -> str:
    """Return the tables as Markdown."""
    parts = read_figures("part-")
    lines = [describe_origin(parts), "", *_runs(parts)]
    for prefix, title in _TABLES.items():
        for figures in read_figures(prefix):
            lines += [f"| {title} | |", "|---|---|"]
            lines += [f"| {name} | {value} |" for name, value in figures.items()] + [""]
    return "\n".join((*lines, *render_faults(read_figures("fault-"))))


def describe_origin(parts: Sequence[Mapping[str, Any]]) -> str:
    """Say whether all parts are of one run on one commit, and name each part's commit if not."""
    commits = {str(row["commit"]) for row in parts}
    runs = {row.get("run") for row in parts}
    missing = [name for name in PART_NAMES if name not in {row["part"] for row in parts}]
    if not missing and len(commits) == len(runs) == 1 and " to " not in min(commits):
        minutes = sum(float(row["minutes"]) for row in parts)
        return f"One run of `make torture` at commit {min(commits)}, {minutes:.0f} minutes."
    told = ", ".join(f"{row['part']} at commit {row['commit']}" for row in parts)
    never = f" Not run: {', '.join(missing)}." if missing else ""
    return f"Not one run of `make torture` at one commit: {told or 'no part was run'}.{never}"


def render_faults(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return count and table of the faults; one without any outcome has a row that says so."""
    numbers = {row["number"] for row in found}
    missing = [
        {
            "number": number,
            "fault": "-",
            "expected": "-",
            "outcome": "NOT RUN: no test of this fault was run",
            "seconds": "",
            "test": "-",
        }
        for number in NUMBERS
        if number not in numbers
    ]
    faults = sorted([*found, *missing], key=lambda row: (row["number"], row["test"]))
    held = sum(row["outcome"] == HELD for row in faults)
    broken = sum(row["outcome"] == BROKEN for row in faults)
    lines = [f"Faults: {held} held, {broken} broken, {len(faults) - held - broken} not run.", ""]
    lines += [
        f"- {row['number']}, `{row['test']}`: {row['outcome']}"
        for row in faults
        if row["outcome"] != HELD
    ]
    return [
        *lines,
        *([""] if lines[-1] else []),
        "| # | fault | what must happen | outcome | took, s | test |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['number']} | {row['fault']} | {row['expected']} | {row['outcome']} "
            f"| {row['seconds']} | `{row['test']}` |"
            for row in faults
        ),
    ]


def _runs(parts: list[dict[str, Any]]) -> list[str]:
    if not parts:
        return []
    lines = [f"{parts[0]['machine']}.", ""]
    lines += ["| part | run at | commit | minutes | load | fsync p50, p99 ms | outcome |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in sorted(parts, key=lambda row: PART_NAMES.index(row["part"])):
        fsync = f"{row['fsync p50 ms']}, {row['fsync p99 ms']}"
        lines.append(
            f"| {row['part']} | {row['at']} | {row['commit']} | {row['minutes']} | {row['load']} "
            f"| {fsync} | {row['outcome']} |"
        )
    return [*lines, ""]


def main() -> int:
    """Replace what stands between the markers of the page; say loudly what did not hold."""
    if not FIGURES.exists():
        print("no figures in out/torture; run `make torture` or the tests first")
        return 1
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{render()}\n{END}{after}")
    table = render_faults(read_figures("fault-"))
    print("\n".join(line for line in table if not line.startswith("|")))
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
