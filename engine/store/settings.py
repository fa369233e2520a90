"""How a store on disk is to behave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import time

from engine.store.failpoint import Failpoint, failpoint_from_environment

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Limits and seams; the defaults are for production."""

    #: sends of a lane that may be ahead of their committed settlement, 1 to 32
    settle_window: int = 1
    #: arrivals are refused below this much free space ...
    min_free_bytes: int = 512 * _MIB
    #: ... or below this share of the file system, counted up to 5 GiB
    min_free_share: float = 0.05
    #: on a small file system, no more than this share of it is kept free
    max_free_share: float = 0.25
    #: a day's file never grows beyond this; the last tenth is for settlements; 0: no limit
    max_day_bytes: int = 0
    #: kept back in a file of its own for settlements on a disk that something else has filled
    reserve_bytes: int = 16 * _MIB
    #: WAL bytes after which a file is checkpointed, off the accept path; less on a small disk
    checkpoint_bytes: int = 8 * _MIB
    #: wall clock for stamps of settlements without an attempt
    now: Callable[[], float] = time
    #: see failpoint.py
    failpoint: Failpoint | None = None

    def get_failpoint(self) -> Failpoint:
        """Return the failpoint to pass."""
        return self.failpoint or failpoint_from_environment()
