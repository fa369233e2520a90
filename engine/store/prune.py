"""
Removing what is past its time: first the bodies of a day, then the day.

Bodies go by writing the day anew without them and renaming, so that nothing of them is left in
free pages; then their key is dropped. A day that owes anything is kept, with an alarm. One new
day per run and stage at most, with one of those that were left before, and none at all when the
clock moved more than a day by itself. Who says that it is right has all removed that is due.

Rules of this file: an intent is noted before a file is touched and taken back at the end, so that
a crash in between is finished at the next start. Only an intent lets a key be dropped.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep

from engine.model.errors import PutOff
from engine.security.keyring import BODIES, EVIDENCE, sync_folder
from engine.store.control_file import ControlFile
from engine.store.core import Core
from engine.store.records import PruneReport, Retention, StoreAlarm
from engine.store.schema import DAY_MIGRATIONS, DAY_TABLES, migrate
from engine.store.sqlite import Connection, SqliteError, open_writer
from engine.store.unlinking import freed_later

_DAY_S = 86_400.0
#: a site's day ends at most this long after the same day of UTC
_ZONE_S = 12 * 3_600.0
#: after a restart only the wall clock tells: nightly runs are a day and a little apart, 25 hours
#: where summer time ends
_NIGHTLY_SLACK_S = 2 * 3600
_INTENT, _LAST_RUN = "pruning", "pruned_at"
_CLOCK = "prune clock"
_CLOCK_FIX = (
    "set the clock; where it is right (the engine was stopped for so long), say so with"
    " `medbus prune --clock-is-right`"
)
_REWRITE_SUFFIX = ".pruning"
#: rows copied between two commits of others
_SLICE = 2_000
#: a day that somebody reads is asked again so often, with others' commits in between
_REST_TRIES, _REST_PAUSE_S = 400, 0.02
#: tables large enough to be copied in slices, with the column to go by
_LARGE = {"messages": "n", "deliveries": "id", "attempts": "id", "term_runs": "id"}


class Pruning:
    """Plans and does it; writer's thread only."""

    def __init__(self, core: Core, control: ControlFile) -> None:
        self._core = core
        self._control = control
        #: wall and monotonic time of the last run in this process
        self._last_run: tuple[float, float] | None = None
        if not control.get_setting(_LAST_RUN):
            # A new store: nothing is older, so this is as good as a run.
            control.put_setting(_LAST_RUN, repr(core.settings.now()))

    def run(
        self, retention: Retention, *, now: float, dry_run: bool, clock_is_right: bool
    ) -> Generator[None, None, PruneReport]:
        """Do one run in slices; see the interface."""
        if dry_run or self._core.keeping.acquire(blocking=False):
            try:
                return (yield from self._run(retention, now, dry_run, clock_is_right))
            finally:
                if not dry_run:
                    self._core.keeping.release()
        raise PutOff(fix="prune again then; the nightly run waits for it by itself")

    def _run(
        self, retention: Retention, now: float, dry_run: bool, clock_is_right: bool
    ) -> Generator[None, None, PruneReport]:
        plan = self._plan(retention, now, everything=clock_is_right)
        stopped = "" if clock_is_right else self._clock_moved(now)
        if dry_run:
            return replace(plan, stopped=stopped)
        if stopped:
            # The last run stays what it was: the clock is asked again, until it is told right.
            if not plan.bodies and not plan.days:
                return PruneReport(owing=plan.owing)
            self._core.set_alarm(_CLOCK, StoreAlarm("STO-010", stopped, fix=_CLOCK_FIX))
            return PruneReport(owing=plan.owing, stopped=f"{stopped}; {_CLOCK_FIX}")
        self._core.drop_alarm(_CLOCK)
        self._last_run = (now, monotonic())
        self._control.put_setting(_LAST_RUN, repr(now))
        self._alarm(plan.owing)
        bodies = []
        for day in plan.bodies:
            if (yield from self._prune_bodies(day)):
                bodies.append(day)
        for day in plan.days:
            self._prune_day(day)
            yield
        return replace(plan, bodies=tuple(bodies))

    def finish_cut_short(self) -> None:
        """Finish what a crash interrupted, and remove half-written files."""
        for path in self._core.files.folder.glob(f"*{_REWRITE_SUFFIX}*"):
            path.unlink()
        what, _, day = self._control.get_setting(_INTENT).partition(" ")
        if what == "day":
            self._prune_day(day)
        elif what == "bodies" and self._is_rewritten(day):
            self._drop_bodies_key(day)
        elif what:
            self._control.put_setting(_INTENT, "")

    # -- planning ------------------------------------------------------------------------------

    def _plan(self, retention: Retention, now: float, *, everything: bool) -> PruneReport:
        """Return what a run at *now* would do."""
        days = self._due(retention.metadata_s, now)
        bodies = [
            day
            for day in self._due(retention.bodies_s, now)
            if day not in days and self._core.keys.has_day(day, BODIES)
        ]
        owing = tuple((day, what) for day in sorted({*days, *bodies}) if (what := self._owed(day)))
        kept = {day for day, _ in owing}
        bodies = [day for day in bodies if day not in kept]
        days = [day for day in days if day not in kept]
        due = len(bodies) + len(days)
        if not everything:
            bodies = self._choose(bodies, retention.bodies_s)
            days = self._choose(days, retention.metadata_s)
        left = due - len(bodies) - len(days)
        return PruneReport(tuple(bodies), tuple(days), owing, left=left)

    def _choose(self, days: list[str], keep_s: float | None) -> list[str]:
        """Return one day that is new, and one that was due at the last run: so it catches up."""
        last = float(self._control.get_setting(_LAST_RUN) or 0)
        old = [day for day in days if _is_due(day, keep_s, last)]
        new = [day for day in days if day not in old]
        return old[:1] + new[:1]

    def _clock_moved(self, now: float) -> str:
        if self._last_run is not None:
            wall, steady = self._last_run
            moved, allowed = (now - wall) - (monotonic() - steady), _DAY_S
        else:
            last = self._control.get_setting(_LAST_RUN)
            moved, allowed = now - float(last) if last else 0.0, _DAY_S + _NIGHTLY_SLACK_S
        if abs(moved) <= allowed:
            return ""
        return f"the clock moved by {moved / 3600:.0f} h since the last run: nothing is removed"

    def _due(self, keep_s: float | None, now: float) -> list[str]:
        return [day for day in self._core.days if _is_due(day, keep_s, now)]

    def _owed(self, day: str) -> str:
        owed = self._core.depths.owed(day)
        return ", ".join(
            f"{count} {state.value} to {outbound}"
            for (outbound, state), count in sorted(owed.items())
        )

    def _alarm(self, owing: tuple[tuple[str, str], ...]) -> None:
        for day, what in owing:
            self._core.set_alarm(
                f"owing {day}",
                StoreAlarm(
                    "STO-011",
                    f"{day} is past its time but still owes {what}",
                    where=day,
                    fix="see that they are delivered, or cancel them",
                ),
            )
        for day in self._core.days:
            if day not in {found for found, _ in owing}:
                self._core.drop_alarm(f"owing {day}")

    # -- bodies --------------------------------------------------------------------------------

    def _prune_bodies(self, day: str) -> Generator[None, None, bool]:
        """Do it; return False when somebody uses the day just now: then another night."""
        core = self._core
        path = core.files.path(day)
        target = path.with_name(path.name + _REWRITE_SUFFIX)
        _remove(target)
        core.forget_tail(day)
        for _ in range(_REST_TRIES):
            if self._put_to_rest(day, path):
                break
            sleep(_REST_PAUSE_S)
            yield
        else:
            return False
        try:
            yield from self._rewrite(day, path, target)
        except SqliteError as error:
            raise core.translate(day, error) from None
        if self._owed(day) or core.files.is_open(day):
            # A late refusal reopened the day meanwhile: the copy is stale.
            _remove(target)
            return False
        self._control.put_setting(_INTENT, f"bodies {day}")
        core.failpoint("prune.before_rename")
        core.readers.close(day)
        with freed_later(path):
            os.replace(target, path)
            _remove_sidecars(path)
            sync_folder(path.parent)
        core.failpoint("prune.after_rename")
        self._drop_bodies_key(day)
        return True

    def _put_to_rest(self, day: str, path: Path) -> bool:
        """
        Close a day for writing; from there on only a late refusal would open it again.

        It must have no WAL: that would be taken for the new file's after a crash in between.
        """
        files = self._core.files
        self._core.readers.close(day)
        if files.is_open(day) or path.with_name(path.name + "-wal").exists():
            self._core.open_day(day)
            files.rest(day)
        return not files.is_open(day)

    def _rewrite(self, day: str, path: Path, target: Path) -> Generator[None, None, None]:
        connection = open_writer(target)
        try:
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("PRAGMA synchronous=OFF")  # synced here, after each slice
            migrate(connection, DAY_MIGRATIONS)
            connection.execute("ATTACH ? AS old", (str(path),))
            for table in DAY_TABLES:
                for _ in _copy_table(connection, table):
                    # Slice by slice: all at once at the end would make everybody wait for it.
                    _sync_file(target)
                    yield
            connection.execute(
                "INSERT OR REPLACE INTO meta VALUES ('bodies', 'pruned')",
            )
            connection.execute("DETACH old")
        finally:
            connection.close()
        target.chmod(0o600)
        _sync_file(target)

    def _is_rewritten(self, day: str) -> bool:
        if day not in self._core.days:
            return False
        with self._core.read(day) as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = 'bodies'").fetchone()
        return row is not None

    def _drop_bodies_key(self, day: str) -> None:
        self._core.keys.drop_day(day, BODIES)
        self._control.put_setting(_INTENT, "")

    # -- days ----------------------------------------------------------------------------------

    def _prune_day(self, day: str) -> None:
        core = self._core
        self._control.put_setting(_INTENT, f"day {day}")
        core.failpoint("prune.before_unlink")
        core.days = tuple(found for found in core.days if found != day)
        core.files.close(day)
        core.readers.close(day)
        core.forget_tail(day)
        path = core.files.path(day)
        with freed_later(path):
            path.unlink(missing_ok=True)
            _remove_sidecars(path)
            sync_folder(path.parent)
        for purpose in (BODIES, EVIDENCE):
            core.keys.drop_day(day, purpose)
        self._control.put_setting(_INTENT, "")


