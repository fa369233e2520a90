"""What a run is told of the outside: when and where a message arrived, and which keys to use."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from functools import lru_cache
from typing import Protocol

from engine.pipeline.values import Moment


@dataclass(frozen=True, slots=True)
class Arrived:
    """The facts of one arrival; the only time and the only id a run ever sees."""

    message_id: str
    #: UTC seconds since the epoch
    received_at: float
    inbound: str
    site: str
    timezone: tzinfo = field(default=UTC)


class Keys(Protocol):
    """Keyed hashing, handed in so that tests run with a fixed key."""

    def order_key(self, outbound: str, text: str) -> bytes:
        """Return 8 bytes that stand for the order key *text* of *outbound*."""
        ...

    def named_key(self, name: str) -> bytes:
        """Return the 32 bytes of the named key *name*, for pseudonyms."""
        ...


class FixedKeys:
    """Keys for tests and checks: the same on every machine, good for nothing else."""

    def order_key(self, outbound: str, text: str) -> bytes:
        """Return the first 8 bytes of a plain digest."""
        from hashlib import blake2b

        return blake2b(f"{outbound}\0{text}".encode(), digest_size=8, key=b"test").digest()

    def named_key(self, name: str) -> bytes:
        """Return a key that depends on the name alone."""
        from hashlib import sha256

        return sha256(b"test key " + name.encode()).digest()


@lru_cache(maxsize=4)
def moment_at(received_at: float, timezone: tzinfo) -> Moment:
    """Return *received_at* as a value that prints as an HL7 time with zone."""
    local = datetime.fromtimestamp(received_at, timezone)
    moment = Moment(local.strftime("%Y%m%d%H%M%S%z"))
    moment.at = received_at
    return moment
