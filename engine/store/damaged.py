"""
Stored bytes that cannot be opened: told at once, never sent, everything else goes on.

Rules of this file: called from any thread; what is written is written by a chore.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.model.records import Settlement
from engine.store.core import Core
from engine.store.records import StoreAlarm


class Damaged:
    """
    Raises the alarms.

    Args:
        settle: commits a settlement; writer's thread.
    """

    def __init__(self, core: Core, settle: Callable[[Settlement], object]) -> None:
        self._core = core
        self._settle = settle

    def park(self, delivery_id: str, settlement: Settlement) -> None:
        """A lane found a delivery whose bytes cannot be opened: park it."""

        def park() -> bool:
            self._settle(settlement)
            return False

        self._core.set_alarm(
            f"damaged {delivery_id}",
            StoreAlarm(
                "STO-009",
                f"the stored bytes of {delivery_id} cannot be opened; it is parked",
                where=delivery_id,
                fix="the file or the key ring was changed; restore from a backup",
            ),
        )
        self._core.add_chore(f"park {delivery_id}", park)
