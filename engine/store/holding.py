"""
Who waits behind whom: the parked keys and halts of each outbound channel, in memory.

A delivery parked with hold_key *holds* its order keys until it is settled or released: what
comes later and shares one waits. A waiting delivery with several keys (a merge) holds its other
keys too, or a later message would overtake it on those.

Rules of this file: no rows, no clock; may be asked from any thread.
"""

from __future__ import annotations

import threading
from bisect import insort
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

#: (seq, place): the order of deliveries
Place: TypeAlias = tuple[int, int]
Keys: TypeAlias = tuple[bytes, ...]

#: before everything
START: Place = (0, 0)


class Halt(NamedTuple):
    """A parked delivery that stops its lanes."""

    delivery_id: str
    keys: Keys


def split_keys(blob: bytes | None) -> Keys:
    """Return the order keys of a stored row."""
    if not blob:
        return ()
    if len(blob) == 8:
        return (blob,)
    return tuple(blob[start : start + 8] for start in range(0, len(blob), 8))


def lanes_of(keys: Keys, lanes: int) -> frozenset[int]:
    """Return every lane a delivery belongs to; the first key's lane sends it."""
    if lanes == 1 or not keys:
        return frozenset((0,))
    return frozenset(int.from_bytes(key, "big") % lanes for key in keys)


class _Channel:
    """The holds of one outbound channel."""

    __slots__ = ("by_key", "drained_to", "draining", "halts", "holders", "merges")

    def __init__(self) -> None:
        #: parked, or requeued and not settled
        self.holders: dict[Place, Keys] = {}
        #: not final, with several keys
        self.merges: dict[Place, Keys] = {}
        #: derived from the two: places that hold a key, in order
        self.by_key: dict[bytes, list[Place]] = {}
        #: freed, but followers are still being moved: new ones queue up behind them
        self.draining: set[bytes] = set()
        #: followers of draining keys up to here have been moved
        self.drained_to: Place = START
        self.halts: dict[Place, Halt] = {}

    def hold(self, place: Place, keys: Keys) -> Keys:
        """
        Let *place* hold *keys*, and every merge behind it that shares one hold its own.

        Returns:
            All keys that are held by that: *keys* first.
        """
        waiting, found = [(place, keys)], dict.fromkeys(keys)
        while waiting:
            at, held = waiting.pop()
            found.update(dict.fromkeys(held))
            for key in held:
                places = self.by_key.setdefault(key, [])
                if at not in places:
                    insort(places, at)
            if self.merges:
                shared = frozenset(held)
                waiting += [
                    (merge, merge_keys)
                    for merge, merge_keys in self.merges.items()
                    if merge > at
                    and not shared.isdisjoint(merge_keys)
                    and merge not in self.by_key.get(merge_keys[0], ())
                ]
        return tuple(found)

    def derive(self) -> frozenset[bytes]:
        """Work out by_key anew; return the keys whose first holder went or moved back."""
        before = {key: places[0] for key, places in self.by_key.items()}
        self.by_key = {}
        for place, keys in sorted(self.holders.items()):
            self.hold(place, keys)
        freed = set()
        for key, first in before.items():
            now = self.by_key.get(key)
            if now is None or now[0] > first:
                freed.add(key)
        return frozenset(freed)

    def drop(self, place: Place) -> frozenset[bytes]:
        merged = self.merges.pop(place, None)
        keys = self.holders.pop(place, merged)
        if keys is None:
            return frozenset()
        if self.merges:
            return self.derive()
        # Without merges nothing is derived: only this place's own keys can become free.
        freed = set()
        for key in keys:
            places = self.by_key.get(key, [])
            if place in places:
                if places[0] == place:
                    freed.add(key)
                places.remove(place)
                if not places:
                    del self.by_key[key]
        return frozenset(freed)

    def drain(self, keys: Iterable[bytes]) -> None:
        """
        Let *keys* drain, and with them the other keys of every merge on one of them.

        The merge may not go before the drain is past it; nothing newer may overtake it meanwhile.
        """
        self.draining.update(keys)
        known = -1
        while known != len(self.draining):
            known = len(self.draining)
            for merged in self.merges.values():
                if not self.draining.isdisjoint(merged):
                    self.draining.update(merged)

    def drain_anew(self, keys: Iterable[bytes]) -> None:
        """Let *keys* drain from the start."""
        if keys:
            self.drain(keys)
            self.drained_to = START


