"""
Writes what a torture run measured into docs/reliability.md; run after the tests.

Tests leave their figures as JSON files in out/torture; this turns them into the tables between the
two marker lines of the page.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "out" / "torture"
PAGE = ROOT / "docs" / "reliability.md"
#: figures with a table of two columns
_TABLES = {
    "kills": "kill -9 under load",
    "backlog": "a receiver that is away",
    "release": "release of what is held behind one delivery",
    "prune": "prune of one day",
}
#: what a part of the torture leaves
_FIGURES_OF = {
    "kills": ("kills",),
    "faults": ("fault-",),
    "backlog": ("backlog", "release", "prune"),
}
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


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
    for prefix in _FIGURES_OF.get(part, ()):
        for path in FIGURES.glob(f"{prefix}*.json"):
            path.unlink()


def render() -> str:
    """Return the tables as Markdown."""
    lines = ["Made by `make torture`; the figures of each part are those of its own run.", ""]
    lines += _runs(read_figures("part-"))
    for prefix, title in _TABLES.items():
        for figures in read_figures(prefix):
            lines += [f"| {title} | |", "|---|---|"]
            lines += [f"| {name} | {value} |" for name, value in figures.items()] + [""]
    faults = sorted(read_figures("fault-"), key=lambda row: (row["number"], row["test"]))
    held = sum(row["outcome"] == "held" for row in faults)
    broken = sum(row["outcome"] == "BROKEN" for row in faults)
    lines += [
        f"Faults: {held} held, {broken} broken, {len(faults) - held - broken} not run.",
        "",
        "| # | fault | what must happen | outcome | test |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['number']} | {row['fault']} | {row['expected']} | {row['outcome']} "
        f"| `{row['test']}` |"
        for row in faults
    ]
    return "\n".join(lines)


def _runs(parts: list[dict[str, Any]]) -> list[str]:
    if not parts:
        return []
    lines = [f"{parts[0]['machine']}.", ""]
    lines += ["| part | run at | commit | minutes | load | fsync p50, p99 ms | outcome |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in parts:
        fsync = f"{row['fsync p50 ms']}, {row['fsync p99 ms']}"
        lines.append(
            f"| {row['part']} | {row['at']} | {row['commit']} | {row['minutes']} | {row['load']} "
            f"| {fsync} | {row['outcome']} |"
        )
    return [*lines, ""]


def main() -> int:
    """Replace what stands between the markers of the page."""
    if not FIGURES.exists():
        print("no figures in out/torture; run `make torture` or the tests first")
        return 1
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{render()}\n{END}{after}")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
