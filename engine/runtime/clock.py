"""The machine's own clock; the one place where the engine reads the time."""

from __future__ import annotations

import time


class SystemClock:
    """Wall time in UTC seconds, and seconds that never run backwards."""

    def now(self) -> float:
        """Return UTC, seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return time.monotonic()
