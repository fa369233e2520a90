"""
The tables of the two kinds of files, and how an older file is brought up to date.

Rules of this file: states come from the enums of the model; a migration and its record are one
transaction, so that a crash leaves either both or neither.

Row ids: a message of a day is its N; its delivery K is ``N << 16 | K``; in ``bodies`` K = 0 is the
message as received.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

from engine.model.errors import MedbusError
from engine.model.states import AttemptOutcome, DeliveryState, MessageState, ParkCode
from engine.store.failpoint import Failpoint, no_failpoint
from engine.store.sqlite import Connection


class Migration(NamedTuple):
    """One step of a schema; names are never reused or reordered."""

    name: str
    statements: Sequence[str]


def one_of(column: str, values: type[StrEnum], *extra: str) -> str:
    """Return a CHECK that *column* is a value of an enum (or one of *extra*)."""
    words = [*extra, *(value.value for value in values)]
    return f"CHECK ({column} IN ({', '.join(repr(word) for word in words)}))"


_MESSAGES = f"""
CREATE TABLE messages (
    n INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL UNIQUE,
    inbound TEXT NOT NULL,
    received_at REAL NOT NULL,
    state TEXT NOT NULL {one_of("state", MessageState)},
    message_type TEXT NOT NULL,
    version TEXT NOT NULL,
    ack_code TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    peer TEXT NOT NULL,
    snapshot_id TEXT NOT NULL,
    routes TEXT NOT NULL,           -- JSON: [[route, outcome, reason, [code, reason, step, path]]]
    warnings TEXT NOT NULL,         -- separated by blanks
    duplicate_of TEXT NOT NULL,
    replay_of TEXT NOT NULL,
    replay_as TEXT NOT NULL CHECK (replay_as IN ('', 'sent', 'received')),
    operation_id TEXT NOT NULL,
    identity BLOB,                  -- keyed hash of inbound, MSH-3, MSH-4, MSH-10
    content BLOB NOT NULL,          -- keyed hash of the body's sha256
    terms BLOB NOT NULL,            -- keyed hashes, 8 bytes each
    facts BLOB NOT NULL,            -- sealed: control id, ack, reject reason, sha256
    CHECK ((state = 'duplicate') = (duplicate_of <> ''))
) STRICT"""

_DELIVERIES = f"""
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL,
    place INTEGER NOT NULL,         -- order within the message: K of the first in this place, K
    inbound TEXT NOT NULL,
    flow TEXT NOT NULL CHECK (flow IN ('live', 'replay')),
    route TEXT NOT NULL,
    output INTEGER NOT NULL,
    outbound TEXT NOT NULL,
    state TEXT NOT NULL {one_of("state", DeliveryState)},
    due_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    tries INTEGER NOT NULL,         -- attempts since it was last requeued
    first_failure_at REAL NOT NULL,
    uncertain INTEGER NOT NULL CHECK (uncertain IN (0, 1)),
    commit_acked INTEGER NOT NULL CHECK (commit_acked IN (0, 1)),
    body INTEGER NOT NULL CHECK (body IN (0, 1, 2)),    -- none, its own, the received bytes
    promises TEXT NOT NULL,         -- MSH-15,MSH-16
    keys BLOB,                      -- keyed hashes of the order keys, 8 bytes each
    key1 INTEGER,                   -- the first of them, signed
    multi INTEGER NOT NULL CHECK (multi IN (0, 1)),
    facts BLOB,                     -- sealed: control id, file name; NULL: as the message, none
    park_code TEXT NOT NULL {one_of("park_code", ParkCode, "")},
    park_step TEXT NOT NULL,
    park_text BLOB,                 -- sealed: reason, path
    on_park TEXT NOT NULL CHECK (on_park IN ('continue', 'hold_key', 'halt')),
    holding INTEGER NOT NULL CHECK (holding IN (0, 1)),
    released INTEGER NOT NULL CHECK (released IN (0, 1)),
    out_of_order INTEGER NOT NULL CHECK (out_of_order IN (0, 1)),
    settled_at REAL NOT NULL,
    snapshot_id TEXT NOT NULL,      -- '' : the message's
    replaces TEXT NOT NULL,
    replaced_by TEXT NOT NULL,
    operation_id TEXT NOT NULL,     -- the last operation that was applied to it
    CHECK ((state = 'parked') <= (park_code <> '')),
    CHECK (body > 0 OR state IN ('parked', 'cancelled'))
) STRICT"""

_ATTEMPTS = f"""
CREATE TABLE attempts (
    id INTEGER NOT NULL,            -- of the delivery
    number INTEGER NOT NULL,
    at REAL NOT NULL,
    took_s REAL NOT NULL,
    outcome TEXT NOT NULL {one_of("outcome", AttemptOutcome)},
    code TEXT NOT NULL,
    sealed BLOB NOT NULL,           -- ack, detail
    PRIMARY KEY (id, number)
) STRICT, WITHOUT ROWID"""

#: tables whose rows live as long as the day
DAY_TABLES = ("meta", "messages", "deliveries", "attempts", "term_runs", "ledger", "inbounds")

DAY_MIGRATIONS = (
    Migration(
        "001 first",
        (
            "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
            _MESSAGES,
            "CREATE UNIQUE INDEX messages_operation ON messages (operation_id, replay_of)"
            " WHERE operation_id <> ''",
            "CREATE INDEX messages_replay ON messages (replay_of) WHERE replay_of <> ''",
            "CREATE TABLE bodies (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
            _DELIVERIES,
            # What is final is in none of these, so that they stay as small as what is owed.
            "CREATE INDEX deliveries_pending ON deliveries (outbound, seq, place, key1, multi)"
            " WHERE state = 'pending'",
            "CREATE INDEX deliveries_held ON deliveries (outbound, seq, place, key1, multi)"
            " WHERE state = 'held'",
            "CREATE INDEX deliveries_parked ON deliveries (outbound, seq, place)"
            " WHERE state = 'parked'",
            "CREATE INDEX deliveries_holding ON deliveries (outbound) WHERE holding = 1",
            "CREATE INDEX deliveries_multi ON deliveries (outbound)"
            " WHERE multi = 1 AND state IN ('pending', 'held')",
            _ATTEMPTS,
            "CREATE TABLE term_runs (id INTEGER PRIMARY KEY, entries BLOB NOT NULL) STRICT",
            "CREATE TABLE ledger (inbound TEXT NOT NULL, flow TEXT NOT NULL, counter TEXT NOT NULL,"
            " value INTEGER NOT NULL, PRIMARY KEY (inbound, flow, counter)) STRICT, WITHOUT ROWID",
            "CREATE TABLE inbounds (inbound TEXT PRIMARY KEY, last_at REAL NOT NULL)"
            " STRICT, WITHOUT ROWID",
        ),
    ),
    Migration(
        "002 method",
        # How the output was de-identified: profile, version, key id.
        ("ALTER TABLE deliveries ADD COLUMN method TEXT NOT NULL DEFAULT ''",),
    ),
)

CONTROL_MIGRATIONS = (
    Migration(
        "001 first",
        (
            "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL)"
            " STRICT, WITHOUT ROWID",
            "CREATE TABLE switches (kind TEXT NOT NULL CHECK (kind IN ('inbound', 'outbound')),"
            " channel TEXT NOT NULL, at REAL NOT NULL, actor TEXT NOT NULL, reason BLOB NOT NULL,"
            " until REAL NOT NULL, PRIMARY KEY (kind, channel)) STRICT, WITHOUT ROWID",
            "CREATE TABLE snapshots (id TEXT PRIMARY KEY, first_at REAL NOT NULL,"
            " files TEXT NOT NULL) STRICT, WITHOUT ROWID",
            "CREATE TABLE snapshot_files (sha256 TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT",
            "CREATE TABLE operations (id TEXT PRIMARY KEY, verb TEXT NOT NULL, at REAL NOT NULL,"
            " sealed BLOB NOT NULL, finished INTEGER NOT NULL CHECK (finished IN (0, 1))) STRICT",
            "CREATE TABLE audit (seq INTEGER PRIMARY KEY, at REAL NOT NULL, sealed BLOB NOT NULL,"
            " mac BLOB NOT NULL) STRICT",
        ),
    ),
)


def migrate(
    connection: Connection,
    migrations: Iterable[Migration],
    *,
    failpoint: Failpoint = no_failpoint,
) -> None:
    """
    Bring a file up to date.

    Raises:
        MedbusError: the file was written by a newer version.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (position INTEGER PRIMARY KEY, name TEXT NOT NULL)"
    )
    applied = [
        row[0] for row in connection.execute("SELECT name FROM migrations ORDER BY position")
    ]
    known = list(migrations)
    if applied != [migration.name for migration in known][: len(applied)]:
        raise MedbusError(
            "the store was written by a newer version of medbus",
            code="STO-001",
            fix="use that version, or restore a backup made by this one",
        )
    for migration in known[len(applied) :]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in migration.statements:
                connection.execute(statement)
            failpoint("migration")
            connection.execute("INSERT INTO migrations (name) VALUES (?)", (migration.name,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
