"""
A lane's wait between two tries; where the receiver could not be reached it ends early.

Rules of this file: one wait at a time; a receiver that is away is looked for from time to time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.delivery.lane_seams import PROBE_EVERY_S


class Wait:
    """
    The wait of one lane.

    Args:
        reactor: has ``callLater``.
        probe: sees whether the receiver can be reached, and tells.
        over: called at its end, never from within.
    """

    __slots__ = ("_over", "_probe", "_reactor", "_timer", "is_trouble")

    def __init__(
        self,
        reactor: Any,
        probe: Callable[[Callable[[bool], None]], None],
        over: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._probe = probe
        self._over = over
        self._timer: Any = None
        #: the receiver could not be reached, or the connection broke: it may end early
        self.is_trouble = False

    @property
    def is_on(self) -> bool:
        """Return whether the lane waits."""
        return self._timer is not None

    def begin(self, seconds: float) -> None:
        """Wait, whatever was waited for before."""
        self.stop()
        step_s = min(seconds, PROBE_EVERY_S) if self.is_trouble else seconds
        self._timer = self._reactor.callLater(step_s, self._waited, seconds - step_s)

    def stop(self) -> None:
        """Wait no more, and tell nobody."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def peer_is_back(self) -> None:
        """End a wait that began because the receiver could not be reached."""
        if self.is_on and self.is_trouble:
            self.stop()
            self.is_trouble = False
            self._over()

    def _waited(self, left_s: float) -> None:
        self._timer = None
        if left_s <= 0.0:
            self._over()
            return
        self.begin(left_s)
        self._probe(lambda is_there: self.peer_is_back() if is_there else None)
