"""
The audit chain: every record carries a MAC over itself and the one before.

An edited, removed or inserted record breaks the chain at its place. A chain cut at its end is
still a chain: that is found by comparing with a head (number and MAC) kept elsewhere.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass

#: what the first record is chained to
START = bytes(32)


@dataclass(frozen=True, slots=True)
class Link:
    """One record as it is stored."""

    seq: int
    record: bytes
    mac: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record a chain is known to have had."""

    seq: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.seq}:{self.mac.hex()}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read what str() gave; raise ValueError otherwise."""
        seq, _, mac = text.strip().partition(":")
        return cls(int(seq), bytes.fromhex(mac))


def chain_mac(key: bytes, before: bytes, seq: int, record: bytes) -> bytes:
    """Return the MAC of record number *seq* behind the MAC *before*."""
    return hmac.digest(key, before + seq.to_bytes(8, "big") + record, "sha256")


def find_break(
    key: bytes, links: Iterable[Link], *, heads: Iterable[Head] = ()
) -> tuple[int, str, Head]:
    """
    Check a whole chain.

    Args:
        links: all of them, oldest first.
        heads: heads kept elsewhere; the chain must contain each.

    Returns:
        How many records hold, what is wrong ("" when nothing is), and the head found.
    """
    wanted = {head.seq: head.mac for head in heads if head.seq}
    before, last = START, 0
    for link in links:
        if link.seq != last + 1:
            return last, f"record {last + 1} is missing", Head(last, before)
        mac = chain_mac(key, before, link.seq, link.record)
        if not hmac.compare_digest(mac, link.mac):
            return last, f"record {link.seq} was changed", Head(last, before)
        if link.seq in wanted and not hmac.compare_digest(wanted.pop(link.seq), mac):
            return last, f"record {link.seq} is not the one that was noted", Head(last, before)
        before, last = mac, link.seq
    if wanted:
        return last, f"the end is cut off: record {max(wanted)} was there once", Head(last, before)
    return last, "", Head(last, before)
