"""Keeping house: prune, backup, and what there is to say about keys."""

from __future__ import annotations

import shutil
from pathlib import Path

from engine.model.errors import Conflict, MedbusError
from engine.runtime.desk import Desk
from engine.runtime.views import View
from engine.security.folders import make_folder
from engine.security.keyring import MASTER_FILE
from engine.store.interface import PruneReport, Retention


def prune(desk: Desk, *, dry_run: bool, clock_is_right: bool = False) -> View:
    """Delete what retention says may go; return what went or would go."""
    wanted = desk.configuration.site.retention
    retention = Retention(bodies_s=wanted.bodies, metadata_s=wanted.metadata)
    now = desk.clock.now()
    report = desk.access.run(
        lambda store: store.prune_steps(
            retention, now=now, dry_run=dry_run, clock_is_right=clock_is_right
        )
    )
    return view_prune(report)


def view_prune(report: PruneReport) -> View:
    """Return a prune report line by line."""
    rows = [{"day": day, "action": "bodies deleted", "note": ""} for day in report.bodies]
    rows += [{"day": day, "action": "deleted", "note": ""} for day in report.days]
    rows += [{"day": day, "action": "kept", "note": what} for day, what in report.owing]
    if report.stopped:
        rows.append({"day": "", "action": "stopped", "note": report.stopped})
    return {"items": rows, "next": "", "stopped": report.stopped}


def backup(desk: Desk, folder_name: str, *, with_keys: bool) -> View:
    """Write a consistent copy of the store to a new folder."""
    folder = Path(folder_name)
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(f"{folder} is not empty", fix="name a new folder")
    try:
        make_folder(folder, 0o700)
        desk.store.backup(folder)
        if with_keys:
            shutil.copy2(desk.keys.folder / MASTER_FILE, folder / "keys" / MASTER_FILE)
    except OSError as error:
        raise MedbusError(
            f"the backup could not be written: {error.strerror}", code="RUN-031", where=folder_name
        ) from None
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        "folder": folder_name,
        "count": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "with_keys": with_keys,
    }


def view_keys(desk: Desk) -> View:
    """Return which keys there are; never their bytes."""
    return {
        "folder": str(desk.keys.folder),
        "items": [
            *({"name": name, "purpose": "pseudonyms"} for name in desk.keys.named_keys()),
            *({"name": day, "purpose": "a day's store"} for day in desk.store.facts().days),
        ],
        "next": "",
    }
