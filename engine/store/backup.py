"""
A copy of the data folder while the engine runs.

What is being written is copied as it was at one moment between two commits, control.db and all
days together: what the copy holds is what was committed first, and an operation that was under
way goes on where it is opened. Wrapped keys go along; the master key does not: a backup that
carries its own key protects nothing.

Rules of this file: a file that is written is read in one transaction, or SQLite would begin
anew with each commit and never end; a file at rest is not, or nobody could open it meanwhile.
"""

from __future__ import annotations

import os
import shutil
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from engine.model.errors import Conflict, MedbusError
from engine.security.keyring import RING_FILE, sync_folder
from engine.store.control_file import HEAD_FILE, ControlFile
from engine.store.control_file import NAME as CONTROL_NAME
from engine.store.core import Core
from engine.store.sqlite import Connection, SqliteError, copy_into


def backup(core: Core, control: ControlFile, folder: Path) -> None:
    """
    Write the copy into *folder*, which must be empty or absent.

    Raises:
        Conflict: there is something in it.
        MedbusError: it cannot be written; the store goes on.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", fix="name a new folder for each backup")
    messages = folder / "messages"
    messages.mkdir(mode=0o700, parents=True)
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    # Before the moment: a noted head may be older than the audit chain, never newer.
    _copy_key_file(core, keys, HEAD_FILE)
    with ExitStack() as held:
        with core.moment:
            days = core.days
            # The newest two also before their first message since the start.
            written = {
                day: _hold(held, core.read(day))
                for day in sorted({*core.files.open_days(), *days[-2:]}.intersection(days))
            }
            control_now = _hold(held, control.readers.use(CONTROL_NAME))
        for day, connection in written.items():
            _copy(connection, messages / core.files.path(day).name)
        _copy(control_now, folder / CONTROL_NAME)
    for day in days:
        if day not in written and day in core.days:
            with core.read(day) as connection:
                _copy(connection, messages / core.files.path(day).name)
    # After the days: the ring then holds the keys of every day that was copied.
    _copy_key_file(core, keys, RING_FILE)
    for path in (messages, keys, folder):
        sync_folder(path)


def _hold(held: ExitStack, reading: AbstractContextManager[Connection]) -> Connection:
    """Return a connection that sees, until *held* ends, what is committed now."""
    connection = held.enter_context(reading)
    connection.execute("BEGIN")
    held.callback(connection.execute, "COMMIT")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    return connection


def _copy_key_file(core: Core, keys: Path, name: str) -> None:
    source = core.keys.folder / name
    if source.exists():
        shutil.copyfile(source, keys / name)
        (keys / name).chmod(0o600)


def _copy(connection: Connection, target: Path) -> None:
    try:
        copy_into(connection, target)
    except SqliteError as error:
        # Not for who lends the connection: there it would count as trouble of the store's disk.
        raise MedbusError(
            f"the backup could not be written: {error}", code="RUN-031", where=str(target)
        ) from None
    target.chmod(0o600)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
