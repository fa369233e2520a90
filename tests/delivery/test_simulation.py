"""
Lane and store under random trouble; one number repeats any run.

    MEDBUS_SEED=1234 pytest tests/delivery/test_simulation.py
"""

from __future__ import annotations

import os
from collections import Counter

import pytest

from tests.support.simulation import simulate

SEED = int(os.environ.get("MEDBUS_SEED", "-1"))


def run(seeds: range) -> None:
    """Simulate each seed; name the one that fails."""
    happened: Counter[str] = Counter()
    for seed in [SEED] if SEED >= 0 else seeds:
        try:
            happened += simulate(seed).steps
        except Exception as error:
            raise AssertionError(f"MEDBUS_SEED={seed}: {type(error).__name__}: {error}") from error
    assert happened["crash"] > 0 or SEED >= 0


def test_nothing_is_lost_swapped_or_doubled() -> None:
    """In any order of events, crashes included, every delivery arrives in order or is visible."""
    run(range(150))


def test_a_page_read_while_followers_are_let_go_passes_nobody() -> None:
    """A page from behind the cursor never overtakes what has just been let go before it."""
    simulate(368)
    simulate(877)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_thousands_of_worlds() -> None:
    """The same for many thousand seeds."""
    run(range(1000, 1000 + int(os.environ.get("MEDBUS_SEEDS", "5000"))))
