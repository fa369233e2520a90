"""
The vault on disk: one SQLite file beside the store, sealed with a key ring of its own.

Rules of this file: the file and its key lie in their own folder, so that a backup of the store
holds neither; the record of a look-up is on the disk before the answer is given; nothing in the
file says which pseudonym it holds without the vault's key.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.deid.vault import LinkedNumber, LookUp
from engine.model.errors import Usage
from engine.security.keyring import KeyRing
from engine.security.sealing import Sealer
from engine.store.sqlite import Connection, open_writer

_SCHEMA = """
CREATE TABLE IF NOT EXISTS links (
    key_name TEXT NOT NULL, handle BLOB NOT NULL, sealed BLOB NOT NULL,
    PRIMARY KEY (key_name, handle)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS look_ups (
    number INTEGER PRIMARY KEY, asked_by TEXT NOT NULL, purpose TEXT NOT NULL,
    at REAL NOT NULL, key_name TEXT NOT NULL, handle BLOB NOT NULL, found INTEGER NOT NULL
);
"""


class SqliteVault:
    """
    A vault in a folder of its own; one process at a time.

    Args:
        folder: made when it is not there; holds vault.db and the vault's own keys.
        audit: also told of every look-up (for the site's audit chain); it may raise, and then
            there is no answer.
    """

    def __init__(self, folder: Path, *, audit: Callable[[LookUp, bool], None]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        keys = folder / "keys"
        self._ring = KeyRing.open(keys) if KeyRing.exists(keys) else KeyRing.create(keys)
        self._audit = audit
        self._connection: Connection = open_writer(folder / "vault.db")
        (folder / "vault.db").chmod(0o600)
        self._connection.execute("PRAGMA secure_delete=ON")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def keep(self, links: Iterable[LinkedNumber]) -> None:
        """Keep new links in one transaction; one that is there already stays as it is."""
        rows = [self._row(link) for link in links]
        if not rows:
            return
        with _transaction(self._connection):
            self._connection.executemany("INSERT OR IGNORE INTO links VALUES (?, ?, ?)", rows)

    def find_original(self, asked: LookUp) -> str | None:
        """
        Return what the pseudonym stands for, None when it is not known.

        Raises:
            Usage: the look-up names nobody or no purpose.
        """
        if not asked.by.strip() or not asked.purpose.strip():
            raise Usage("a look-up names who asks and for what purpose")
        sealer, handle = self._sealer(asked.key_name), self._handle(asked.key_name, asked.pseudonym)
        row = self._connection.execute(
            "SELECT sealed FROM links WHERE key_name = ? AND handle = ?", (asked.key_name, handle)
        ).fetchone()
        with _transaction(self._connection):
            self._connection.execute(
                "INSERT INTO look_ups (asked_by, purpose, at, key_name, handle, found)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (asked.by, asked.purpose, asked.at, asked.key_name, handle, int(row is not None)),
            )
        self._audit(asked, row is not None)
        if row is None:
            return None
        return sealer.open(row[0], _place(asked.key_name, handle)).decode("utf-8")

    def look_ups(self) -> list[tuple[str, str, float, str, bool]]:
        """Return (by, purpose, at, key name, found) of every look-up, oldest first."""
        rows = self._connection.execute(
            "SELECT asked_by, purpose, at, key_name, found FROM look_ups ORDER BY number"
        ).fetchall()
        return [(by, purpose, at, name, bool(found)) for by, purpose, at, name, found in rows]

    def destroy(self, key_name: str) -> int:
        """Forget every link made with a key, and the key that sealed them; returns how many."""
        with _transaction(self._connection):
            count = self._connection.execute(
                "DELETE FROM links WHERE key_name = ?", (key_name,)
            ).rowcount
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if key_name in self._ring.named_keys():
            self._ring.drop_named_key(key_name)
        return int(count)

    def _row(self, link: LinkedNumber) -> tuple[str, bytes, bytes]:
        handle = self._handle(link.key_name, link.pseudonym)
        place = _place(link.key_name, handle)
        sealed = self._sealer(link.key_name).seal(link.original.encode("utf-8"), place)
        return link.key_name, handle, sealed

    def _sealer(self, key_name: str) -> Sealer:
        return Sealer(self._ring.named_key(key_name), f"vault/{key_name}")

    def _handle(self, key_name: str, pseudonym: str) -> bytes:
        """Return what the file knows a pseudonym by."""
        return hmac.digest(self._ring.named_key(key_name), pseudonym.encode(), "sha256")[:16]


def _place(key_name: str, handle: bytes) -> bytes:
    return b"links|" + key_name.encode() + b"|" + handle


@contextmanager
def _transaction(connection: Connection) -> Iterator[None]:
    """BEGIN … COMMIT, or ROLLBACK when anything is raised."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
