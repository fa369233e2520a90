"""
The tries that the head of a lane has had since it was queued.

Rules of this file: earlier tries count against the budgets after a restart too, so they are read
from the store before the first try of a delivery that has had some.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.delivery.lane_seams import LaneSeams
from engine.delivery.tries import NO_TRIES, Tries, tries_of
from engine.model.records import Attempt, DueDelivery


class HeadTries:
    """What is known of one delivery's tries."""

    __slots__ = ("_is_loading", "_name", "_seams", "tries")

    def __init__(self, seams: LaneSeams) -> None:
        self._seams = seams
        self._is_loading = False
        self._name = ""
        self.tries = NO_TRIES

    def forget(self) -> None:
        """Others may have changed the delivery."""
        self._name, self.tries = "", NO_TRIES

    def are_known(self, head: DueDelivery) -> bool:
        """Return whether `tries` are those of *head*."""
        if self._name != head.delivery_id:
            if head.attempts:
                return False
            self._name, self.tries = head.delivery_id, NO_TRIES
        return True

    def add(self, attempt: Attempt) -> None:
        """Note one more."""
        self.tries = self.tries.plus_stored(attempt)

    def load(self, head: DueDelivery, done: Callable[[Tries], None]) -> None:
        """Have them read; whether they are still wanted is for *done* to see."""
        if self._is_loading:
            return
        self._is_loading = True

        def got(stored: Any) -> None:
            self._is_loading = False
            known = [] if isinstance(stored, Exception) else stored[-head.attempts :]
            done(tries_of(each.attempt for each in known))

        self._seams.read(lambda store: store.get_attempts(head.delivery_id), got)

    def know(self, head: DueDelivery, tries: Tries) -> None:
        """Take over what was read."""
        self._name, self.tries = head.delivery_id, tries
