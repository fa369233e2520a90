"""Folders that are still there after a power cut."""

from __future__ import annotations

from pathlib import Path

from engine.security.keyring import sync_folder


def make_folder(folder: Path, mode: int) -> None:
    """
    Make *folder*, and what is missing above it, and sync each new name.

    Without the sync, all that is synced inside may vanish with the folder's own name.
    """
    if folder.is_dir():
        return
    make_folder(folder.parent, mode)
    folder.mkdir(mode, exist_ok=True)
    sync_folder(folder.parent)
