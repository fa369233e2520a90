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

from engine.deid.vault import LookUp, Original
from engine.model.errors import Usage
from engine.model.records import LinkedNumber
from engine.security.keyring import KeyRing
from engine.security.sealing import Sealer
from engine.store.packing import decode, encode, pack, unpack
from engine.store.sqlite import Connection, SqliteError, open_writer

FOLDER = "vault"
FILE = "vault.db"
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
_KNOWN = "SELECT 1 FROM links WHERE key_name = ? AND handle = ?"
#: rows written after which the journal is brought into the file
_CHECKPOINT_ROWS = 1000
#: links known to be in the file already, so that the same patient costs nothing again
_MOST_REMEMBERED = 100_000


def _tell_nobody(asked: LookUp, is_found: bool) -> None:
    """The caller keeps the audit itself."""


def _as_it_is(error: Exception) -> Exception:
    """The caller knows SQLite."""
    return error


class SqliteVault:
    """
    A vault in a folder of its own; one process, and one thread at a time.

    Args:
        folder: made when it is not there; holds vault.db and the vault's own keys.
        audit: also told of every look-up; it may raise, and then there is no answer.
        translate: makes of an error of SQLite the one to raise.
    """

    def __init__(
        self,
        folder: Path,
        *,
        audit: Callable[[LookUp, bool], None] = _tell_nobody,
        translate: Callable[[Exception], Exception] = _as_it_is,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        keys = folder / "keys"
        self._ring = KeyRing.open(keys) if KeyRing.exists(keys) else KeyRing.create(keys)
        self._audit = audit
        self._translate = translate
        #: rows written since the last checkpoint
        self._fresh_count = 0
        self._named: dict[str, tuple[bytes, Sealer]] = {}
        self._kept: set[bytes] = set()
        with self._errors():
            self._connection: Connection = open_writer(folder / FILE)
            (folder / FILE).chmod(0o600)
            self._connection.execute("PRAGMA secure_delete=ON")
            self._connection.executescript(_SCHEMA)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Return whether *folder* holds a vault."""
        return (folder / FILE).exists()

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def keep(self, links: Iterable[LinkedNumber]) -> None:
        """Keep new links in one transaction; one that is there already stays as it is."""
        new: dict[bytes, tuple[str, bytes, bytes]] = {}
        with self._errors():
            for link in links:
                handle = self._handle(link.key_name, link.pseudonym)
                if handle in self._kept or handle in new:
                    continue
                if self._connection.execute(_KNOWN, (link.key_name, handle)).fetchone() is None:
                    new[handle] = (link.key_name, handle, self._sealed(link, handle))
                else:
                    self._remember([handle])
        if not new:
            return
        with self._transaction(len(new)):
            self._connection.executemany(
                "INSERT OR IGNORE INTO links VALUES (?, ?, ?)", list(new.values())
            )
        self._remember(new)

    def find_original(self, asked: LookUp) -> Original | None:
        """
        Return what the pseudonym stands for, None when it is not known.

        Raises:
            Usage: the look-up names nobody or no purpose.
        """
        if not asked.by.strip() or not asked.purpose.strip():
            raise Usage("a look-up names who asks and for what purpose")
        with self._errors():
            key_name, handle, sealed = self._find(asked)
        found = sealed is not None
        with self._transaction(1):
            self._connection.execute(
                "INSERT INTO look_ups (asked_by, purpose, at, key_name, handle, found)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (asked.by, asked.purpose, asked.at, key_name, handle, int(found)),
            )
        self._audit(asked, found)
        if sealed is None:
            return None
        _, sealer = self._keys_of(key_name)
        domain, original = unpack(sealer.open(sealed, _place(key_name, handle)))
        return Original(key_name, decode(domain), decode(original))

    def _find(self, asked: LookUp) -> tuple[str, bytes, bytes | None]:
        """Return (key name, handle, what is kept); under any key where none is named."""
        there = self._ring.named_keys()
        for name in [asked.key_name] if asked.key_name else there:
            if name not in there:
                continue
            handle = self._handle(name, asked.pseudonym)
            row = self._connection.execute(
                "SELECT sealed FROM links WHERE key_name = ? AND handle = ?", (name, handle)
            ).fetchone()
            if row is not None:
                return name, handle, row[0]
        return asked.key_name, b"", None

    def counts(self) -> dict[str, int]:
        """Return how many links there are by key name."""
        rows = self._connection.execute(
            "SELECT key_name, count(*) FROM links GROUP BY key_name ORDER BY key_name"
        )
        return dict(rows.fetchall())

    def look_ups(self) -> list[tuple[str, str, float, str, bool]]:
        """Return (by, purpose, at, key name, found) of every look-up, oldest first."""
        rows = self._connection.execute(
            "SELECT asked_by, purpose, at, key_name, found FROM look_ups ORDER BY number"
        ).fetchall()
        return [(by, purpose, at, name, bool(found)) for by, purpose, at, name, found in rows]

    def destroy(self, key_name: str) -> int:
        """Forget every link made with a key, and the key that sealed them; returns how many."""
        # The key first: what a crash leaves behind of the links cannot be read any more.
        if key_name in self._ring.named_keys():
            self._ring.drop_named_key(key_name)
        self._named.pop(key_name, None)
        self._kept.clear()
        with self._transaction(1):
            count = self._connection.execute(
                "DELETE FROM links WHERE key_name = ?", (key_name,)
            ).rowcount
        with self._errors():
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return int(count)

    @contextmanager
    def _transaction(self, row_count: int) -> Iterator[None]:
        """BEGIN … COMMIT, or ROLLBACK when anything is raised; a checkpoint now and then."""
        with self._errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            self._fresh_count += row_count
            if self._fresh_count >= _CHECKPOINT_ROWS:
                # By hand: SQLite's own checkpoints swallow I/O errors.
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
                self._fresh_count = 0

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SqliteError as error:
            raise self._translate(error) from None

    def _remember(self, handles: Iterable[bytes]) -> None:
        if len(self._kept) > _MOST_REMEMBERED:
            self._kept.clear()
        self._kept.update(handles)

    def _sealed(self, link: LinkedNumber, handle: bytes) -> bytes:
        _, sealer = self._keys_of(link.key_name)
        plain = pack(encode(link.domain), encode(link.original))
        return sealer.seal(plain, _place(link.key_name, handle))

    def _keys_of(self, key_name: str) -> tuple[bytes, Sealer]:
        found = self._named.get(key_name)
        if found is None:
            key = self._ring.named_key(key_name)
            found = self._named[key_name] = (key, Sealer(key, f"vault/{key_name}"))
        return found

    def _handle(self, key_name: str, pseudonym: str) -> bytes:
        """Return what the file knows a pseudonym by."""
        key, _ = self._keys_of(key_name)
        return hmac.digest(key, pseudonym.encode(), "sha256")[:16]


def _place(key_name: str, handle: bytes) -> bytes:
    return b"links|" + key_name.encode() + b"|" + handle