def _copy_table(connection: Connection, table: str) -> Generator[None, None, None]:
    column = _LARGE.get(table)
    if column is None:
        connection.execute(f"INSERT INTO {table} SELECT * FROM old.{table}")  # noqa: S608
        return
    (last,) = connection.execute(f"SELECT max({column}) FROM old.{table}").fetchone()  # noqa: S608
    at = -1
    while last is not None and at < last:
        row = connection.execute(
            f"SELECT {column} FROM old.{table} WHERE {column} > ?"  # noqa: S608
            f" ORDER BY {column} LIMIT 1 OFFSET ?",
            (at, _SLICE - 1),
        ).fetchone()
        end = row[0] if row else last
        connection.execute(
            f"INSERT INTO {table} SELECT * FROM old.{table}"  # noqa: S608
            f" WHERE {column} > ? AND {column} <= ?",
            (at, end),
        )
        at = end
        yield


def _is_due(day: str, keep_s: float | None, at: float) -> bool:
    return keep_s is not None and at - _end_of(day) > max(keep_s, _DAY_S)


def _end_of(day: str) -> float:
    start = datetime(int(day[:4]), int(day[4:6]), int(day[6:8]), tzinfo=UTC)
    return start.timestamp() + _DAY_S + _ZONE_S


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _remove_sidecars(path)


def _remove_sidecars(path: Path) -> None:
    for suffix in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
