"""Minutes of load and faults at random: nothing lost, nothing out of order, no leak."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.torture.report import keep_figures
from tests.torture.soak import run_soak

MINUTES = float(os.environ.get("MEDBUS_SOAK", "5"))


@pytest.mark.fault(
    49, "soak at twice the senders, faults at random", "I1-I10; memory and files level"
)
@pytest.mark.torture
@pytest.mark.timeout(172_800)
def test_soak(tmp_path: Path) -> None:
    """As long as MEDBUS_SOAK says, faults at random break no invariant and nothing leaks."""
    soak = run_soak(tmp_path, MINUTES, int(os.environ.get("MEDBUS_SEED", "1")))
    keep_figures("soak", soak.summary())
    print(json.dumps(soak.summary(), indent=2))
    assert soak.verdict.broken == []
    assert soak.verdict.acked > 100 * MINUTES, "too little load to mean anything"
    assert soak.memory_growth_mb < 30
    assert max(soak.files) < 120
