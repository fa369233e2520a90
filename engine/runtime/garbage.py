"""What the garbage collector need not look at again and again."""

from __future__ import annotations

import gc

#: a message makes hundreds of objects and few cycles: look seldom, and seldom at the old ones
#: (for large messages the collector is called by their bytes: engine.intake.budget)
_THRESHOLDS = (20_000, 20, 50)


def spare_the_collector() -> None:
    """Take what the start has made out of the collector's sight: it stays as long as we run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
