"""
Opening a store: what the files say goes into memory, and what a crash left is put right.

Before anything is accepted: a write with fsync is tried, files left open by a killed engine are
recovered and checkpointed, a missing WAL of such a file is refused.
"""

from __future__ import annotations

from pathlib import Path

from engine.model.errors import MedbusError, NotFound, Sealed
from engine.model.states import DeliveryState
from engine.security.keyring import KeyRing
from engine.store.control_file import HEAD_FILE, ControlFile
from engine.store.control_file import NAME as CONTROL_NAME
from engine.store.core import Core
from engine.store.depths import OWED
from engine.store.followers import Followers
from engine.store.holding import Halt, split_keys
from engine.store.ids import delivery_id
from engine.store.records import StoreAlarm
from engine.store.schema import DAY_MIGRATIONS
from engine.store.sqlite import (
    Connection,
    Failure,
    SqliteError,
    describe,
    failure_of,
    is_wal,
    quick_check,
)

#: a structure check of a file up to this size is worth its time at an unclean start
_CHEAP_CHECK_BYTES = 64_000_000
_KEYS_FOLDER = "keys"
#: a setting: the days whose file was made
_DAYS = "days"
#: in the folder of a backup that is being made
UNFINISHED = "unfinished"

_HOLDS = """
SELECT id, seq, place, outbound, keys FROM deliveries WHERE holding = 1"""
_MERGES = """
SELECT id, seq, place, outbound, keys FROM deliveries
WHERE multi = 1 AND state IN ('pending', 'held')"""
_HALTS = """
SELECT id, seq, place, outbound, keys FROM deliveries
WHERE state = 'parked' AND on_park = 'halt' AND released = 0"""


def open_keys(folder: Path) -> KeyRing:
    """
    Return the key ring of a data folder, made at the very first start only.

    Raises:
        Sealed: there is data but no ring, or the ring does not open.
    """
    keys = folder / _KEYS_FOLDER
    if KeyRing.exists(keys):
        return KeyRing.open(keys)
    if (folder / CONTROL_NAME).exists() or any((folder / "messages").glob("*.db")):
        raise Sealed(
            "there is data, but its key ring is missing",
            where=str(keys),
            fix="bring the keys folder back from a backup; without it the data stays sealed",
        )
    return KeyRing.create(keys)


def refuse_unfinished(folder: Path) -> None:
    """
    Refuse a backup that was cut short.

    Raises:
        MedbusError: with the way back.
    """
    if (folder / UNFINISHED).exists():
        raise MedbusError(
            "this is a backup that was cut short: not everything is in it",
            code="STO-016",
            where=str(folder),
            fix="restore another one, and remove this one",
        )


def refuse_missing_wal(core: Core) -> None:
    """
    Refuse when a file that was being written lost its WAL: what was acknowledged is in there.

    Raises:
        MedbusError: with the way back.
    """
    for name in sorted(core.lock.left_open or ()):
        folder = core.folder if name == CONTROL_NAME else core.files.folder
        path = folder / name
        if path.exists() and not path.with_name(name + "-wal").exists():
            raise MedbusError(
                f"the write-ahead log of {name} is gone; it held the newest messages",
                code="STO-007",
                where=str(path) + "-wal",
                fix="bring it back, or restore the data folder from a backup; to go on without"
                " what it held, remove the file 'running' in the data folder",
            )


def refuse_missing_control(folder: Path, keys: KeyRing) -> None:
    """
    Refuse when the key ring has seen an audit record and control.db is not there.

    Raises:
        MedbusError: with the way back.
    """
    path, head = folder / CONTROL_NAME, keys.folder / HEAD_FILE
    if head.exists() and (not path.exists() or not path.stat().st_size):
        raise MedbusError(
            "control.db is gone; it held the audit records, pauses and configurations",
            code="STO-014",
            where=str(path),
            fix="restore the data folder from a backup; to go on without what it held, remove"
            " keys/audit.head",
        )


def watch_days(core: Core, control: ControlFile) -> None:
    """
    Find the days whose file is missing, and have control.db know of each file that is made.

    A day is known once its file is on the disk, and before anything is written to it; a prune
    drops its keys. A missing one gets an alarm, and is never made anew.
    """
    kept = control.get_setting(_DAYS)
    keyed = core.keys.days()
    # A store of an older version knows keys only: the newest may have been in the making when the
    # engine was killed, or copied.
    known = set(keyed & set(kept.split()) if kept else keyed - {max(keyed, default="")})
    present = set(core.files.days())
    for day in sorted(known - present):
        _tell_missing(core, day)

    def note(day: str) -> None:
        known.add(day)
        control.put_setting(_DAYS, " ".join(sorted(known & core.keys.days())))

    known |= present
    if sorted(known) != kept.split():
        control.put_setting(_DAYS, " ".join(sorted(known)))
    core.note_day = note


