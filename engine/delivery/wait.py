"""
A lane's wait between two tries; where the receiver could not be reached it ends early.

Rules of this file: one wait at a time; a receiver that is away is looked for from time to time. One
that can be reached, but hangs up on what it gets, may have taken it: there the whole wait counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.delivery.lane_seams import PROBE_EVERY_S, TROUBLE
from engine.model.states import AttemptOutcome


class Wait:
    """
    The wait of one lane.

    Args:
        reactor: has ``callLater``.
        probe: sees whether the receiver can be reached, and tells.
        over: called at its end, never from within.
    """

    __slots__ = ("_is_away", "_is_trouble", "_over", "_probe", "_reactor", "_timer")

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
        #: the receiver could not be reached, or the connection broke: it is looked for
        self._is_trouble = False
        #: it was found away, so that its coming back is news
        self._is_away = False

    @property
    def is_on(self) -> bool:
        """Return whether the lane waits."""
        return self._timer is not None

    def learn(self, outcome: AttemptOutcome | None) -> None:
        """Take in how the last try ended; None says nothing against the receiver."""
        self._is_trouble = outcome in TROUBLE
        self._is_away = outcome is AttemptOutcome.REFUSED

    def begin(self, seconds: float) -> None:
        """Wait, whatever was waited for before."""
        self.stop()
        step_s = min(seconds, PROBE_EVERY_S) if self._is_trouble else seconds
        self._timer = self._reactor.callLater(step_s, self._waited, seconds - step_s)

    def stop(self) -> None:
        """Wait no more, and tell nobody."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def peer_is_back(self) -> None:
        """End a wait that began because the receiver could not be reached."""
        if self.is_on and self._is_away:
            self.stop()
            self.learn(None)
            self._over()

    def _waited(self, left_s: float) -> None:
        self._timer = None
        if left_s <= 0.0:
            self._over()
            return
        self.begin(left_s)
        self._probe(self._probed)

    def _probed(self, is_there: bool) -> None:
        if is_there:
            self.peer_is_back()
        elif self._is_trouble:
            self._is_away = True
