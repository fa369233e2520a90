"""
The whole torture, part after part, with one command; the report is written whatever came out.

    python -m tests.torture [--kills N] [--backlog N] [--soak MINUTES] [PART ...]

Parts: kills, mix (everything at once, at random), faults, nightly (faults that take minutes, and
the soak), backlog, others, and report, which alone writes docs/reliability.md anew from the figures
that are there. Every part notes the machine, the commit and the fsync of its minute. Ends with 1
when a part failed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

from tests.torture import report
from tests.torture.machine import read_commit, read_machine

#: what pytest is given; all marks are asked for by name, the long ones are left out otherwise
PARTS = {
    "kills": ("-m", "torture or not torture", "tests/torture/test_kills.py"),
    "mix": ("-m", "torture", "tests/torture/test_mix.py"),
    "faults": ("-m", "not torture", "tests/faults", "tests/store/test_crashes.py"),
    "nightly": ("-m", "torture", "tests/faults", "tests/torture/test_soak.py"),
    "backlog": ("-m", "torture", "tests/torture/test_backlog.py"),
    "others": ("-m", "torture", "--ignore=tests/torture", "--ignore=tests/faults", "tests"),
}
_NOTHING_COLLECTED = 5


def run_part(name: str, environ: dict[str, str], run: str) -> bool:
    """Run one part; return whether it held."""
    report.forget_figures(name)
    machine = read_machine(report.FIGURES)
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", *PARTS[name]],
        cwd=report.ROOT,
        env={**environ, "MEDBUS_PART": name},
    )
    held = done.returncode in (0, _NOTHING_COLLECTED)
    if (now := read_commit()) != machine["commit"]:
        machine["commit"] = f"{machine['commit']} to {now}"
    figures = {
        "part": name,
        "run": run,
        **machine,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "outcome": "held" if held else "BROKEN",
    }
    report.keep_figures(f"part-{name}", figures)
    return held


def main() -> int:
    """Run the parts that are named, or all; then write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description="Try to break it.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join((*PARTS, "report")))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--backlog", type=int, default=1_000_000)
    parser.add_argument("--soak", type=float, default=5.0, help="minutes of each soak")
    arguments = parser.parse_args()
    asked = arguments.parts or list(PARTS)
    if unknown := [name for name in asked if name not in {*PARTS, "report"}]:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join((*PARTS, 'report'))}")
    environ = {
        **os.environ,
        "MEDBUS_KILLS": str(arguments.kills),
        "MEDBUS_BACKLOG": str(arguments.backlog),
        "MEDBUS_SOAK": str(arguments.soak),
    }
    run = f"{time.time():.0f}.{os.getpid()}"
    outcomes = [run_part(name, environ, run) for name in asked if name in PARTS]
    return report.main() or int(not all(outcomes))


if __name__ == "__main__":
    sys.exit(main())
