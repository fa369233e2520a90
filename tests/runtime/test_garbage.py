"""Tests of what the garbage collector is spared."""

from __future__ import annotations

import gc

from engine.runtime.garbage import spare_the_collector


def test_what_the_start_made_is_not_looked_at_again() -> None:
    """After the start the collector looks seldom, and not at what was there before."""
    before = gc.get_threshold()
    try:
        spare_the_collector()
        assert gc.get_freeze_count() > 1000
        assert gc.get_threshold()[0] > before[0]
        assert gc.isenabled()
    finally:
        gc.unfreeze()
        gc.set_threshold(*before)
