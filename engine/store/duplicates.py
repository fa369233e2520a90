"""
Which identities were seen: a filter that says "surely new" without touching the disk.

A bit per identity in 16 MB of memory, filled from the days within the window. With a million
messages in it one new message in a hundred and thirty is looked up in vain; none is missed.
"""

from __future__ import annotations

from struct import Struct

from engine.security.keyed_hash import HASH_BYTES

_BITS = 27
_MASK = (1 << _BITS) - 1
_HASH = Struct(">Q")


class SeenFilter:
    """Answers "may have been seen"; never forgets."""

    def __init__(self) -> None:
        self._bits = bytearray(1 << (_BITS - 3))

    def add(self, identity: bytes) -> None:
        """Remember *identity*."""
        bit = int.from_bytes(identity, "big") & _MASK
        self._bits[bit >> 3] |= 1 << (bit & 7)

    def add_joined(self, joined: bytes) -> None:
        """Remember many, joined without separator."""
        bits = self._bits
        usable = len(joined) - len(joined) % HASH_BYTES
        for (value,) in _HASH.iter_unpack(joined[:usable]):
            bit = value & _MASK
            bits[bit >> 3] |= 1 << (bit & 7)

    def may_hold(self, identity: bytes) -> bool:
        """Return False when *identity* is surely new."""
        bit = int.from_bytes(identity, "big") & _MASK
        return bool(self._bits[bit >> 3] & (1 << (bit & 7)))
