"""
Room kept back for the day the disk is full to the last byte: a file that is given up then.

With it, what was accepted before can still be settled while something else has filled the disk.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


class Reserve:
    """One preallocated file; writer's thread only."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._path = folder / "reserve"
        self._size_bytes = size_bytes
        self._is_held = False

    def hold(self) -> None:
        """Take the room, where there is some and it is not taken yet."""
        if self._is_held or not self._size_bytes:
            return
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size_bytes)
            finally:
                os.close(descriptor)
            self._is_held = True
        except OSError:
            self.give_up()

    def give_up(self) -> None:
        """Let others have the room, until there is enough again."""
        self._is_held = False
        with suppress(OSError):
            self._path.unlink()
