"""
The lock of a data folder, and the note that says whether the last stop was clean.

The lock dies with its process, the note does not: a note found at start means that the last
engine was killed, and names the files it was writing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from pathlib import Path

from engine.model.errors import Locked
from engine.security.keyring import sync_folder

LOCK_FILE = "lock"
_NOTE_FILE = "running"


class DataLock:
    """Taken on construction, kept until ``release``."""

    def __init__(self, folder: Path) -> None:
        self._note = folder / _NOTE_FILE
        self._descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise Locked(
                "another engine or command uses this data folder",
                where=str(folder),
                fix="stop it first, or use another folder",
            ) from None
        self._files: set[str] = set()
        #: every file that was about to be opened since the lock was taken
        self._touched: set[str] = set()
        #: given back; nothing of the folder may be touched any more
        self.is_released = False
        #: the files that were being written when the last engine was killed
        self.left_open = _read_note(self._note)
        self.was_unclean = self.left_open is not None

    def opens(self, path: Path) -> None:
        """Remember that a file is about to be opened for writing."""
        self._touched.add(path.name)

    def add_file(self, path: Path) -> None:
        """Note that a file is being written; call it once it is open, before the first write."""
        # A power cut must not keep the note and lose the name of the WAL that was just made.
        sync_folder(path.parent)
        self._note_files(self._files | {path.name})

    def drop_file(self, name: str) -> None:
        """Note that a file is no longer being written; call it before closing the file."""
        if name in self._files:
            self._note_files(self._files - {name}, only_fewer=True)

    def forget_files(self) -> None:
        """
        Note that no file is being written: the process ends and SQLite closes what is open.

        Without this a WAL that SQLite removed in order would look like one that was lost.
        """
        if self._files and not self.is_released:
            self._note_files(set(), only_fewer=True)

    def leave(self) -> None:
        """
        Opening failed after a kill: keep in the note only what was not touched since.

        The files that were opened are closed in order now, which removes their WAL.
        """
        left = set(self.left_open or ())
        if self._touched:
            self._note_files(left - self._touched, only_fewer=True)

    def release(self, *, clean: bool) -> None:
        """Give the lock back; *clean*: everything was closed in order."""
        self.is_released = True
        if clean:
            self._note.unlink(missing_ok=True)
            sync_folder(self._note.parent)
        os.close(self._descriptor)

    def _note_files(self, names: set[str], *, only_fewer: bool = False) -> None:
        try:
            self._write(names)
        except OSError as error:
            if not only_fewer or error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # No room for a new note, and the old one would take a WAL that is removed in order
            # for a lost one. An empty one needs no room and says that the stop was not clean.
            with open(self._note, "r+b") as file:
                file.truncate(0)
                os.fsync(file.fileno())
        # Last: what could not be noted is as it was.
        self._files = names

    def _write(self, names: set[str]) -> None:
        beside = self._note.with_name(_NOTE_FILE + ".writing")
        with open(beside, "w", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), "files": sorted(names)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, self._note)
        sync_folder(self._note.parent)


def is_locked(folder: Path) -> bool:
    """Return whether some process uses the data folder."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read_note(path: Path) -> frozenset[str] | None:
    try:
        return frozenset(json.loads(path.read_text("utf-8"))["files"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # A note cut short is still a note: the last engine did not stop cleanly.
        return frozenset()
