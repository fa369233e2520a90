"""Time as a thing that is handed in; only floor 5 and up make a real one."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Two readings: what the wall says, and what only ever grows."""

    def now(self) -> float:
        """Return UTC, seconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never run backwards; for waits and time-outs."""
        ...


class FixedClock:
    """A clock for tests: it moves only when told."""

    def __init__(self, now: float = 1_793_500_200.0) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> float:
        """Return the wall time last set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds advanced so far."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let both readings move on."""
        self._now += seconds
        self._monotonic += seconds

    def jump(self, seconds: float) -> None:
        """Move the wall only, as an administrator would."""
        self._now += seconds
