"""The files of a data folder: one per day of messages, opened for writing one connection each."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

from engine.model.errors import NotFound
from engine.security.keyring import BODIES, EVIDENCE, KeyRing
from engine.security.sealing import Sealer
from engine.store.data_lock import DataLock
from engine.store.failpoint import Failpoint
from engine.store.schema import DAY_MIGRATIONS, migrate
from engine.store.sqlite import Connection, Failure, SqliteError, failure_of, open_writer

_SUFFIX = ".db"
#: files kept open for writing
_KEPT = 6
#: page cache of a file, in KiB: today's and tomorrow's; older ones are settled row after row
_CACHE_KIB, _OLD_CACHE_KIB = 12_000, 3_000


class DayFile:
    """The writing side of one day."""

    def __init__(self, day: str, path: Path, connection: Connection, keys: KeyRing) -> None:
        self.day = day
        self.path = path
        self.connection = connection
        self.evidence = keys.sealer(day, EVIDENCE)
        self._keys = keys
        self._bodies: Sealer | None = None
        #: bytes in the WAL that are not in the file yet, roughly
        self.wal_bytes = 0

    @property
    def bodies(self) -> Sealer:
        """Seals bodies; raises Sealed when that key was dropped."""
        if self._bodies is None:
            self._bodies = self._keys.sealer(self.day, BODIES)
        return self._bodies

    def begin(self) -> None:
        """Start a transaction that writes."""
        self.connection.execute("BEGIN IMMEDIATE")

    def rollback(self) -> None:
        """Undo what is not committed."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Bring the WAL into the file; its errors are ours to see."""
        self.wal_bytes = 0
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def close(self) -> None:
        """Close; SQLite checkpoints and removes the WAL."""
        self.connection.close()


class DayFiles:
    """Finds, makes, opens and closes day files; writer's thread only, except ``path``."""

    def __init__(
        self, folder: Path, keys: KeyRing, lock: DataLock, *, max_bytes: int, failpoint: Failpoint
    ) -> None:
        self.folder = folder
        self._keys = keys
        self._lock = lock
        self._max_bytes = max_bytes
        self._failpoint = failpoint
        self._open: OrderedDict[str, DayFile] = OrderedDict()

    def path(self, day: str) -> Path:
        """Return where a day lies."""
        return self.folder / f"{day[:4]}-{day[4:6]}-{day[6:8]}{_SUFFIX}"

    def days(self) -> list[str]:
        """Return the days there are on disk, oldest first."""
        names = (path.name for path in self.folder.glob(f"????-??-??{_SUFFIX}"))
        return sorted(name[:10].replace("-", "") for name in names)

    def is_open(self, day: str) -> bool:
        """Return whether a day is open for writing."""
        return day in self._open

    def open_days(self) -> list[str]:
        """Return the days open for writing."""
        return list(self._open)

    def get(self, day: str, *, create: bool = False) -> DayFile:
        """
        Return a day open for writing.

        Raises:
            NotFound: there is no such day and it is not to be made.
        """
        file = self._open.get(day)
        if file is not None:
            self._open.move_to_end(day)
            return file
        path = self.path(day)
        is_new = not path.exists()
        if is_new and not create:
            raise NotFound(f"nothing is stored for {day}", fix="it may have been pruned")
        if is_new:
            # The keys first: a file without its keys could not take its first message.
            self._keys.make_day(day)
            self._failpoint("rollover")
        self._lock.opens(path)
        connection = open_writer(path, max_bytes=self._max_bytes)
        try:
            migrate(connection, DAY_MIGRATIONS, failpoint=self._failpoint)
            if is_new:
                path.chmod(0o600)
            file = DayFile(day, path, connection, self._keys)
            # First: a file that is written must be in the note of what is.
            self._lock.add_file(path)
        except BaseException:
            connection.close()
            raise
        self._open[day] = file
        while len(self._open) > _KEPT:
            self.close(next(iter(self._open)))
        self._share_cache()
        return file

    def _share_cache(self) -> None:
        newest = sorted(self._open)[-2:]
        for day, file in self._open.items():
            size = _CACHE_KIB if day in newest else _OLD_CACHE_KIB
            file.connection.execute(f"PRAGMA cache_size=-{size:d}")

    def close(self, day: str) -> None:
        """Close a day if it is open."""
        file = self._open.get(day)
        if file is not None:
            self._lock.drop_file(file.path.name)
            del self._open[day]
            file.close()

    def rest(self, day: str) -> None:
        """
        Close a day and leave one plain file; opening it for writing brings the WAL back.

        While somebody reads it, it stays open, to be put to rest another time.
        """
        file = self._open.get(day)
        if file is None:
            return
        # First: killed in between, its WAL would look like one that was lost.
        self._lock.drop_file(file.path.name)
        try:
            file.connection.execute("PRAGMA journal_mode=DELETE")
        except SqliteError as error:
            self._lock.add_file(file.path)
            if failure_of(error) is Failure.BUSY:
                return
            raise
        self.close(day)

    def close_all(self) -> None:
        """Close everything."""
        for day in list(self._open):
            self.close(day)
