"""
Taking turns: a rush of frames is worked off a few at a time, so that lanes and acks come between.

Rules of this file: what is added is done in its order; the first after a pause is done at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

#: how many are done before everything else on the loop has its turn
_AT_ONCE = 2

Work = Callable[[], None]


class Turns:
    """
    Work that gives way to everything else on the loop.

    Args:
        call_soon: runs a function in the loop's next round.
    """

    def __init__(self, call_soon: Callable[[Work], Any]) -> None:
        self._call_soon = call_soon
        self._waiting: deque[Work] = deque()
        #: the next round is asked for: until then whatever comes has to wait
        self._is_due = False

    def add(self, work: Work) -> None:
        """Do *work* now, or in its turn where others were first."""
        if self._is_due:
            self._waiting.append(work)
        else:
            self._is_due = True
            self._call_soon(self._do_some)
            work()

    def _do_some(self) -> None:
        """Do a few; whatever goes wrong with one, the rest has its turn."""
        try:
            for _ in range(min(_AT_ONCE, len(self._waiting))):
                self._waiting.popleft()()
        finally:
            self._is_due = bool(self._waiting)
            if self._is_due:
                self._call_soon(self._do_some)
