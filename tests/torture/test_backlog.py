"""A receiver that is away for long: a great backlog, little memory, a quick start after a crash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.torture.backlog import (
    Bench,
    built,
    measure_owed,
    measure_prune,
    measure_release,
    offer,
    received,
    receiver,
)
from tests.torture.engine import wait_until
from tests.torture.report import keep_figures

SIZE = int(os.environ.get("MEDBUS_BACKLOG", "1000000"))


def test_backlog_survives_a_crash(tmp_path: Path) -> None:
    """What was accepted while the receiver was away survives kill -9 and drains completely."""
    bench = Bench(tmp_path / "site", ward=free_port())
    try:
        bench.start()
        owed = offer(bench.his, 1, 1.0)
        bench.engine.kill()
        bench.start()
        assert bench.owed("lis") == owed
        with receiver(bench.lis) as lis:
            wait_until(lambda: bench.owed("lis") == 0, 120.0, "the backlog drains")
            # One repetition per lane is allowed after the crash.
            assert owed <= received(lis) <= owed + 8
    finally:
        bench.end()


def test_built_backlog_is_one_the_engine_takes(tmp_path: Path) -> None:
    """The small copy of what `make torture` measures: start, search, drain, release and prune."""
    built("build", tmp_path / "owed", "--messages=600", "--days=3")
    told = measure_owed(tmp_path, tmp_path / "owed", rounds=1, seconds=0.5)
    assert told["deliveries waiting"] == 600
    built("build", tmp_path / "held", "--messages=300", "--days=1", "--days-ago=30", "--held")
    assert measure_release(tmp_path, tmp_path / "held")["released"] == 299
    built("build", tmp_path / "old", "--messages=300", "--days=1", "--days-ago=30", "--settled")
    assert "day: took, s" in measure_prune(tmp_path, tmp_path / "old")


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_great_backlog_in_little_memory(tmp_path: Path) -> None:
    """A million over five days fit into 250 MB, start in 3 s, are searched and slow nobody down."""
    built("build", tmp_path / "owed", f"--messages={SIZE}", "--days=5")
    figures = measure_owed(tmp_path, tmp_path / "owed")
    keep_figures("backlog", figures)
    print(json.dumps(figures, indent=2))
    most_memory = max(
        float(str(value)) for name, value in figures.items() if name.startswith("memory")
    )
    assert most_memory <= 250
    assert float(str(figures["start after kill -9, s"])) <= 3
    assert float(str(figures["find by patient p50, ms"])) <= 100
    for what in ("to another channel", "to the channel that owes"):
        assert float(str(figures[f"{what}, share of the empty engine's"])) >= 0.8


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_great_release_stops_nobody(tmp_path: Path) -> None:
    """A million deliveries are released while a sender beside them never waits a second."""
    built("build", tmp_path / "held", f"--messages={SIZE}", "--days=1", "--held")
    figures = measure_release(tmp_path, tmp_path / "held")
    keep_figures("release", figures)
    print(json.dumps(figures, indent=2))
    assert float(str(figures["longest ack meanwhile, ms"])) <= 1000


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_great_prune_stops_nobody(tmp_path: Path) -> None:
    """A day of a million messages is pruned while a sender beside it never waits a second."""
    built("build", tmp_path / "old", f"--messages={SIZE}", "--days=1", "--days-ago=30", "--settled")
    figures = measure_prune(tmp_path, tmp_path / "old")
    keep_figures("prune", figures)
    print(json.dumps(figures, indent=2))
    assert float(str(figures["bodies: longest ack meanwhile, ms"])) <= 1000
    assert float(str(figures["day: longest ack meanwhile, ms"])) <= 1000
