"""
Writes what a torture run measured into docs/reliability.md; run after the tests.

Tests leave their figures as JSON files in out/torture; this turns them into the tables between the
two marker lines of the page.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FIGURES = ROOT / "out" / "torture"
PAGE = ROOT / "docs" / "reliability.md"
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


def render() -> str:
    """Return the tables as Markdown."""
    faults = sorted(read_figures("fault-"), key=lambda row: (row["number"], row["test"]))
    held = sum(row["outcome"] == "held" for row in faults)
    broken = sum(row["outcome"] == "BROKEN" for row in faults)
    today = datetime.now(UTC).date().isoformat()
    lines = [
        f"Written by `make torture` on {today}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, Python {platform.python_version()}.",
        "",
    ]
    for kills in read_figures("kills"):
        lines += ["| kill -9 under load | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in kills.items()] + [""]
    for backlog in read_figures("backlog"):
        lines += ["| a receiver that is away | |", "|---|---|"]
        lines += [f"| {name} | {value} |" for name, value in backlog.items()] + [""]
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
