"""The benchmark runs, and its figures mean what they say."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.torture.engine import MEDBUS

ROOT = Path(__file__).parents[2]


def test_bench_prints_floor_engine_and_ratio(tmp_path: Path) -> None:
    """A short benchmark forwards every message in floor and engine alike and gives their ratio."""
    told = subprocess.run(
        [MEDBUS, "bench", "--seconds", "1", "--folder", str(tmp_path), "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    figures = json.loads(told.stdout)
    for program in ("floor", "engine"):
        for part in ("many", "one", "offered"):
            assert figures[program][part]["refused"] == 0
            assert figures[program][part]["acked"] > 0
    floor, engine = (figures[program]["many"]["forwarded_rate"] for program in ("floor", "engine"))
    assert figures["ratio"] == pytest.approx(engine / floor)
    assert figures["fsync_p50_ms"] > 0
    assert figures["pure"]["deid_us"] > 0


def test_floor_uses_no_engine_code() -> None:
    """The yardstick is independent: floor and load import nothing of the engine."""
    for name in ("floor.py", "load.py"):
        text = (ROOT / "benchmarks" / name).read_text()
        assert "engine." not in text
        assert "import engine" not in text
