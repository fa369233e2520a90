"""kill -9 under load: in small here, two hundred times with `make torture`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.torture.report import keep_figures
from tests.torture.run import run_kills


@pytest.mark.fault(1, "kill -9 at random x20 under load", "I1-I10 hold")
def test_twenty_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    """Killed at twenty random moments under load, it loses no acked message and keeps order."""
    run = run_kills(tmp_path, kills=10, seed=2, longest_s=0.5)
    print(json.dumps(run.summary()))
    assert run.verdict.broken == []
    assert run.kills + run.kills_while_starting >= 20
    assert run.verdict.acked > 50, "too little load to mean anything"


@pytest.mark.fault(1, "kill -9 at random under load, as often as asked", "I1-I10 hold")
@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_many_kills_under_load_lose_nothing(tmp_path: Path) -> None:
    """Killed as often as MEDBUS_KILLS says, the engine loses no acked message and keeps order."""
    kills = int(os.environ.get("MEDBUS_KILLS", "200"))
    run = run_kills(tmp_path, kills=kills, seed=int(os.environ.get("MEDBUS_SEED", "1")))
    keep_figures("kills", run.summary())
    print(json.dumps(run.summary(), indent=2))
    assert run.verdict.broken == []
    assert run.verdict.acked > kills * 20, "too little load to mean anything"
