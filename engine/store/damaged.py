"""
Stored bytes that cannot be opened: told at once, never sent, everything else goes on.

They are found by whoever reads them, so that looking for them costs nothing. Rules of this file:
called from any thread; what is written is written by a chore.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from engine.model.errors import Sealed
from engine.model.records import Park, Settlement
from engine.model.states import DeliveryState, ParkCode
from engine.store.core import Core
from engine.store.records import StoreAlarm
from engine.store.tokens import NO_LANE

#: an alarm names so many and counts the rest
_NAMED = 5


class Damaged:
    """
    Raises the alarms, one per day.

    Args:
        settle: commits a settlement; writer's thread.
    """

    def __init__(self, core: Core, settle: Callable[[Settlement], object]) -> None:
        self._core = core
        self._settle = settle
        self._lock = threading.Lock()
        #: ids by day, in the order they were found
        self._found: dict[str, dict[str, None]] = {}

    def tell(self, identity: str) -> Sealed:
        """Let everybody know of a message or delivery; return the error for who asked for it."""
        day = identity[:8]
        with self._lock:
            found = self._found.setdefault(day, {})
            is_new = identity not in found
            found[identity] = None
            alarm = StoreAlarm(
                "STO-009",
                f"{_name(list(found))} cannot be opened",
                where=str(self._core.files.path(day)),
                fix="the file or the key ring was changed: check the disk, and read them from a"
                " backup in another folder (docs/operations.md)",
            )
            if is_new:
                self._core.set_alarm(f"damaged {day}", alarm)
        return Sealed(
            f"the stored bytes of {identity} cannot be opened",
            code="STO-009",
            where=alarm.where,
            fix=alarm.fix,
        )

    def park(self, delivery_id: str) -> None:
        """A lane came to a delivery whose bytes cannot be opened: it needs a person."""
        self.tell(delivery_id)
        settlement = Settlement(
            delivery_id,
            NO_LANE,
            DeliveryState.PARKED,
            park=Park(ParkCode.DAMAGED, "its stored bytes cannot be opened"),
        )

        def park() -> bool:
            self._settle(settlement)
            return False

        self._core.add_chore(f"park {delivery_id}", park)


def _name(found: list[str]) -> str:
    rest = len(found) - _NAMED
    more = f" and {rest} more" if rest > 0 else ""
    return f"the stored bytes of {', '.join(found[:_NAMED])}{more}"
