"""
A lane's settlements on their way to the store.

Rules of this file: what a store puts off is submitted again until the lane stops; nothing is sent
again for that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.delivery.lane_seams import FULL_WAIT_S, LaneSeams, is_put_off
from engine.model.errors import Fenced
from engine.model.records import DueDelivery, Settlement
from engine.model.states import DeliveryState

#: the delivery, its settlement, and what the store said
Told = Callable[[DueDelivery, Settlement, Any], None]


class Unsettled:
    """
    The settlements of one lane that are not committed yet.

    Args:
        told: hears what the store said to a settlement, when it is no longer in here.
    """

    __slots__ = ("_count_by_id", "_is_stopped", "_seams", "_told", "has_barrier")

    def __init__(self, seams: LaneSeams, told: Told) -> None:
        self._seams = seams
        self._told = told
        self._count_by_id: dict[str, int] = {}
        self._is_stopped = False
        #: one that parks is among them: what follows may be held
        self.has_barrier = False

    def __len__(self) -> int:
        """Return how many deliveries are concerned."""
        return len(self._count_by_id)

    def __contains__(self, delivery_id: str) -> bool:
        return delivery_id in self._count_by_id

    def add(self, delivery: DueDelivery, settlement: Settlement) -> None:
        """Have *settlement* committed."""
        name = settlement.delivery_id
        self._count_by_id[name] = self._count_by_id.get(name, 0) + 1
        self.has_barrier |= settlement.state is DeliveryState.PARKED
        self.submit(delivery, settlement, self._committed)

    def submit(self, delivery: DueDelivery, settlement: Settlement, told: Told) -> None:
        """Have something committed beside the queue's own order."""

        def answered(result: Any) -> None:
            if is_put_off(result) and not self._is_stopped:
                again = self._seams.reactor.callLater
                again(FULL_WAIT_S, self.submit, delivery, settlement, told)
            else:
                told(delivery, settlement, result)

        self._seams.submit(settlement, answered)

    def stop(self) -> None:
        """Submit nothing again."""
        self._is_stopped = True

    def _committed(self, delivery: DueDelivery, settlement: Settlement, result: Any) -> None:
        left = self._count_by_id.pop(settlement.delivery_id, 1) - 1
        if left:
            self._count_by_id[settlement.delivery_id] = left
        if settlement.state is DeliveryState.PARKED and not isinstance(result, Fenced):
            self.has_barrier = False
        self._told(delivery, settlement, result)
