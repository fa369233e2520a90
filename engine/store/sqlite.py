"""
The one module that imports SQLite: which library, how files are opened, what an error means.

Rules of this file: one connection per file writes and checkpoints, readers are read-only; no
mmap; WAL with synchronous=FULL, so that a COMMIT that returned is on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import sqlite3 as driver
else:
    try:
        # Bundles a newer SQLite: the standard library's may have the WAL-reset race (fixed in
        # 3.51.3), which damages a file that two connections write or checkpoint at once.
        import pysqlite3.dbapi2 as driver
    except ImportError:
        import sqlite3 as driver

Connection: TypeAlias = driver.Connection
Row: TypeAlias = tuple[Any, ...]
SqliteError = driver.Error
IntegrityError = driver.IntegrityError

PAGE_BYTES = 8192
_BUSY_MS = 5_000
#: a slice of a copy: 4 MB, or so many steps of a statement
_SLICE_PAGES, _SLICE_STEPS = 512, 1_000_000


class Failure(Enum):
    """What an SQLite error means for the engine."""

    #: the disk failed on read or write
    IO = "io"
    #: no room
    FULL = "full"
    #: the file is damaged
    DAMAGED = "damaged"
    #: another process holds it
    BUSY = "busy"
    #: this statement is wrong (a constraint, a value)
    STATEMENT = "statement"


_FULL, _IOERR, _CORRUPT, _NOTADB, _BUSY, _LOCKED, _CANTOPEN = 13, 10, 11, 26, 5, 6, 14
_MEANING = {
    _FULL: Failure.FULL,
    _IOERR: Failure.IO,
    _CANTOPEN: Failure.IO,
    _CORRUPT: Failure.DAMAGED,
    _NOTADB: Failure.DAMAGED,
    _BUSY: Failure.BUSY,
    _LOCKED: Failure.BUSY,
}


def failure_of(error: Exception) -> Failure:
    """Return what *error* means."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return Failure.STATEMENT
    return _MEANING.get(code & 0xFF, Failure.STATEMENT)


def describe(error: Exception) -> str:
    """Name an SQLite error by its code only: its text may quote a value."""
    return str(getattr(error, "sqlite_errorname", type(error).__name__))


def open_writer(path: Path, *, max_bytes: int = 0) -> Connection:
    """
    Open (or create) *path* for the only connection that writes it.

    Args:
        max_bytes: the file never grows beyond this; 0 is no limit.
    """
    connection = driver.connect(
        str(path), isolation_level=None, check_same_thread=False, cached_statements=256
    )
    try:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        connection.execute(f"PRAGMA page_size={PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA mmap_size=0")
        # Checkpoints are made by hand: the automatic ones swallow I/O errors.
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA temp_store=MEMORY")
        connection.execute("PRAGMA trusted_schema=OFF")
        if max_bytes:
            connection.execute(f"PRAGMA max_page_count={max(1, max_bytes // PAGE_BYTES)}")
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> Connection:
    """Open *path* read-only; usable from one thread at a time."""
    connection = driver.connect(
        f"file:{_quote(path)}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    connection.execute("PRAGMA query_only=ON")
    connection.execute("PRAGMA mmap_size=0")
    connection.execute("PRAGMA cache_size=-4000")
    return connection


def quick_check(connection: Connection) -> str:
    """Return "" when the file's structure is sound, else the first complaint's kind."""
    rows = connection.execute("PRAGMA quick_check(1)").fetchall()
    return "" if rows == [("ok",)] else "the file's structure is damaged"


def driver_text() -> str:
    """Return library and version, for the start-up line."""
    return f"SQLite {driver.sqlite_version} ({driver.__name__.partition('.')[0]}), WAL, FULL"


def _quote(path: Path) -> str:
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def is_wal(connection: Connection) -> bool:
    """Return whether the file may be read in a transaction without holding up who writes it."""
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return bool(mode == "wal")


def copy_into(
    connection: Connection,
    target: Path,
    after_slice: Callable[[], None],
    statements: Sequence[str],
) -> None:
    """
    Write what *connection* sees at this moment into an empty file, then run *statements* there.

    The caller syncs the file; *after_slice* is called all the time and may raise to end it.
    """

    def go_on() -> int:
        after_slice()
        return 0

    copy = driver.connect(str(target), isolation_level=None)
    try:
        copy.execute("PRAGMA synchronous=OFF")
        connection.backup(copy, pages=_SLICE_PAGES, sleep=0.0, progress=lambda *_: after_slice())
        # The copy says WAL in its header, as the original does; alone on its medium it needs none.
        copy.execute("PRAGMA journal_mode=DELETE")
        # One that does not come to its end is removed as a whole.
        copy.execute("PRAGMA journal_mode=OFF")
        copy.set_progress_handler(go_on, _SLICE_STEPS)
        for statement in statements:
            copy.execute(statement)
    finally:
        copy.close()
