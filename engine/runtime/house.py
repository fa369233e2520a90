"""Keeping house: prune, backup, and what there is to say about keys."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.model.errors import MedbusError, Stopping
from engine.runtime.desk import Desk
from engine.runtime.views import View
from engine.store.interface import PruneReport, Retention

log = logging.getLogger(__name__)

#: alarms of the store about a day that is not there to be copied
_ABSENT = ("STO-002", "STO-015")


def prune(desk: Desk, *, dry_run: bool, clock_is_right: bool = False) -> View:
    """Delete what retention says may go; return what went or would go."""
    wanted = desk.configuration.site.retention
    retention = Retention(bodies_s=wanted.bodies, metadata_s=wanted.metadata)
    now = desk.clock.now()
    try:
        report = desk.access.run(
            lambda store: store.prune_steps(
                retention, now=now, dry_run=dry_run, clock_is_right=clock_is_right
            )
        )
    except Stopping:
        raise Stopping(
            "the engine stops: the prune was ended, and each day is as it was or done",
            code="RUN-046",
            fix="prune again for the rest; what is left goes in the next nights by itself",
        ) from None
    return view_prune(report)


def view_prune(report: PruneReport) -> View:
    """Return a prune report line by line."""
    # A dry run where the clock stops every run: what is due, and stays.
    word = "due" if report.stopped else "deleted"
    rows = [{"day": day, "action": f"bodies {word}", "note": ""} for day in report.bodies]
    rows += [{"day": day, "action": word, "note": ""} for day in report.days]
    rows += [{"day": day, "action": "kept", "note": what} for day, what in report.owing]
    if report.left and not report.stopped:
        rows.append({"day": "", "action": "left", "note": f"{report.left} more for later nights"})
    if report.stopped:
        rows.append({"day": "", "action": "stopped", "note": report.stopped})
    return {"items": rows, "next": "", "stopped": report.stopped}


def backup(desk: Desk, folder_name: str, *, with_keys: bool) -> View:
    """Write a consistent copy of the store to a new folder; a stop ends it."""
    folder = Path(folder_name)

    def go_on() -> None:
        if desk.engine is not None and desk.engine.is_stopping:
            raise Stopping(
                "the engine stops: the backup was ended, and what there was of it is removed",
                code="RUN-044",
                where=folder_name,
                fix="make it again once the engine runs, or now, while it is stopped",
            )

    try:
        desk.store.backup(folder, with_master=with_keys, go_on=go_on)
    except Stopping:
        log.warning("a backup was ended by the stop", extra={"path": folder_name})
        raise
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
        "left_out": [one.what for one in desk.store.alarms() if one.code in _ABSENT],
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
