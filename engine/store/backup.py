"""
A copy of the data folder while the engine runs.

Each file is copied at one moment, the day files first and control.db last, so that whatever a
message names (snapshot, operation) is in the copy. Wrapped keys go along; the master key does
not: a backup that carries its own key protects nothing.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from engine.model.errors import Conflict
from engine.security.keyring import RING_FILE, sync_folder
from engine.store.control_file import NAME as CONTROL_NAME
from engine.store.control_file import ControlFile
from engine.store.core import Core
from engine.store.sqlite import Connection, copy_into


def backup(core: Core, control: ControlFile, folder: Path) -> None:
    """
    Write the copy into *folder*, which must be empty or absent.

    Raises:
        Conflict: there is something in it.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", fix="name a new folder for each backup")
    messages = folder / "messages"
    messages.mkdir(mode=0o700, parents=True)
    keys = folder / "keys"
    keys.mkdir(mode=0o700)
    for day in core.days:
        with core.read(day) as connection:
            _copy(connection, messages / core.files.path(day).name)
    # After the days: the ring then holds the keys of every day that was copied.
    for name in (RING_FILE, "audit.head"):
        source = core.keys.folder / name
        if source.exists():
            shutil.copyfile(source, keys / name)
            (keys / name).chmod(0o600)
    with control.readers.use(CONTROL_NAME) as connection:
        _copy(connection, folder / CONTROL_NAME)
    for path in (messages, keys, folder):
        sync_folder(path)


def _copy(connection: Connection, target: Path) -> None:
    copy_into(connection, target)
    target.chmod(0o600)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
