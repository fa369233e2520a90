"""
A time limit that is set and lifted with every message, at the cost of a timer now and then.

Rules of this file: a timer that comes before the limit is set again for the rest; lifting a limit
leaves the timer standing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: a timer that comes so much too early is in time
_EARLY_S = 0.001


class Deadline:
    """
    One time limit.

    Args:
        reactor: has ``seconds`` and ``callLater``.
        passed: called when the limit has passed.
    """

    __slots__ = ("_limit", "_passed", "_reactor", "_timer", "_timer_at")

    def __init__(self, reactor: Any, passed: Callable[[], None]) -> None:
        self._reactor = reactor
        self._passed = passed
        self._limit: float | None = None
        self._timer: Any = None
        self._timer_at = 0.0

    def set(self, seconds: float) -> None:
        """Have it pass in *seconds*, whatever was set before."""
        limit = self._limit = self._reactor.seconds() + seconds
        if self._timer is not None and self._timer_at > limit:
            self.cancel()
            self._limit = limit
        if self._timer is None:
            self._start(seconds)

    def lift(self) -> None:
        """Let it not pass."""
        self._limit = None

    def cancel(self) -> None:
        """Let it not pass, and leave no timer behind."""
        self._limit = None
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _start(self, seconds: float) -> None:
        self._timer_at = self._reactor.seconds() + seconds
        self._timer = self._reactor.callLater(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._limit is None:
            return
        left_s = self._limit - self._reactor.seconds()
        if left_s > _EARLY_S:
            self._start(left_s)
            return
        self._limit = None
        self._passed()
