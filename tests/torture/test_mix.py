"""Everything at once, at random: one short run here, twelve longer ones with `make torture`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.torture.mix import run_mix, summarize
from tests.torture.report import keep_figures

SEEDS = range(1, 13)


@pytest.mark.fault(49, "an operator, refusals and kills at random, 8 s", "I1-I10 hold")
@pytest.mark.timeout(300)
def test_a_short_mix_breaks_nothing(tmp_path: Path) -> None:
    """Refusals, merges, an operator's acts and kills together lose nothing and keep the order."""
    mix = run_mix(tmp_path, 8, seed=1)
    print(json.dumps(summarize([mix])))
    assert mix.broken == []
    assert mix.acted, "nothing was done to it"
    assert mix.verdict.acked > 50, "too little load to mean anything"


@pytest.mark.fault(49, "an operator, refusals and kills at random, 12 seeds", "I1-I10 hold")
@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_many_mixes_break_nothing(tmp_path: Path) -> None:
    """Whatever twelve seeds mix, nothing is lost, and nothing passes what it must wait for."""
    mixes = [run_mix(tmp_path / str(seed), 20, seed) for seed in SEEDS]
    keep_figures("mix", summarize(mixes))
    print(json.dumps(summarize(mixes), indent=2))
    assert [row for mix in mixes for row in mix.broken] == []
    assert sum(mix.kills for mix in mixes) >= len(SEEDS), "too few kills to mean anything"
    assert sum(mix.verdict.acked for mix in mixes) > 100 * len(SEEDS), "too little load"
