"""
Finding messages by keyed hashes without a row per term.

A message's hashes ride in its row. The newest messages of a day are the *tail*, in memory; when
it is long enough it becomes a *run*: all its entries sorted and cut into buckets, one row each.
A search looks at one bucket per run and at the tail. Writing a run touches as many pages as it
has buckets, where a row per term would touch one page per term.

    entry    8 bytes hash, 4 bytes N
    buckets  by the first bits of the hash; one more row per run holds its identities, unsorted,
             to fill the duplicate filter at start
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from struct import Struct

from engine.security.keyed_hash import HASH_BYTES
from engine.store.sqlite import Connection

#: messages in the tail before it becomes a run
RUN_MESSAGES = 2048
_BUCKET_BITS = 6
_BUCKETS = 1 << _BUCKET_BITS
_IDENTITIES = _BUCKETS
#: rows per run
_STRIDE = _BUCKETS + 1
_NUMBER = Struct(">I")
_ENTRY_BYTES = HASH_BYTES + _NUMBER.size
_INDEXED_UP_TO = "indexed_up_to"


class Tail:
    """The messages of one day that are in no run yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: list[tuple[int, bytes]] = []
        self._identities: dict[bytes, list[int]] = {}
        #: newest seq in here
        self.seq = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Iterable[tuple[int, int, bytes, bytes | None]]) -> None:
        """Take (n, seq, terms, identity) of committed messages."""
        with self._lock:
            for n, seq, terms, identity in rows:
                self._rows.append((n, terms))
                if identity is not None:
                    self._identities.setdefault(identity, []).append(n)
                self.seq = max(self.seq, seq)

    def find_identity(self, identity: bytes) -> list[int]:
        """Return the N of messages with this identity."""
        return list(self._identities.get(identity, ()))

    def find_term(self, term: bytes) -> set[int]:
        """Return the N of messages with this term."""
        with self._lock:
            return {n for n, terms in self._rows if _holds(terms, term)}

    def take(self) -> tuple[list[tuple[int, bytes]], dict[bytes, list[int]], int]:
        """Return what is here, for a run, without removing it."""
        with self._lock:
            return list(self._rows), {k: list(v) for k, v in self._identities.items()}, self.seq

    def drop(self, count: int) -> None:
        """Remove the *count* oldest, which are in a run now; identities stay until all are."""
        with self._lock:
            del self._rows[:count]
            if not self._rows:
                self._identities.clear()


def write_run(connection: Connection, tail: Tail) -> int:
    """
    Turn *tail* into a run, in the caller's transaction; return how many messages it took.

    The caller drops them from the tail after the commit.
    """
    rows, identities, seq = tail.take()
    pack = _NUMBER.pack
    entries = sorted(
        terms[start : start + HASH_BYTES] + pack(n)
        for n, terms in rows
        for start in range(0, len(terms), HASH_BYTES)
    )
    entries += [identity + pack(n) for identity, numbers in identities.items() for n in numbers]
    entries.sort()
    bounds = [
        bisect_left(entries, bytes([bucket << (8 - _BUCKET_BITS)])) for bucket in range(_BUCKETS)
    ] + [len(entries)]
    first = _next_run(connection) * _STRIDE
    blobs = [
        (first + bucket, b"".join(entries[bounds[bucket] : bounds[bucket + 1]]))
        for bucket in range(_BUCKETS)
    ]
    blobs.append((first + _IDENTITIES, b"".join(identities)))
    connection.executemany("INSERT INTO term_runs (id, entries) VALUES (?, ?)", blobs)
    connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_INDEXED_UP_TO, str(seq)))
    return len(rows)


def load_tail(connection: Connection) -> Tail:
    """Rebuild the tail of a day from its rows."""
    tail = Tail()
    found = connection.execute("SELECT value FROM meta WHERE name = ?", (_INDEXED_UP_TO,))
    row = found.fetchone()
    seq = int(row[0]) if row else 0
    tail.seq = seq
    tail.add(
        connection.execute(
            "SELECT n, seq, terms, identity FROM messages WHERE seq > ? ORDER BY seq", (seq,)
        )
    )
    return tail


def find_in_runs(connection: Connection, key: bytes) -> set[int]:
    """Return the N of indexed messages with this term or identity."""
    bucket = key[0] >> (8 - _BUCKET_BITS)
    found: set[int] = set()
    for run in range(_next_run(connection)):
        row = connection.execute(
            "SELECT entries FROM term_runs WHERE id = ?", (run * _STRIDE + bucket,)
        ).fetchone()
        if row is not None:
            found.update(_find_entries(row[0], key))
    return found


def identities(connection: Connection) -> Iterator[bytes]:
    """Yield the identities of every run, joined, for the duplicate filter."""
    for run in range(_next_run(connection)):
        row = connection.execute(
            "SELECT entries FROM term_runs WHERE id = ?", (run * _STRIDE + _IDENTITIES,)
        ).fetchone()
        if row is not None:
            yield row[0]


def _next_run(connection: Connection) -> int:
    (last,) = connection.execute("SELECT max(id) FROM term_runs").fetchone()
    return 0 if last is None else int(last) // _STRIDE + 1


def _find_entries(blob: bytes, key: bytes) -> Iterator[int]:
    at = blob.find(key)
    while at >= 0:
        offset = at % _ENTRY_BYTES
        if offset == 0:
            yield _NUMBER.unpack_from(blob, at + HASH_BYTES)[0]
            at = blob.find(key, at + _ENTRY_BYTES)
        else:
            at = blob.find(key, at + 1)


def _holds(terms: bytes, term: bytes) -> bool:
    at = terms.find(term)
    while at >= 0 and at % HASH_BYTES:
        at = terms.find(term, at + 1)
    return at >= 0
