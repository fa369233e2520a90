"""How much each outbound channel owes, per day and in all, kept in memory."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from engine.model.states import DeliveryState

OWED = (DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.PARKED)


class Depths:
    """Counts by (outbound, day, state); changed by the writer, read by anyone."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, DeliveryState]] = Counter()
        #: days that cannot be read any more
        self._forgotten: set[str] = set()
        self._lock = threading.Lock()

    def add(self, changes: Iterable[tuple[tuple[str, str, DeliveryState], int]]) -> None:
        """Apply the changes of one commit."""
        with self._lock:
            for key, change in changes:
                if change and key[2] in OWED and key[1] not in self._forgotten:
                    left = self._counts[key] + change
                    if left:
                        self._counts[key] = left
                    else:
                        del self._counts[key]

    def days(self, outbound: str, *states: DeliveryState) -> list[str]:
        """Return the days on which *outbound* has something in *states*, oldest first."""
        with self._lock:
            return sorted(
                {day for name, day, state in self._counts if name == outbound and state in states}
            )

    def total(self, outbound: str, state: DeliveryState) -> int:
        """Return how many of *state* there are, over all days."""
        with self._lock:
            return sum(
                count
                for (name, _, found), count in self._counts.items()
                if name == outbound and found is state
            )

    def outbounds(self) -> frozenset[str]:
        """Return the channels that owe anything."""
        with self._lock:
            return frozenset(name for name, _, _ in self._counts)

    def owed(self, day: str) -> dict[tuple[str, DeliveryState], int]:
        """Return what a day still owes."""
        with self._lock:
            return {
                (name, state): count
                for (name, found, state), count in self._counts.items()
                if found == day
            }

    def forget(self, day: str) -> None:
        """Drop a day that cannot be read any more."""
        with self._lock:
            self._forgotten.add(day)
            for key in [key for key in self._counts if key[1] == day]:
                del self._counts[key]
