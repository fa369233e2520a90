"""
Lane and store under random trouble; one number repeats any run.

    MEDBUS_SEED=1234 pytest tests/delivery/test_simulation.py
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from tests.support.simulation import simulate

SEED = int(os.environ.get("MEDBUS_SEED", "-1"))
#: worlds of each kind in the long run; those on disk take ten times as long
SEEDS = int(os.environ.get("MEDBUS_SEEDS", "5000"))
#: what is proven here does not depend on a disk, and hundreds of small stores are quicker without
_MEMORY_DISK = next((one for one in ("/dev/shm",) if Path(one).is_dir()), None)


def run(seeds: range, *, on_disk: bool = False) -> Counter[str]:
    """Simulate each seed; name the one that fails; return what happened how often."""
    happened: Counter[str] = Counter()
    for seed in [SEED] if SEED >= 0 else seeds:
        folder = Path(tempfile.mkdtemp(dir=_MEMORY_DISK)) if on_disk else None
        try:
            happened += simulate(seed, folder / "data" if folder else None).steps
        except Exception as error:
            raise AssertionError(f"MEDBUS_SEED={seed}: {type(error).__name__}: {error}") from error
        finally:
            if folder:
                shutil.rmtree(folder)
    missing = {"crash", "midnight", "requeue", "rerun", "release", "cancel", "expire"} - {*happened}
    assert not missing or SEED >= 0, missing
    return happened


def test_nothing_is_lost_swapped_or_doubled() -> None:
    """In any order of events, crashes included, every delivery arrives in order or is visible."""
    run(range(150))


def test_on_disk_neither() -> None:
    """The same where followers and operations move slice by slice, and a crash forgets memory."""
    run(range(25), on_disk=True)


def test_a_page_read_while_followers_are_let_go_passes_nobody() -> None:
    """A page from behind the cursor never overtakes what has just been let go before it."""
    # This world comes upon it, were such a page given.
    simulate(749)


def test_no_lane_stands_at_a_merge_that_waits() -> None:
    """A merge that is held, and was in no lane's window when that began, stops nobody else."""
    simulate(793)
    simulate(1609)


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_thousands_of_worlds() -> None:
    """The same for many thousand seeds."""
    run(range(1000, 1000 + SEEDS))


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_hundreds_of_worlds_on_disk() -> None:
    """The same for hundreds of seeds on disk."""
    run(range(1000, 1000 + max(SEEDS // 10, 25)), on_disk=True)
