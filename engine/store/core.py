"""
What the parts of the SQLite store share: files, keys, memory, transactions, the fence.

Rules of this file: memory is changed only after its commit returned, or is changed back; an I/O
error fences the store for good; a damaged old file is set aside, a damaged current one fences.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.model.counting import count_of
from engine.model.errors import Conflict, Fenced, MedbusError, NotFound, StoreFull
from engine.security.keyring import KeyRing
from engine.store.data_lock import DataLock
from engine.store.day_files import DayFile, DayFiles
from engine.store.depths import Depths
from engine.store.holding import Holding
from engine.store.readers import Readers
from engine.store.ready import Ready
from engine.store.records import StoreAlarm
from engine.store.reserve import Reserve
from engine.store.room import Room
from engine.store.settings import StoreSettings
from engine.store.sqlite import (
    Connection,
    Failure,
    IntegrityError,
    SqliteError,
    describe,
    failure_of,
)
from engine.store.term_index import Tail, load_tail
from engine.store.transaction import Transaction
from engine.store.vault_place import VaultPlace

#: what a commit writes besides its rows: index pages, ledger, headers
_COMMIT_OVERHEAD_BYTES = 64_000
#: the code of what concerns a damaged old file
SET_ASIDE = "STO-002"


class Core:
    """The shared state of one open SQLite store."""

    def __init__(
        self, folder: Path, keys: KeyRing, lock: DataLock, settings: StoreSettings
    ) -> None:
        self.folder = folder
        self.keys = keys
        self.lock = lock
        self.settings = settings
        self.failpoint = settings.get_failpoint()
        messages = folder / "messages"
        messages.mkdir(mode=0o700, exist_ok=True)
        self.files = DayFiles(
            messages, keys, lock, max_bytes=settings.max_day_bytes, failpoint=self.failpoint
        )
        self.readers = Readers(self.files.path)
        self.vault = VaultPlace(folder, translate=self.translate, fence=self.fence)
        self.holding = Holding()
        self.depths = Depths()
        #: newest committed accept number
        self.seq = 0
        #: days that can be read, oldest first; replaced, never changed in place
        self.days: tuple[str, ...] = ()
        #: days whose file is missing or set aside: nothing is done with them
        self.absent: dict[str, NotFound] = {}
        #: the day that messages were last taken into
        self._taking = ""
        #: keeps for good that a day's file was made; set when control.db is open
        self.note_day: Callable[[str], None] = lambda _day: None
        self.fenced: Fenced | None = None
        self.ready = Ready()
        self._tails: dict[str, Tail] = {}
        self._alarms: dict[str, StoreAlarm] = {}
        self._chores: dict[str, Callable[[], bool]] = {}
        #: chores that found no room
        self._postponed: dict[str, Callable[[], bool]] = {}
        self._memory_lock = threading.Lock()
        #: held while something is committed; who takes it stands between two commits
        self.moment = threading.RLock()
        #: held by who removes days, or copies them: a file and its keys go together
        self.keeping = threading.Lock()
        self._room = Room(folder, settings)
        self._reserve = Reserve(folder, min(settings.reserve_bytes, self._room.disk_bytes // 32))
        self._wake: Callable[[], None] = lambda: None

    # -- transactions --------------------------------------------------------------------------

    @contextmanager
    def transaction(self, day: str, *, create: bool = False) -> Iterator[Transaction]:
        """
        Commit what the block writes to *day*, or nothing of it.

        Raises:
            Fenced, StoreFull, Conflict, NotFound, MedbusError: as ``translate`` says.
        """
        with self.moment:
            yield from self._transaction(day, create=create)

    def _transaction(self, day: str, *, create: bool) -> Iterator[Transaction]:
        self.check_fence()
        transaction: Transaction | None = None
        try:
            file = self.open_day(day, create=create)
            if create:
                self._taking = day
            transaction = Transaction(file, self.seq)
            file.begin()
            yield transaction
            transaction.tally.write(file.connection)
            if transaction.ready:
                self.ready.add(transaction.ready)
            self.failpoint("commit.before")
            file.connection.execute("COMMIT")
        except BaseException as error:
            translated = self.translate(day, error) if isinstance(error, SqliteError) else None
            if transaction is not None:
                self._undo(day, transaction)
            if translated is not None:
                raise translated from None
            raise
        with self.after_commit():
            self.failpoint("commit.after")
            self._publish(transaction)

    @contextmanager
    def after_commit(self) -> Iterator[None]:
        """
        Fence when the block fails: it is no failure of the commit, which nobody may do again.

        The rows are durable and the memory is behind them; the next start reads them anew.
        """
        try:
            yield
        except Fenced:
            raise
        except Exception as error:
            if self.fenced is None:
                what = f"what follows a commit failed ({type(error).__name__})"
                self.fenced = Fenced(what, where=str(self.folder))
            raise self.fenced from error

    def _publish(self, transaction: Transaction) -> None:
        file = transaction.file
        self.depths.add(transaction.depths.items())
        # Last: who has seen a seq finds all that is before it (lanes page by it, on other threads).
        self.seq = transaction.seq
        if transaction.ready:
            self.ready.changed(transaction.ready)
        for after in transaction.after:
            after()
        while self._postponed:
            self.add_chore(*self._postponed.popitem())
        self.drop_alarm(f"locked {file.day}")
        file.wal_bytes += transaction.size_bytes + _COMMIT_OVERHEAD_BYTES
        # A checkpoint may need as much room again as the log has: on a small disk it comes sooner.
        if file.wal_bytes > min(self.settings.checkpoint_bytes, self._room.disk_bytes // 32):
            self.add_chore(f"checkpoint {file.day}", lambda: self._checkpoint(file.day))

    def _undo(self, day: str, transaction: Transaction) -> None:
        try:
            transaction.file.rollback()
        except SqliteError as error:
            self.translate(day, error)
        for undo in reversed(transaction.undo):
            undo()
        self.ready.changed(transaction.ready)

    def _checkpoint(self, day: str) -> bool:
        if self.files.is_open(day):
            try:
                self.files.get(day).checkpoint()
            except SqliteError as error:
                raise self.translate(day, error) from None
        return False

    def open_day(self, day: str, *, create: bool = False) -> DayFile:
        """Return a day open for writing."""
        self.refuse_absent(day)
        if day in self.days and self.files.is_open(day):
            return self.files.get(day)
        try:
            file = self.files.get(day, create=create)
            if day not in self.days:
                # In one moment, or a backup would know of a day that it has not copied.
                with self.moment:
                    self.note_day(day)
                    self.days = tuple(sorted({*self.days, day}))
            self.tail(day, file.connection)
        except SqliteError as error:
            raise self.translate(day, error) from None
        except OSError as error:
            # The key ring, the lock's note and the folder are written beside the file.
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreFull() from None
            raise self.fence(f"{os.strerror(error.errno or 0)} while making {day}") from None
        return file

    def refuse_absent(self, day: str) -> None:
        """Raise NotFound when the file of *day* is missing or set aside."""
        if day in self.absent:
            raise self.absent[day].with_traceback(None)

    @contextmanager
    def read(self, day: str) -> Iterator[Connection]:
        """Lend a read-only connection to *day*; errors come out translated."""
        if day not in self.days:
            self.refuse_absent(day)
            raise NotFound(f"nothing is stored for {day}", fix="it may have been pruned")
        try:
            with self.readers.use(day) as connection:
                yield connection
        except SqliteError as error:
            raise self.translate(day, error) from None

    # -- what errors mean ----------------------------------------------------------------------

    def translate(self, day: str, error: Exception) -> MedbusError:
        """Return the error to raise for an SQLite error on *day*, having acted on it."""
        failure = failure_of(error)
        if failure is Failure.FULL:
            self._reserve.give_up()
            return StoreFull()
        if failure is Failure.BUSY:
            locked = MedbusError(
                "another process holds the store's files",
                code="STO-004",
                where=day,
                fix="find it: nothing but the engine may open them",
            )
            alarm = StoreAlarm(locked.code, locked.what, where=day, fix=locked.fix)
            self.set_alarm(f"locked {day}", alarm)
            return locked
        if failure is Failure.STATEMENT:
            kind = Conflict if isinstance(error, IntegrityError) else MedbusError
            return kind(f"the store refused a value ({describe(error)})", code="STO-003")
        if day in self.absent:
            # Somebody else came upon it at the same moment.
            return self.absent[day].with_traceback(None)
        # Tomorrow's file may have been made: what is written is the one messages are taken into.
        is_current = day not in self.days or day >= (self._taking or self.days[-1])
        if is_current or (failure is Failure.IO and self.files.is_open(day)):
            return self.fence(f"{describe(error)} on the file of {day}")
        return self.quarantine(day, describe(error))

    def fence(self, what: str) -> Fenced:
        """Stop all writing for good."""
        if self.fenced is None:
            self.fenced = Fenced(f"the disk failed: {what}", where=str(self.folder))
        return self.fenced

    def check_fence(self) -> None:
        """Raise Fenced when the disk has failed before."""
        if self.fenced is not None:
            raise self.fenced

    def quarantine(self, day: str, why: str) -> MedbusError:
        """Set a damaged old file aside: it is no longer read, and an alarm says so."""
        owed = sum(self.depths.owed(day).values())
        self.set_alarm(
            f"quarantine {day}",
            StoreAlarm(
                "STO-002",
                f"the file of {day} is damaged ({why}) and set aside;"
                f" it owes {count_of(owed, 'delivery', 'deliveries')}",
                where=str(self.files.path(day)),
                fix="restore it from a backup and restart",
            ),
        )
        self.absent[day] = absent = NotFound(
            f"the file of {day} is damaged and set aside",
            code="STO-002",
            fix="restore it from a backup and restart",
        )
        # Before the days: who goes by what is owed must not come to a day that is no more.
        self.depths.forget(day)
        self.days = tuple(found for found in self.days if found != day)
        return absent

    # -- alarms, chores, space -----------------------------------------------------------------

    def set_alarm(self, key: str, alarm: StoreAlarm) -> None:
        """Raise or renew an alarm."""
        with self._memory_lock:
            self._alarms[key] = alarm

    def drop_alarm(self, key: str) -> None:
        """Take an alarm back."""
        with self._memory_lock:
            self._alarms.pop(key, None)

    def alarms(self) -> tuple[StoreAlarm, ...]:
        """Return the alarms that stand."""
        full = self._room.alarm()
        with self._memory_lock:
            return (*self._alarms.values(), *filter(None, (full,)))

    def set_wake(self, wake: Callable[[], None]) -> None:
        """Call *wake* when there is a new chore."""
        self._wake = wake

    def add_chore(self, key: str, chore: Callable[[], bool]) -> None:
        """
        Have *chore* called on the writer's thread between commits, again while it returns True.

        One with the same key that still waits is replaced. Any thread.
        """
        with self._memory_lock:
            self._chores[key] = chore
        self._wake()

    def step(self) -> bool:
        """Run the oldest chore; return whether more wait."""
        self.check_fence()
        with self._memory_lock:
            key = next(iter(self._chores), None)
            chore = self._chores.pop(key) if key is not None else None
        if key is None or chore is None:
            return False
        days = self.days
        try:
            goes_on = chore()
        except StoreFull:
            # Nothing is wrong but the room: tried again after the next commit that succeeds.
            self._postponed[key] = chore
            goes_on = False
        except MedbusError as error:
            if self.fenced is not None or error.code != SET_ASIDE:
                raise
            # Once more without the file that was just set aside; what is about that file is over.
            goes_on = self.days != days
        if goes_on:
            with self._memory_lock:
                self._chores.setdefault(key, chore)
        return bool(self._chores)

    def has_room(self, file: DayFile) -> bool:
        """Return whether arrivals may be stored; settlements have the rest to themselves."""
        if self._room.free_bytes() < self._room.least_bytes:
            return False
        limit = self.settings.max_day_bytes
        if limit:
            (pages,) = file.connection.execute("PRAGMA page_count").fetchone()
            (size,) = file.connection.execute("PRAGMA page_size").fetchone()
            if pages * size >= limit * 9 // 10:
                return False
        self._reserve.hold()
        return True

    # -- tails of the term index ---------------------------------------------------------------

    def tail(self, day: str, connection: Connection | None = None) -> Tail:
        """Return the unindexed messages of a day, read from its file the first time."""
        tail = self._tails.get(day)
        if tail is None:
            if connection is not None:
                loaded = load_tail(connection)
            else:
                with self.readers.use(day) as reader:
                    loaded = load_tail(reader)
            with self._memory_lock:
                tail = self._tails.setdefault(day, loaded)
        return tail

    def forget_tail(self, day: str) -> None:
        """Drop a day's tail; it is read again when asked for."""
        with self._memory_lock:
            self._tails.pop(day, None)