class Holding:
    """All holds of a store."""

    def __init__(self) -> None:
        self._channels: dict[str, _Channel] = {}
        self._lock = threading.Lock()

    # -- changes, writer's thread --------------------------------------------------------------

    def add_holder(self, outbound: str, place: Place, keys: Keys) -> Keys:
        """A delivery was parked with hold_key; return all keys held by that, its own first."""
        with self._lock:
            channel = self._channel(outbound)
            channel.holders[place] = keys
            return channel.hold(place, keys)

    def add_merge(self, outbound: str, place: Place, keys: Keys) -> None:
        """A delivery with several keys is owed."""
        with self._lock:
            self._add_merge(self._channel(outbound), place, keys)

    def drop(self, outbound: str, place: Place) -> frozenset[bytes]:
        """
        A delivery was settled or released; return the keys whose followers may go now.

        They count as draining until ``drained``.
        """
        with self._lock:
            channel = self._channels.get(outbound)
            if channel is None:
                return frozenset()
            freed = channel.drop(place)
            channel.drain_anew(freed)
            return freed

    def forget(self, outbound: str, place: Place) -> None:
        """Take back what was added for a new *place*: its transaction was rolled back."""
        with self._lock:
            channel = self._channels.get(outbound)
            if channel is not None:
                channel.halts.pop(place, None)
                channel.drop(place)

    def forget_park(self, outbound: str, place: Place) -> None:
        """Take back that *place* was parked: it is owed as before, and may be a merge."""
        with self._lock:
            channel = self._channel(outbound)
            merged = channel.merges.get(place)
            channel.halts.pop(place, None)
            channel.drop(place)
            if merged is not None:
                self._add_merge(channel, place, merged)

    def start_draining(self, outbound: str, keys: Iterable[bytes]) -> None:
        """Followers of *keys* are about to be moved (again)."""
        with self._lock:
            self._channel(outbound).drain_anew(keys)

    def drain_to(self, outbound: str, place: Place) -> None:
        """Followers up to *place* have been moved."""
        with self._lock:
            self._channel(outbound).drained_to = place

    def drained(self, outbound: str) -> None:
        """All followers that may go are gone."""
        with self._lock:
            self._channel(outbound).draining.clear()

    def add_halt(self, outbound: str, place: Place, halt: Halt) -> None:
        """A delivery was parked with halt."""
        with self._lock:
            self._channel(outbound).halts[place] = halt

    def drop_halt(self, outbound: str, place: Place) -> None:
        """It was requeued, released or cancelled, if it was a halt."""
        with self._lock:
            channel = self._channels.get(outbound)
            if channel is not None:
                channel.halts.pop(place, None)

    def clear(self, outbound: str) -> None:
        """Forget a channel, to be filled anew from its rows."""
        with self._lock:
            self._channels.pop(outbound, None)

    # -- questions, any thread -----------------------------------------------------------------

    def blocks(
        self, outbound: str, keys: Keys, place: Place, *, apart_from: Place | None = None
    ) -> bool:
        """Return whether something before *place* (but *apart_from*) holds one of *keys*."""
        channel = self._channels.get(outbound)
        if channel is None or not channel.by_key:
            return False
        with self._lock:
            return self._blocks(channel, keys, place, apart_from)

    def delays(self, outbound: str, keys: Keys, place: Place) -> bool:
        """
        Return whether a pending delivery may not be sent yet.

        It waits behind a holder, or for followers in front of it that have not been moved yet.
        """
        channel = self._channels.get(outbound)
        if channel is None or not (channel.by_key or channel.draining):
            return False
        with self._lock:
            return self._blocks(channel, keys, place) or (
                place > channel.drained_to and not channel.draining.isdisjoint(keys)
            )

    def blocks_new(self, outbound: str, keys: Keys) -> bool:
        """Return whether a new delivery with *keys* has to wait."""
        channel = self._channels.get(outbound)
        if channel is None or not (channel.by_key or channel.draining):
            return False
        with self._lock:
            return any(key in channel.by_key or key in channel.draining for key in keys)

    def is_halted(self, outbound: str, lane: int, lanes: int) -> Place | None:
        """Return the place of the first halt of this lane, None when it may go."""
        channel = self._channels.get(outbound)
        if channel is None or not channel.halts:
            return None
        with self._lock:
            places = [
                place for place, halt in channel.halts.items() if lane in lanes_of(halt.keys, lanes)
            ]
        return min(places, default=None)

    def halts(self, outbound: str) -> tuple[str, ...]:
        """Return the ids of the deliveries that halt lanes of this channel."""
        channel = self._channels.get(outbound)
        if channel is None or not channel.halts:
            return ()
        with self._lock:
            return tuple(channel.halts[place].delivery_id for place in sorted(channel.halts))

    def holds(self, outbound: str) -> bool:
        """Return whether any key is held or draining."""
        channel = self._channels.get(outbound)
        return channel is not None and bool(channel.by_key or channel.draining)

    def held_keys(self, outbound: str) -> frozenset[bytes]:
        """Return every key held or draining."""
        channel = self._channels.get(outbound)
        if channel is None:
            return frozenset()
        with self._lock:
            return frozenset(channel.by_key) | channel.draining

    def draining(self, outbound: str) -> frozenset[bytes]:
        """Return the keys whose followers are being moved."""
        channel = self._channels.get(outbound)
        if channel is None:
            return frozenset()
        with self._lock:
            return frozenset(channel.draining)

    # -- inside --------------------------------------------------------------------------------

    def _channel(self, outbound: str) -> _Channel:
        channel = self._channels.get(outbound)
        if channel is None:
            channel = self._channels[outbound] = _Channel()
        return channel

    def _add_merge(self, channel: _Channel, place: Place, keys: Keys) -> None:
        channel.merges[place] = keys
        if self._blocks(channel, keys, place):
            channel.hold(place, keys)
        elif not channel.draining.isdisjoint(keys):
            # It queues up behind the followers of one key.
            channel.drain(keys)

    @staticmethod
    def _blocks(
        channel: _Channel, keys: Keys, place: Place, apart_from: Place | None = None
    ) -> bool:
        for key in keys:
            for holder in channel.by_key.get(key, ()):
                if holder >= place:
                    break
                if holder != apart_from:
                    return True
        return False
