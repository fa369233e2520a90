"""Small values packed into one, to be sealed with one call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from engine.model.records import Park, RouteResult
from engine.model.states import ParkCode, RouteOutcome

_LENGTH = Struct(">I")


def pack(*parts: bytes) -> bytes:
    """Return *parts* in one piece."""
    pieces: list[bytes] = []
    for part in parts:
        pieces.append(_LENGTH.pack(len(part)))
        pieces.append(part)
    return b"".join(pieces)


def unpack(packed: bytes) -> list[bytes]:
    """Return the parts that ``pack`` put together."""
    parts, at = [], 0
    while at < len(packed):
        (length,) = _LENGTH.unpack_from(packed, at)
        at += _LENGTH.size
        parts.append(packed[at : at + length])
        at += length
    return parts


def encode(text: str) -> bytes:
    """Return *text* as bytes, whatever is in it."""
    return text.encode("utf-8", "surrogatepass")


def decode(stored: bytes) -> str:
    """Return what ``encode`` was given."""
    return stored.decode("utf-8", "surrogatepass")


def plain(text: str) -> str:
    """Return *text* as a database takes it: without lone surrogates."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


# The routes of a channel give the same results for most messages: the text is made once.
@lru_cache(maxsize=2048)
def routes_text(routes: tuple[RouteResult, ...]) -> str:
    """Return route results as they are stored."""
    rows: list[list[object]] = []
    for result in routes:
        row: list[object] = [result.route, result.outcome.value, result.reason]
        if result.park is not None:
            park = result.park
            row.append([park.code.value, park.reason, park.step, park.path])
        rows.append(row)
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=True)


@lru_cache(maxsize=2048)
def parse_routes(text: str) -> tuple[RouteResult, ...]:
    """Return the results that ``routes_text`` wrote."""
    results = []
    for row in json.loads(text):
        park = None
        if len(row) > 3:
            code, reason, step, path = row[3]
            park = Park(ParkCode(code), reason, step, path)
        results.append(RouteResult(row[0], RouteOutcome(row[1]), row[2], park))
    return tuple(results)


def as_tuple(routes: Sequence[RouteResult]) -> tuple[RouteResult, ...]:
    """Return *routes* as a key of the cache."""
    return routes if isinstance(routes, tuple) else tuple(routes)
