"""
control.db: settings, paused channels, configuration snapshots, operations and the audit chain.

Rules of this file: free text is sealed; an operation and its audit record are one transaction.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from engine.model.errors import MedbusError, NotFound, Sealed
from engine.security.audit_chain import START, Head, Link, chain_mac, find_break
from engine.security.keyring import KeyRing, write_durably
from engine.store.failpoint import Failpoint
from engine.store.operation_records import Operation
from engine.store.operation_text import operation_from_text, operation_to_text
from engine.store.readers import Readers
from engine.store.records import AuditRecord, AuditVerdict, Page, Switch
from engine.store.schema import CONTROL_MIGRATIONS, migrate
from engine.store.sqlite import Connection, SqliteError, describe, open_writer

NAME = "control.db"
HEAD_FILE = "audit.head"
#: a value sealed with the key ring the store was made with
_KEY_CHECK = "key_check"
_KEY_PLACE = b"v1|settings|key_check"


class ControlFile:
    """Writes on the writer's thread, reads on any."""

    def __init__(
        self,
        folder: Path,
        keys: KeyRing,
        failpoint: Failpoint,
        translate: Callable[[str, Exception], MedbusError],
        moment: AbstractContextManager[object],
        fence: Callable[[str], MedbusError],
    ) -> None:
        self._translate = translate
        self._fence = fence
        self._moment = moment
        self.path = folder / NAME
        self._keys = keys
        self._head_path = keys.folder / HEAD_FILE
        try:
            self._connection = open_writer(self.path)
            try:
                migrate(self._connection, CONTROL_MIGRATIONS, failpoint=failpoint)
            except BaseException:
                self._connection.close()
                raise
        except SqliteError as error:
            raise MedbusError(
                f"control.db cannot be opened ({describe(error)})",
                code="STO-008",
                where=str(self.path),
                fix="restore the data folder from a backup",
            ) from None
        self.path.chmod(0o600)
        self.readers = Readers(lambda _name: self.path)
        try:
            self._demand_same_keys()
        except BaseException:
            self.close()
            raise

    @property
    def connection(self) -> Connection:
        """The writing connection."""
        return self._connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Commit what the block writes, or nothing."""
        with self._moment:
            yield from self._write()

    def _write(self) -> Iterator[Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if isinstance(error, SqliteError):
                raise self._translate(NAME, error) from None
            raise

    def checkpoint(self) -> None:
        """Bring the WAL into the file."""
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close all connections."""
        self.readers.close_all()
        self._connection.close()

    def _demand_same_keys(self) -> None:
        """Refuse another store's key ring before anything is written under it."""
        kept = self.get_setting(_KEY_CHECK)
        if not kept:
            self.put_setting(_KEY_CHECK, self._keys.control.seal(b"medbus", _KEY_PLACE).hex())
            return
        try:
            self._keys.control.open(bytes.fromhex(kept), _KEY_PLACE)
        except Sealed:
            raise Sealed(
                "the key ring is not the one this data folder was sealed with",
                where=str(self._keys.folder),
                fix="bring the right keys back from their backup; nothing was changed",
            ) from None

    # -- settings and switches -----------------------------------------------------------------

    def put_setting(self, name: str, value: str) -> None:
        """Keep *value*."""
        with self.write() as connection:
            connection.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, value))

    def get_setting(self, name: str) -> str:
        """Return what was kept, or ""."""
        row = self._one("SELECT value FROM settings WHERE name = ?", (name,))
        return str(row[0]) if row else ""

    def put_switch(self, switch: Switch) -> None:
        """Remember a pause."""
        place = f"v1|switches|{switch.kind}|{switch.channel}|reason".encode()
        reason = self._keys.control.seal(switch.reason.encode(), place)
        with self.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO switches VALUES (?, ?, ?, ?, ?, ?)",
                (switch.kind, switch.channel, switch.at, switch.actor, reason, switch.until),
            )

    def drop_switch(self, kind: str, channel: str) -> None:
        """Forget a pause."""
        with self.write() as connection:
            connection.execute(
                "DELETE FROM switches WHERE kind = ? AND channel = ?", (kind, channel)
            )

    def switches(self) -> tuple[Switch, ...]:
        """Return the pauses."""
        return tuple(
            Switch(
                kind,
                channel,
                at,
                actor,
                self._keys.control.open(
                    reason, f"v1|switches|{kind}|{channel}|reason".encode()
                ).decode(),
                until,
            )
            for kind, channel, at, actor, reason, until in self._all(
                "SELECT kind, channel, at, actor, reason, until FROM switches ORDER BY 1, 2"
            )
        )

    # -- snapshots -----------------------------------------------------------------------------

    def put_snapshot(self, files: Mapping[str, bytes], *, at: float) -> str:
        """Keep files by their content; return the id of the whole."""
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        manifest = json.dumps(sums, sort_keys=True, separators=(",", ":"))
        snapshot_id = hashlib.sha256(manifest.encode()).hexdigest()[:16]
        if self._one("SELECT 1 FROM snapshots WHERE id = ?", (snapshot_id,)):
            return snapshot_id
        with self.write() as connection:
            for name, content in files.items():
                place = f"v1|snapshot_files|{sums[name]}|0|sealed".encode()
                connection.execute(
                    "INSERT OR IGNORE INTO snapshot_files VALUES (?, ?)",
                    (sums[name], self._keys.control.seal(content, place)),
                )
            connection.execute(
                "INSERT INTO snapshots VALUES (?, ?, ?)", (snapshot_id, at, manifest)
            )
        return snapshot_id

    def get_snapshot(self, snapshot_id: str) -> dict[str, bytes]:
        """Return the files of a snapshot."""
        row = self._one("SELECT files FROM snapshots WHERE id = ?", (snapshot_id,))
        if row is None:
            raise NotFound(f"there is no configuration snapshot {snapshot_id}")
        files = {}
        for name, digest in json.loads(row[0]).items():
            sealed = self._one("SELECT sealed FROM snapshot_files WHERE sha256 = ?", (digest,))
            if sealed is None:
                raise NotFound(f"a file of configuration snapshot {snapshot_id} is missing")
            place = f"v1|snapshot_files|{digest}|0|sealed".encode()
            files[name] = self._keys.control.open(sealed[0], place)
        return files

    def list_snapshots(self) -> tuple[tuple[str, float], ...]:
        """Return ids and times, oldest first."""
        return tuple(self._all("SELECT id, first_at FROM snapshots ORDER BY first_at, id"))

    # -- operations ----------------------------------------------------------------------------

    def begin_operation(self, operation: Operation) -> bool:
        """Record and audit an operation; return whether it is new."""
        known = self._one("SELECT finished FROM operations WHERE id = ?", (operation.operation_id,))
        if known is not None:
            return False
        place = f"v1|operations|{operation.operation_id}|0|sealed".encode()
        sealed = self._keys.control.seal(operation_to_text(operation).encode(), place)
        with self.write() as connection:
            connection.execute(
                "INSERT INTO operations VALUES (?, ?, ?, ?, 0)",
                (operation.operation_id, operation.verb.value, operation.at, sealed),
            )
            head = self._append(
                connection,
                AuditRecord(
                    0,
                    operation.at,
                    operation.actor,
                    operation.verb.value,
                    target=_target_of(operation),
                    reason=operation.reason,
                    operation_id=operation.operation_id,
                    detail={"items": str(len(operation.items)), **operation.detail},
                ),
            )
        self._note_head(head)
        return True

    def finish_operation(self, operation_id: str) -> None:
        """An operation is complete; what it replaced with is in the day files now."""
        with self.write() as connection:
            connection.execute("UPDATE operations SET finished = 1 WHERE id = ?", (operation_id,))

    def unfinished(self) -> tuple[Operation, ...]:
        """Return operations that were begun only, oldest first."""
        return tuple(
            operation_from_text(
                self._keys.control.open(
                    sealed, f"v1|operations|{identity}|0|sealed".encode()
                ).decode()
            )
            for identity, sealed in self._all(
                "SELECT id, sealed FROM operations WHERE finished = 0 ORDER BY at, id"
            )
        )

    # -- audit ---------------------------------------------------------------------------------

    def audit(self, record: AuditRecord) -> int:
        """Append a record; return its number."""
        with self.write() as connection:
            head = self._append(connection, record)
        self._note_head(head)
        return head.seq

    def list_audit(self, *, limit: int, cursor: str, since: float | None) -> Page[AuditRecord]:
        """Return records, newest first."""
        before = int(cursor) if cursor else 1 << 62
        rows = self._all(
            "SELECT seq, at, sealed FROM audit WHERE seq < ? AND at >= ? ORDER BY seq DESC LIMIT ?",
            (before, since if since is not None else 0.0, limit),
        )
        records = tuple(self._record(*row) for row in rows)
        return Page(records, str(records[-1].seq) if len(records) == limit else "")

    def verify_audit(self) -> AuditVerdict:
        """Check the chain against itself and the noted head."""
        with self.readers.use(NAME) as connection:
            links = (
                Link(seq, _signed_part(at, sealed), mac)
                for seq, at, sealed, mac in connection.execute(
                    "SELECT seq, at, sealed, mac FROM audit ORDER BY seq"
                )
            )
            try:
                heads = [Head.parse(self._head_path.read_text("ascii"))]
            except FileNotFoundError:
                heads = []
            except ValueError:
                return AuditVerdict(False, 0, "the noted head of the audit chain cannot be read")
            count, problem, head = find_break(self._keys.audit_key, links, heads=heads)
        return AuditVerdict(not problem, count, problem, str(head))

    def _append(self, connection: Connection, record: AuditRecord) -> Head:
        row = connection.execute("SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
        last, before = row if row else (0, START)
        seq = last + 1
        text = json.dumps(
            [
                record.actor,
                record.action,
                record.target,
                record.reason,
                record.operation_id,
                dict(record.detail),
            ]
        )
        sealed = self._keys.control.seal(text.encode(), b"v1|audit|%d|0|sealed" % seq)
        mac = chain_mac(self._keys.audit_key, before, seq, _signed_part(record.at, sealed))
        connection.execute("INSERT INTO audit VALUES (?, ?, ?, ?)", (seq, record.at, sealed, mac))
        return Head(seq, mac)

    def _note_head(self, head: Head) -> None:
        # Beside the keys, not beside the chain: who can cut the one need not reach the other.
        try:
            write_durably(self._head_path, str(head).encode("ascii") + b"\n")
        except OSError as error:
            # The record is committed. A full disk leaves an older head, which the chain may have.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise self._fence(f"{os.strerror(error.errno or 0)} at {HEAD_FILE}") from None

    def _record(self, seq: int, at: float, sealed: bytes) -> AuditRecord:
        text = self._keys.control.open(sealed, b"v1|audit|%d|0|sealed" % seq).decode()
        actor, action, target, reason, operation_id, detail = json.loads(text)
        return AuditRecord(seq, at, actor, action, target, reason, operation_id, detail)

    # -- reading -------------------------------------------------------------------------------

    def _one(self, sql: str, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        rows = self._all(sql, parameters)
        return rows[0] if rows else None

    def _all(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        try:
            with self.readers.use(NAME) as connection:
                return connection.execute(sql, parameters).fetchall()
        except SqliteError:
            raise MedbusError(
                "control.db cannot be read",
                code="STO-006",
                where=str(self.path),
                fix="restore it from a backup",
            ) from None


def _signed_part(at: float, sealed: bytes) -> bytes:
    return f"{at!r}|".encode() + sealed


def _target_of(operation: Operation) -> str:
    if operation.old_name:
        return f"{operation.old_name} -> {operation.new_name}"
    if len(operation.items) == 1:
        return operation.items[0].item_id
    return ""
