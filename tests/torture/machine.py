"""What a run ran on: figures mean little without the machine, and the disk of that minute."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

_TRIES = 200


def read_machine(folder: Path) -> dict[str, object]:
    """Return date, commit, machine, load, and the fsync of *folder*'s disk now."""
    waits = fsync_ms(folder)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": read_commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}",
        "load": round(load, 1),
        "fsync p50 ms": round(waits[len(waits) // 2], 2),
        "fsync p99 ms": round(waits[len(waits) * 99 // 100], 2),
    }


def read_commit() -> str:
    """Return the commit that is checked out, and whether program or tests differ from it."""
    commit = _git("rev-parse", "--short", "HEAD") or "unknown"
    is_changed = _git("status", "--porcelain", "--untracked-files=no", "--", "engine", "tests")
    return f"{commit} and changes" if is_changed else commit


def _git(*arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    return done.stdout.strip()


def fsync_ms(folder: Path) -> list[float]:
    """Return how long small synced appends take there, shortest first."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f".fsync.{os.getpid()}"
    waits = []
    try:
        with path.open("wb") as file:
            for _ in range(_TRIES):
                began = time.perf_counter()
                file.write(b"x" * 4096)
                file.flush()
                os.fsync(file.fileno())
                waits.append((time.perf_counter() - began) * 1000)
    finally:
        path.unlink(missing_ok=True)
    return sorted(waits)
