"""
A copy of the data folder while the engine runs.

What is being written is copied as it was at one moment between two commits, control.db and all
days together: what the copy holds is what was committed first, and an operation that was under
way goes on where it is opened. Wrapped keys go along; the master key only where it is asked for:
a backup that carries its own key protects nothing.

Rules of this file: a file that is written is read in one transaction, or SQLite would begin
anew with each commit and never end; a file at rest is not, or nobody could open it meanwhile.
No day is removed while days are copied. What is not whole is removed, or says that it is not.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path

from engine.model.errors import Conflict, MedbusError
from engine.security.folders import make_folder
from engine.security.keyring import sync_folder, write_durably
from engine.store.control_file import HEAD_FILE, ControlFile
from engine.store.control_file import NAME as CONTROL_NAME
from engine.store.core import Core
from engine.store.sqlite import Connection, SqliteError, copy_into, is_wal
from engine.store.startup import UNFINISHED
from engine.store.unlinking import freed_later

#: called between two slices; raises when the copy is to be given up
GoOn = Callable[[], None]

#: how long to wait for a prune before it is asked whether to go on
_PRUNE_WAIT_S = 0.1
#: slices between two syncs, so that the last sync is no long one
_SYNC_EVERY = 16
#: Each owed delivery may have been sent since, by the store that was copied. The states are
#: literal, so that the index of just these rows is used.
_UNCERTAIN = tuple(
    f"UPDATE deliveries SET uncertain = 1 WHERE state = '{state}' AND body > 0"  # noqa: S608
    for state in ("pending", "held", "parked")
)


def backup(
    core: Core, control: ControlFile, folder: Path, *, with_master: bool, go_on: GoOn
) -> None:
    """
    Write the copy into *folder*, which must be empty or absent; see the interface.

    Raises:
        Conflict: there is something in it.
        MedbusError: it cannot be written; the store goes on.
    """
    with _whole_or_nothing(folder), _no_prune(core, go_on):
        messages, keys = folder / "messages", folder / "keys"
        # Before the moment: a noted head may be older than the audit chain, never newer.
        head = core.keys.folder / HEAD_FILE
        if head.exists():
            write_durably(keys / HEAD_FILE, head.read_bytes())
        days = _copy_moment(core, control, folder, go_on)
        for day in days:
            if day not in core.days:
                continue  # set aside just now; the alarm tells
            with core.read(day) as connection:
                _copy(connection, messages / core.files.path(day).name, go_on, _UNCERTAIN)
        # After the days: the ring then holds the keys of every day that was copied.
        core.keys.copy_to(keys, with_master=with_master)


def _copy_moment(core: Core, control: ControlFile, folder: Path, go_on: GoOn) -> list[str]:
    """Copy what is being written, as it is at one moment; return the days that are at rest."""
    written = {day for day in core.days if _is_written(core, day)}
    with ExitStack() as held:
        with core.moment:
            days = core.days
            written.update(core.files.open_days())
            connections = {
                core.files.path(day).name: _hold(held, core.read(day))
                for day in sorted(written.intersection(days))
            }
            control_now = _hold(held, control.readers.use(CONTROL_NAME))
        for name, connection in connections.items():
            _copy(connection, folder / "messages" / name, go_on, _UNCERTAIN)
        _copy(control_now, folder / CONTROL_NAME, go_on)
    return [day for day in days if day not in written]


def _is_written(core: Core, day: str) -> bool:
    with core.read(day) as connection:
        return is_wal(connection)


def _hold(held: ExitStack, reading: AbstractContextManager[Connection]) -> Connection:
    """Return a connection that sees, until *held* ends, what is committed now."""
    connection = held.enter_context(reading)
    connection.execute("BEGIN")
    held.callback(connection.execute, "COMMIT")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return connection


def _copy(
    connection: Connection, target: Path, go_on: GoOn, statements: Sequence[str] = ()
) -> None:
    descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    slices = 0

    def after_slice() -> None:
        nonlocal slices
        go_on()
        slices += 1
        if slices % _SYNC_EVERY == 0:
            os.fsync(descriptor)

    try:
        copy_into(connection, target, after_slice, statements)
        os.fsync(descriptor)
    except SqliteError as error:
        go_on()
        # Not for who lends the connection: there it would count as trouble of the store's disk.
        raise MedbusError(
            f"the backup could not be written: {error}", code="RUN-031", where=str(target)
        ) from None
    finally:
        os.close(descriptor)


@contextmanager
def _no_prune(core: Core, go_on: GoOn) -> Iterator[None]:
    """Wait for a running prune, and put off others: a day's file and its keys go together."""
    go_on()
    while not core.keeping.acquire(timeout=_PRUNE_WAIT_S):
        go_on()
    try:
        yield
    finally:
        core.keeping.release()


@contextmanager
def _whole_or_nothing(folder: Path) -> Iterator[None]:
    """Remove what was made when the block fails; a kill leaves a note that no store opens."""
    note = folder / UNFINISHED
    if note.exists():
        raise Conflict(f"a backup was cut short in {folder}", fix="remove it, then try again")
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", fix="name a new folder for each backup")
    is_new = not folder.exists()
    try:
        make_folder(folder, 0o700)
        write_durably(note, b"this backup is not whole\n")
        for name in ("messages", "keys"):
            (folder / name).mkdir(0o700)
        yield
        for path in (folder / "messages", folder / "keys", folder):
            sync_folder(path)
        note.unlink()
        sync_folder(folder)
    except BaseException:
        with suppress(OSError):
            _remove(folder, is_new=is_new)
        raise


def _remove(folder: Path, *, is_new: bool) -> None:
    for path in [*folder.glob("messages/*"), folder / CONTROL_NAME]:
        with freed_later(path):
            path.unlink(missing_ok=True)
    for name in ("messages", "keys"):
        shutil.rmtree(folder / name, ignore_errors=True)
    # Last: what could not be removed must still say what it is.
    (folder / UNFINISHED).unlink(missing_ok=True)
    if is_new:
        folder.rmdir()
