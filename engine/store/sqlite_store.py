"""The store on disk: day files behind one writer; see interface.py for what it promises."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path

from engine.deid.vault import Vault
from engine.model.errors import MedbusError
from engine.model.records import DueDelivery, StoredDelivery, StoredMessage
from engine.security.folders import make_folder
from engine.store.backup import backup
from engine.store.committing import Committing
from engine.store.control_file import NAME as CONTROL_NAME
from engine.store.control_file import ControlFile
from engine.store.core import Core
from engine.store.counting import Counting
from engine.store.damaged import Damaged
from engine.store.data_lock import DataLock
from engine.store.day_chores import DayChores
from engine.store.followers import Followers
from engine.store.lanes import Lanes
from engine.store.operating import Operating
from engine.store.operation_records import Operation, OperationReport, OperationVerb
from engine.store.prune import Pruning
from engine.store.records import (
    AuditRecord,
    AuditVerdict,
    Counts,
    LedgerDifference,
    LedgerRow,
    MessageFilter,
    Page,
    PruneReport,
    Result,
    Retention,
    StoreAlarm,
    StoredAttempt,
    StoreFacts,
    Switch,
    Work,
)
from engine.store.search import Search
from engine.store.seen import Seen
from engine.store.settings import StoreSettings
from engine.store.slices import run_to_end
from engine.store.sqlite import driver_text
from engine.store.startup import (
    load_days,
    open_keys,
    refuse_missing_control,
    refuse_missing_wal,
    refuse_unfinished,
    resume_followers,
    watch_days,
)
from engine.store.tokens import Tokens

_KNOWN_OUTBOUNDS = "known_outbounds"
_UNCERTAIN = "uncertain_up_to"


class SqliteStore:
    """
    A data folder, opened for this process alone.

    Raises:
        Locked: another engine or command has it.
        Sealed: the key ring is missing, wrong, or open to others.
        MedbusError: a file is damaged or from a newer version.
    """

    def __init__(self, folder: Path, *, settings: StoreSettings | None = None) -> None:
        self._settings = settings or StoreSettings()
        make_folder(folder, 0o700)
        self._lock = DataLock(folder)
        # Also when the process ends without close(); a kill leaves the note as it is.
        weakref.finalize(self, self._lock.forget_files)
        try:
            refuse_unfinished(folder)
            self.keys = open_keys(folder)
            self._core = Core(folder, self.keys, self._lock, self._settings)
            refuse_missing_wal(self._core)
            refuse_missing_control(folder, self.keys)
            self._lock.opens(folder / CONTROL_NAME)
            self._control = ControlFile(
                folder,
                self.keys,
                self._core.failpoint,
                self._core.translate,
                self._core.moment,
                self._core.fence,
            )
            self._open()
        except BaseException:
            self._give_up()
            raise

    def _open(self) -> None:
        core, control = self._core, self._control
        self._lock.add_file(control.path)
        # The first write with fsync, before any listener opens.
        control.put_setting("opened_at", repr(self._settings.now()))
        control.checkpoint()
        load_days(core)
        self._tokens = Tokens()
        self._followers = Followers(core)
        self._damaged = Damaged(core, lambda settlement: self.commit([settlement]))
        self._lanes = Lanes(core, self._tokens, park=self._damaged.park)
        if self._lock.was_unclean:
            control.put_setting(_UNCERTAIN, str(core.seq))
        # Kept until lanes have run: a command may open the store before the engine does.
        self._lanes.uncertain_up_to = int(control.get_setting(_UNCERTAIN) or 0)
        self._search = Search(core, self._damaged)
        self._seen = Seen(core)
        for day in core.days[-2:]:
            self._seen.load(day)
        self._counting = Counting(core, self._search)
        self._chores = DayChores(core)
        self._committing = Committing(
            core, self._seen, self._followers, self._tokens, self._chores, self._counting
        )
        self._operating = Operating(core, control, self._followers)
        self._pruning = Pruning(core, control)
        known = control.get_setting(_KNOWN_OUTBOUNDS)
        if known:
            self._search.known_outbounds = frozenset(known.split("\n"))
        resume_followers(core, self._followers)
        for operation in control.unfinished():
            if operation.verb is not OperationVerb.REPLAY:
                run_to_end(self._operating.resume(operation))
        self._pruning.finish_cut_short()
        watch_days(core, control)

    # -- writer's thread: commits --------------------------------------------------------------

    def group(self, work: Sequence[Work]) -> list[list[int]]:
        """See the interface: one group per day."""
        return self._committing.group(work)

    def commit(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        """See the interface; ``Writer`` gives one group at a time."""
        return self._committing.commit(work)

    # -- writer's thread: chores ---------------------------------------------------------------

    def step(self) -> bool:
        """See the interface."""
        return self._core.step()

    def tell_ready(self, tell: Callable[[frozenset[str]], None]) -> None:
        """See the interface."""
        self._core.ready.tell(tell)

    def set_wake(self, wake: Callable[[], None]) -> None:
        """See the interface."""
        self._core.set_wake(wake)

    # -- writer's thread: operators ------------------------------------------------------------

    def begin(self, operation: Operation) -> Generator[None, None, OperationReport]:
        """See the interface."""
        return self._operating.begin(operation)

    def apply(self, operation: Operation) -> OperationReport:
        """See the interface."""
        return run_to_end(self.begin(operation))

    def finish(self, operation_id: str) -> None:
        """See the interface."""
        self._core.check_fence()
        self._control.finish_operation(operation_id)

    def put_snapshot(self, files: Mapping[str, bytes], *, at: float) -> str:
        """See the interface."""
        return self._control.put_snapshot(files, at=at)

    def put_switch(self, switch: Switch) -> None:
        """See the interface."""
        self._control.put_switch(switch)

    def drop_switch(self, kind: str, channel: str) -> None:
        """See the interface."""
        self._control.drop_switch(kind, channel)

    def put_setting(self, name: str, value: str) -> None:
        """See the interface."""
        self._control.put_setting(name, value)

    def set_known_outbounds(self, names: Iterable[str]) -> None:
        """See the interface."""
        known = frozenset(names)
        self._search.known_outbounds = known
        self._control.put_setting(_KNOWN_OUTBOUNDS, "\n".join(sorted(known)))

    def audit(self, record: AuditRecord) -> int:
        """See the interface."""
        return self._control.audit(record)

    @property
    def vault(self) -> Vault | None:
        """See the interface."""
        return self._core.vault.find()

    def prune(
        self,
        retention: Retention,
        *,
        now: float,
        dry_run: bool = False,
        clock_is_right: bool = False,
    ) -> PruneReport:
        """See the interface."""
        return run_to_end(
            self.prune_steps(retention, now=now, dry_run=dry_run, clock_is_right=clock_is_right)
        )

    def prune_steps(
        self,
        retention: Retention,
        *,
        now: float,
        dry_run: bool = False,
        clock_is_right: bool = False,
    ) -> Generator[None, None, PruneReport]:
        """See the interface."""
        self._core.check_fence()
        return self._pruning.run(retention, now=now, dry_run=dry_run, clock_is_right=clock_is_right)

    def close(self, *, cut_off: bool = False) -> None:
        """Index and close everything; the next start is a clean one. See the interface."""
        if self._lock.is_released:
            return
        core = self._core
        if core.fenced is None:
            for day in core.files.open_days():
                self._chores.index(day)
        core.readers.close_all()
        core.files.close_all()
        core.vault.close()
        if core.fenced is None and self._tokens.were_opened:
            self._control.put_setting(_UNCERTAIN, str(core.seq) if cut_off else "")
        self._lock.drop_file(CONTROL_NAME)
        self._control.close()
        self._lock.release(clean=core.fenced is None)

    def _give_up(self) -> None:
        """Opening failed: give everything back, leaving the note of an unclean stop as it was."""
        if self._lock.was_unclean:
            self._lock.leave()
        core = getattr(self, "_core", None)
        if core is not None:
            core.readers.close_all()
            core.files.close_all()
        control = getattr(self, "_control", None)
        if control is not None:
            control.close()
        self._lock.release(clean=not self._lock.was_unclean)

    # -- lanes ---------------------------------------------------------------------------------

    def lane_open(self, outbound: str, lane: int, lanes: int) -> int:
        """See the interface."""
        return self._lanes.open(outbound, lane, lanes)

    def next(self, token: int, n: int, after: DueDelivery | None = None) -> list[DueDelivery]:
        """See the interface."""
        return self._lanes.next(token, n, after)

    def is_halted(self, token: int) -> bool:
        """See the interface."""
        return self._lanes.is_halted(token)

    # -- reads ---------------------------------------------------------------------------------

    def next_number(self, day: str) -> int:
        """See the interface."""
        if day not in self._core.days:
            return 1
        with self._core.read(day) as connection:
            (last,) = connection.execute("SELECT max(n) FROM messages").fetchone()
        return 1 if last is None else int(last) + 1

    def find_messages(
        self, where: MessageFilter, *, limit: int = 50, cursor: str = ""
    ) -> Page[StoredMessage]:
        """See the interface."""
        return self._search.find_messages(where, limit=limit, cursor=cursor)

    def find_deliveries(
        self, where: MessageFilter, *, limit: int = 1000, cursor: str = ""
    ) -> Page[StoredDelivery]:
        """See the interface."""
        return self._search.find_deliveries(where, limit=limit, cursor=cursor)

    def get_message(self, message_id: str) -> StoredMessage:
        """See the interface."""
        return self._search.get_message(message_id)

    def get_delivery(self, delivery_id: str) -> StoredDelivery:
        """See the interface."""
        return self._search.get_delivery(delivery_id)

    def get_body(self, message_id: str) -> bytes:
        """See the interface."""
        return self._search.get_body(message_id)

    def get_output(self, delivery_id: str) -> bytes:
        """See the interface."""
        return self._search.get_output(delivery_id)

    def get_ack(self, message_id: str) -> bytes:
        """See the interface."""
        return self._search.get_ack(message_id)

    def get_attempts(self, delivery_id: str) -> tuple[StoredAttempt, ...]:
        """See the interface."""
        return self._search.get_attempts(delivery_id)

    def find_replays(self, message_id: str) -> tuple[str, ...]:
        """See the interface."""
        return self._search.find_replays(message_id)

    def counts(self) -> Counts:
        """See the interface."""
        return self._counting.counts()

    def ledger_days(self) -> tuple[str, ...]:
        """See the interface."""
        return self._counting.ledger_days()

    def ledger(self, day: str) -> tuple[LedgerRow, ...]:
        """See the interface."""
        return self._counting.ledger(day)

    def check_ledger(self, day: str) -> tuple[LedgerDifference, ...]:
        """See the interface."""
        return self._counting.check_ledger(day)

    def get_snapshot(self, snapshot_id: str) -> dict[str, bytes]:
        """See the interface."""
        return self._control.get_snapshot(snapshot_id)

    def list_snapshots(self) -> tuple[tuple[str, float], ...]:
        """See the interface."""
        return self._control.list_snapshots()

    def switches(self) -> tuple[Switch, ...]:
        """See the interface."""
        return self._control.switches()

    def get_setting(self, name: str) -> str:
        """See the interface."""
        return self._control.get_setting(name)

    def unfinished(self) -> tuple[Operation, ...]:
        """See the interface."""
        return self._control.unfinished()

    def list_audit(
        self, *, limit: int = 100, cursor: str = "", since: float | None = None
    ) -> Page[AuditRecord]:
        """See the interface."""
        return self._control.list_audit(limit=limit, cursor=cursor, since=since)

    def verify_audit(self) -> AuditVerdict:
        """See the interface."""
        return self._control.verify_audit()

    def alarms(self) -> tuple[StoreAlarm, ...]:
        """See the interface."""
        return self._core.alarms()

    def facts(self) -> StoreFacts:
        """See the interface."""
        folder = self._core.folder
        size = sum(path.stat().st_size for path in folder.rglob("*.db*") if path.is_file())
        return StoreFacts(driver_text(), self._lock.was_unclean, self._core.days, size)

    def backup(
        self,
        folder: Path,
        *,
        with_master: bool = False,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """See the interface."""
        backup(self._core, self._control, folder, with_master=with_master, go_on=go_on)