def _tell_missing(core: Core, day: str) -> None:
    core.absent[day] = NotFound(
        f"the file of {day} is missing",
        code="STO-015",
        fix="restore it from a backup and restart",
    )
    core.set_alarm(
        f"missing {day}",
        StoreAlarm(
            "STO-015",
            f"the file of {day} is missing: what it owes is in no queue, and no message of that"
            " day is taken",
            where=str(core.files.path(day)),
            fix="restore it from a backup and restart; to go on without what it held,"
            " make an empty file of that name, and restart",
        ),
    )


def load_days(core: Core) -> None:
    """Read every day into memory; a damaged old day is set aside."""
    days = core.files.days()
    core.days = tuple(days)
    for day in days:
        try:
            _load_day(core, day)
        except SqliteError as error:
            is_last = day == days[-1]
            if is_last or failure_of(error) not in (Failure.DAMAGED, Failure.IO):
                raise MedbusError(
                    f"the file of {day} cannot be opened ({describe(error)})",
                    code="STO-008",
                    where=str(core.files.path(day)),
                    fix="restore the data folder from a backup",
                ) from None
            core.files.close(day)
            core.quarantine(day, describe(error))


def resume_followers(core: Core, followers: Followers) -> None:
    """Go on with moves that a crash cut short."""
    for outbound in sorted(core.depths.outbounds()):
        followers.resume(outbound)


def _load_day(core: Core, day: str) -> None:
    path = core.files.path(day)
    # A kill while the file was made or put to rest leaves a journal that no reader may roll back.
    has_journal = path.with_name(path.name + "-journal").exists()
    if has_journal or path.name in (core.lock.left_open or ()):
        # Opening recovers the WAL; the checkpoint proves that the file itself can be written.
        file = core.files.get(day)
        file.checkpoint()
        if path.stat().st_size <= _CHEAP_CHECK_BYTES:
            complaint = quick_check(file.connection)
            if complaint:
                core.files.close(day)
                raise MedbusError(
                    complaint,
                    code="STO-008",
                    where=str(path),
                    fix="restore the data folder from a backup",
                )
    with core.readers.use(day) as connection:
        # A kill may have come between the file and its first table.
        known = "SELECT count(*) FROM sqlite_master WHERE name = 'migrations'"
        names = []
        if connection.execute(known).fetchone()[0]:
            rows = connection.execute("SELECT name FROM migrations ORDER BY position")
            names = [row[0] for row in rows]
    if names != [migration.name for migration in DAY_MIGRATIONS]:
        core.files.get(day)
    with core.readers.use(day) as connection:
        (last,) = connection.execute("SELECT max(seq) FROM messages").fetchone()
        core.seq = max(core.seq, last or 0)
        _load_depths(core, day, connection)
        load_holds(core, day, connection)
        is_at_rest = not is_wal(connection)
    if is_at_rest and (day in core.days[-2:] or core.depths.owed(day)):
        # As it comes from a backup. It will be written: a reader must not keep it from that.
        core.files.get(day)


def _load_depths(core: Core, day: str, connection: Connection) -> None:
    for state in OWED:
        # The state is literal, so that the index of just these rows is used.
        rows = connection.execute(
            f"SELECT outbound, count(*) FROM deliveries WHERE state = '{state.value}'"  # noqa: S608
            " GROUP BY outbound"
        )
        core.depths.add([((outbound, day, DeliveryState(state)), n) for outbound, n in rows])


def load_holds(core: Core, day: str, connection: Connection, outbound: str = "") -> None:
    """Put a day's holders, merges and halts into memory (of one channel, if given)."""
    condition, parameters = (" AND outbound = ?", (outbound,)) if outbound else ("", ())
    for _, seq, place, name, keys in connection.execute(_HOLDS + condition, parameters):
        core.holding.add_holder(name, (seq, place), split_keys(keys))
    for _, seq, place, name, keys in connection.execute(_MERGES + condition, parameters):
        core.holding.add_merge(name, (seq, place), split_keys(keys))
    for row, seq, place, name, keys in connection.execute(_HALTS + condition, parameters):
        halt = Halt(delivery_id(day, row), split_keys(keys))
        core.holding.add_halt(name, (seq, place), halt)
