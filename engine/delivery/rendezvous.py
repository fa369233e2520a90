"""
Where lanes meet: a delivery with keys of several lanes (a merge) goes out when all have reached it.

Rules of this file: the lane of the first key sends; the others stand at it until it is settled.
Every lane goes in accept order, so two lanes never wait for each other.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from engine.model.records import DueDelivery

#: settled deliveries that are remembered, for lanes whose page still shows them
_MOST_GONE = 10_000


def lane_of(key: bytes, lanes: int) -> int:
    """Return the lane of an order key."""
    return int.from_bytes(key, "big") % lanes


def lanes_of(delivery: DueDelivery, lanes: int) -> list[int]:
    """Return the lanes of a delivery's keys, that of the first key first; lane 0 without keys."""
    keys = delivery.order_keys
    if not keys:
        return [0]
    if len(keys) == 1:
        return [lane_of(keys[0], lanes)]
    return list(dict.fromkeys([lane_of(key, lanes) for key in keys]))


class Rendezvous:
    """Which lanes stand at which delivery."""

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._standing: dict[str, set[int]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()

    def reach(self, lane: int, delivery: DueDelivery) -> tuple[bool, int | None]:
        """
        Note that *lane* stands at *delivery*.

        Returns:
            Whether this lane may send it now, and which other lane should look again, if any.
        """
        concerned = lanes_of(delivery, self._lanes)
        if len(concerned) == 1:
            return True, None
        standing = self._standing.setdefault(delivery.delivery_id, set())
        is_news = lane not in standing
        standing.add(lane)
        is_complete = len(standing) == len(concerned)
        if lane == concerned[0]:
            return is_complete, None
        return False, concerned[0] if is_complete and is_news else None

    def leave(self, delivery: DueDelivery) -> list[int]:
        """Note that *delivery* is settled; return the lanes that stand or will stand at it."""
        self._standing.pop(delivery.delivery_id, None)
        concerned = lanes_of(delivery, self._lanes)
        if len(concerned) > 1:
            self._gone[delivery.delivery_id] = None
            if len(self._gone) > _MOST_GONE:
                self._gone.popitem(last=False)
        return concerned

    def is_gone(self, delivery: DueDelivery) -> bool:
        """Return whether *delivery* was settled by another lane."""
        return delivery.delivery_id in self._gone

    def forget(self, delivery_ids: Iterable[str]) -> None:
        """Forget who stands at deliveries that are held now."""
        for delivery_id in delivery_ids:
            self._standing.pop(delivery_id, None)

    def reset(self) -> None:
        """Forget who stands where: the queues are read anew."""
        self._standing.clear()
        self._gone.clear()
