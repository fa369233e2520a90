"""A rate as places in time: each send takes the next one."""

from __future__ import annotations


class Rate:
    """
    At most *per_s* sends a second, evenly spaced; the caller hands in monotonic seconds.

    Timers are never early: above ten a second up to a tenth of a second is made up for.
    """

    __slots__ = ("_late_s", "_next", "_step_s")

    def __init__(self, per_s: float) -> None:
        self._step_s = 1.0 / per_s
        self._late_s = 0.1 if per_s > 10 else 0.0
        self._next = float("-inf")

    def wait_s(self, now: float) -> float:
        """Take a place; return the seconds until it."""
        place = max(self._next, now - self._late_s)
        self._next = place + self._step_s
        return max(place - now, 0.0)
