"""
How much of the disk is left, and whether that is enough to take messages in.

Settlements are never asked: what was accepted before goes on while arrivals are refused.
"""

from __future__ import annotations

import os
from pathlib import Path

from engine.store.records import StoreAlarm
from engine.store.settings import StoreSettings

_GIB = 1 << 30


class Room:
    """The file system of the data folder; any thread."""

    def __init__(self, folder: Path, settings: StoreSettings) -> None:
        self._folder = folder
        space = os.statvfs(folder)
        #: the size of the file system
        self.disk_bytes = space.f_blocks * space.f_frsize
        least = min(settings.min_free_bytes, self.disk_bytes * settings.max_free_share)
        share = min(self.disk_bytes * settings.min_free_share, 5 * _GIB)
        #: arrivals are refused while less than this is free
        self.least_bytes = int(max(least, share))

    def free_bytes(self) -> int:
        """Return what is free now."""
        space = os.statvfs(self._folder)
        return space.f_bavail * space.f_frsize

    def alarm(self) -> StoreAlarm | None:
        """Return what to tell while there is too little."""
        free = self.free_bytes()
        if free >= self.least_bytes:
            return None
        return StoreAlarm(
            "STO-013",
            f"senders get AE: {free // 1_000_000} MB of the disk are free,"
            f" {self.least_bytes // 1_000_000} MB are needed",
            where=str(self._folder),
            fix="make room, and it goes on by itself",
        )
