"""Message ids: the site's day when the frame was complete, and a number counted up from 1."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, tzinfo


class IdSource:
    """
    Draws message ids; gaps are legal, repeats are not.

    Args:
        next_number: first number of a day that no stored message has.
    """

    def __init__(self, zone: tzinfo, next_number: Callable[[str], int]) -> None:
        self._zone = zone
        self._next_number = next_number
        self._numbers: dict[str, int] = {}
        self._lock = threading.Lock()
        #: the second up to which the cached day holds
        self._day, self._day_from, self._day_until = "", 0.0, 0.0

    def draw(self, at: float) -> str:
        """Return a new id for a message that was complete at *at*."""
        with self._lock:
            if not self._day_from <= at < self._day_until:
                self._turn_day(at)
            number = self._numbers[self._day]
            self._numbers[self._day] = number + 1
        return f"{self._day}-{number}"

    def day_of(self, at: float) -> str:
        """Return the site's day, as ids begin with it."""
        return datetime.fromtimestamp(at, self._zone).strftime("%Y%m%d")

    def _turn_day(self, at: float) -> None:
        # Whole quarters of an hour: no zone changes its day in between.
        start = at - at % 900.0
        self._day = self.day_of(at)
        self._day_from, self._day_until = start, start + 900.0
        if self._day not in self._numbers:
            self._numbers[self._day] = self._next_number(self._day)
