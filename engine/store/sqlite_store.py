"""The store on disk: day files behind one writer; see interface.py for what it promises."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from engine.deid.vault import Vault
from engine.model.errors import Fenced, MedbusError, NotFound, Sealed, StoreFull
from engine.model.records import Arrival, DueDelivery, Settlement, StoredDelivery, StoredMessage
from engine.model.states import DeliveryState, MessageState
from engine.security.keyring import EVIDENCE, KeyRing
from engine.store.accepting import Intake
from engine.store.backup import backup
from engine.store.control_file import NAME as CONTROL_NAME
from engine.store.control_file import ControlFile
from engine.store.core import Core, Transaction
from engine.store.data_lock import DataLock
from engine.store.followers import Followers
from engine.store.ids import day_after, parse_message_id
from engine.store.lanes import Lanes
from engine.store.ledger import LIVE, find_differences, read_counters, recount, rows_of
from engine.store.operating import Operating
from engine.store.packing import pack, unpack
from engine.store.prune import Pruning
from engine.store.records import (
    AckGiven,
    AuditRecord,
    AuditVerdict,
    Counts,
    InboundCounts,
    IntakeLoss,
    LedgerDifference,
    LedgerRow,
    MessageFilter,
    Noted,
    Operation,
    OperationReport,
    OperationVerb,
    OutboundCounts,
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
from engine.store.settling import Settling
from engine.store.slices import run_to_end
from engine.store.sqlite import driver_text
from engine.store.startup import load_days, refuse_missing_wal, resume_followers
from engine.store.term_index import RUN_MESSAGES, write_run
from engine.store.tokens import Tokens

_KEYS_FOLDER = "keys"
_KNOWN_OUTBOUNDS = "known_outbounds"
_UNCERTAIN = "uncertain_up_to"
_OLDEST = """
SELECT received_at FROM messages WHERE n = (
    SELECT id >> 16 FROM deliveries WHERE state = '{state}' AND outbound = ?
    ORDER BY seq, place LIMIT 1)"""


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
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = DataLock(folder)
        # Also when the process ends without close(); a kill leaves the note as it is.
        weakref.finalize(self, self._lock.forget_files)
        try:
            self.keys = open_keys(folder)
            self._core = Core(folder, self.keys, self._lock, self._settings)
            refuse_missing_wal(self._core)
            self._control = ControlFile(
                folder, self.keys, self._core.failpoint, self._core.translate
            )
            self._open()
        except BaseException:
            self._give_up()
            raise

    def _open(self) -> None:
        core, control = self._core, self._control
        self._lock.add_file(CONTROL_NAME)
        # The first write with fsync, before any listener opens.
        control.put_setting("opened_at", repr(self._settings.now()))
        control.checkpoint()
        load_days(core)
        self._inbounds: dict[str, InboundCounts] = {}
        self._load_inbounds()
        self._tokens = Tokens()
        self._followers = Followers(core)
        self._lanes = Lanes(core, self._tokens, park=self._park_damaged)
        if self._lock.was_unclean:
            control.put_setting(_UNCERTAIN, str(core.seq))
        # Kept until lanes have run: a command may open the store before the engine does.
        self._lanes.uncertain_up_to = int(control.get_setting(_UNCERTAIN) or 0)
        self._search = Search(core)
        self._seen = Seen(core)
        for day in core.days[-2:]:
            self._seen.load(day)
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

    # -- writer's thread: commits --------------------------------------------------------------

    def group(self, work: Sequence[Work]) -> list[list[int]]:
        """Return one group per day, days with arrivals first, arrivals first within each."""
        arrivals: dict[str, list[int]] = {}
        others: dict[str, list[int]] = {}
        for index, item in enumerate(work):
            if isinstance(item, Arrival):
                arrivals.setdefault(item.message_id[:8], []).append(index)
            else:
                others.setdefault(_day_of(item), []).append(index)
        groups = [indexes + others.pop(day, []) for day, indexes in sorted(arrivals.items())]
        return groups + [indexes for _, indexes in sorted(others.items())]

    def commit(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        """See the interface; ``Writer`` gives one group at a time."""
        answers: dict[int, Result | MedbusError] = {}
        for indexes in self.group(work):
            found = self._commit_group([work[index] for index in indexes])
            answers.update(zip(indexes, found, strict=True))
        return [answers[index] for index in range(len(work))]

    def _commit_group(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        try:
            return self._commit_day(work)
        except Fenced:
            raise
        except Exception as error:  # noqa: BLE001 - one bad item must not harm the batch
            self._core.check_fence()
            if len(work) == 1:
                return [_as_answer(error)]
        return self._commit_singly(work)

    def _commit_singly(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        """Redo a batch that failed, one by one: a single bad item harms nobody else."""
        answers: list[Result | MedbusError] = []
        full: StoreFull | None = None
        for item in work:
            if full is not None and isinstance(item, Arrival):
                answers.append(full)
                continue
            (answer,) = self._commit_group([item])
            if isinstance(answer, StoreFull) and isinstance(item, Arrival):
                full = answer
            answers.append(answer)
        return answers

    def _commit_day(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        day = _day_of(work[0])
        arrivals = [item for item in work if isinstance(item, Arrival)]
        if arrivals and not self._core.has_room(self._core.open_day(day, create=True)):
            return self._refuse_arrivals(work)
        create = any(isinstance(item, (Arrival, IntakeLoss)) for item in work)
        answers: list[Result | MedbusError] = []
        with self._core.transaction(day, create=create) as transaction:
            if arrivals:
                answers += Intake(self._core, self._seen, transaction).store(arrivals)
            settlements = [item for item in work if isinstance(item, Settlement)]
            settled = iter(
                Settling(self._core, self._followers, self._tokens, transaction).store(settlements)
                if settlements
                else ()
            )
            for item in work[len(arrivals) :]:
                if isinstance(item, Settlement):
                    answers.append(next(settled))
                else:
                    answers.append(self._note(transaction, item))
        self._after_commit(day, arrivals, answers)
        return answers

    def _refuse_arrivals(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        rest = [item for item in work if not isinstance(item, Arrival)]
        answers: list[Result | MedbusError] = [StoreFull() for _ in range(len(work) - len(rest))]
        return answers + (self._commit_group(rest) if rest else [])

    def _note(self, transaction: Transaction, item: Work) -> Result | MedbusError:
        if isinstance(item, IntakeLoss):
            counts = transaction.tally.counts
            counts[item.inbound, LIVE, "discarded_bytes"] += item.discarded_bytes
            counts[item.inbound, LIVE, "refused_frames"] += item.refused_frames
            return Noted()
        assert isinstance(item, AckGiven)
        day, n = parse_message_id(item.message_id)
        row = transaction.connection.execute(
            "SELECT facts FROM messages WHERE n = ?", (n,)
        ).fetchone()
        if row is None:
            return NotFound(f"there is no message {item.message_id}")
        sealer = self.keys.sealer(day, EVIDENCE)
        place = b"v1|messages|%d|0|facts" % n
        parts = unpack(sealer.open(row[0], place))
        parts[1] = item.ack
        transaction.connection.execute(
            "UPDATE messages SET facts = ?, ack_code = ? WHERE n = ?",
            (transaction.file.evidence.seal(pack(*parts), place), item.code, n),
        )
        return Noted()

    def _after_commit(
        self, day: str, arrivals: Sequence[Arrival], answers: Sequence[Result | MedbusError]
    ) -> None:
        core = self._core
        if day < core.days[-2:][0] and core.files.is_open(day) and not core.depths.owed(day):
            core.add_chore(f"close {day}", lambda: self._close_day(day))
        if not arrivals:
            return
        for arrival, answer in zip(arrivals, answers, strict=False):
            if not isinstance(answer, MedbusError) and not arrival.replay_of:
                self._count_inbound(arrival, getattr(answer, "state", MessageState.ACCEPTED))
        if len(self._core.tail(day)) >= RUN_MESSAGES:
            self._core.add_chore(f"index {day}", lambda: self._index(day))
        tomorrow = day_after(day)
        if tomorrow not in self._core.days:
            self._core.add_chore(f"make {tomorrow}", lambda: self._make_day(tomorrow))

    def _count_inbound(self, arrival: Arrival, state: MessageState) -> None:
        before = self._inbounds.get(arrival.inbound, InboundCounts())
        self._inbounds[arrival.inbound] = InboundCounts(
            before.accepted + (state is MessageState.ACCEPTED),
            before.rejected + (state is MessageState.REJECTED),
            before.duplicate + (state is MessageState.DUPLICATE),
            max(before.last_at, arrival.received_at),
        )

    # -- writer's thread: chores ---------------------------------------------------------------

    def step(self) -> bool:
        """See the interface."""
        return self._core.step()

    def take_ready(self) -> frozenset[str]:
        """See the interface."""
        ready = frozenset(self._core.ready)
        self._core.ready.clear()
        return ready

    def set_wake(self, wake: Callable[[], None]) -> None:
        """See the interface."""
        self._core.set_wake(wake)

    def _index(self, day: str) -> bool:
        tail = self._core.tail(day)
        if not len(tail):
            return False
        with self._core.transaction(day) as transaction:
            count = write_run(transaction.connection, tail)
        tail.drop(count)
        return False

    def _make_day(self, day: str) -> bool:
        core = self._core
        core.open_day(day, create=True)
        for older in core.files.open_days():
            if older < core.days[-2:][0] and not core.depths.owed(older):
                core.add_chore(f"close {older}", partial(self._close_day, older))
        return False

    def _close_day(self, day: str) -> bool:
        """A past day that owes nothing is put to rest: one plain file, no WAL beside it."""
        core = self._core
        if core.files.is_open(day) and not core.depths.owed(day):
            self._index(day)
            core.readers.close(day)
            core.files.rest(day)
        return False

    def _park_damaged(self, delivery_id: str, settlement: Settlement) -> None:
        """Called by a lane, on any thread, for a delivery whose bytes cannot be opened."""

        def park() -> bool:
            self.commit([settlement])
            return False

        self._core.set_alarm(
            f"damaged {delivery_id}",
            StoreAlarm(
                "STO-009",
                f"the stored bytes of {delivery_id} cannot be opened; it is parked",
                where=delivery_id,
                fix="the file or the key ring was changed; restore from a backup",
            ),
        )
        self._core.add_chore(f"park {delivery_id}", park)

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

    def prune(self, retention: Retention, *, now: float, dry_run: bool = False) -> PruneReport:
        """See the interface."""
        return run_to_end(self.prune_steps(retention, now=now, dry_run=dry_run))

    def prune_steps(
        self, retention: Retention, *, now: float, dry_run: bool = False
    ) -> Generator[None, None, PruneReport]:
        """See the interface."""
        self._core.check_fence()
        return self._pruning.run(retention, now=now, dry_run=dry_run)

    def close(self, *, cut_off: bool = False) -> None:
        """Index and close everything; the next start is a clean one. See the interface."""
        if self._lock.is_released:
            return
        core = self._core
        if core.fenced is None:
            for day in core.files.open_days():
                self._index(day)
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
        core = self._core
        names = core.depths.outbounds() | (self._search.known_outbounds or frozenset())
        return Counts(
            {name: self._outbound_counts(name) for name in sorted(names)},
            dict(self._inbounds),
            core.seq,
        )

    def _outbound_counts(self, name: str) -> OutboundCounts:
        depths = self._core.depths
        return OutboundCounts(
            depths.total(name, DeliveryState.PENDING),
            depths.total(name, DeliveryState.HELD),
            depths.total(name, DeliveryState.PARKED),
            self._oldest_at(name),
            self._core.holding.halts(name),
            self._search.is_orphaned(name),
        )

    def _oldest_at(self, outbound: str) -> float:
        found = []
        for state in (DeliveryState.PENDING, DeliveryState.HELD):
            for day in self._core.depths.days(outbound, state)[:1]:
                with self._core.read(day) as connection:
                    row = connection.execute(
                        _OLDEST.format(state=state.value), (outbound,)
                    ).fetchone()
                found += [row[0]] if row else []
        return min(found, default=0.0)

    def ledger_days(self) -> tuple[str, ...]:
        """See the interface."""
        return self._core.days

    def ledger(self, day: str) -> tuple[LedgerRow, ...]:
        """See the interface."""
        if day not in self._core.days:
            return ()
        with self._core.read(day) as connection:
            return rows_of(day, read_counters(connection))

    def check_ledger(self, day: str) -> tuple[LedgerDifference, ...]:
        """See the interface."""
        if day not in self._core.days:
            return ()
        with self._core.read(day) as connection:
            connection.execute("BEGIN")
            try:
                kept, counted = read_counters(connection), recount(connection)
            finally:
                connection.execute("COMMIT")
        return tuple(find_differences(day, kept, counted))

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

    def backup(self, folder: Path) -> None:
        """See the interface."""
        backup(self._core, self._control, folder)

    def _load_inbounds(self) -> None:
        for day in self._core.days[-2:]:
            with self._core.read(day) as connection:
                rows = connection.execute("SELECT inbound, last_at FROM inbounds").fetchall()
            for inbound, last_at in rows:
                before = self._inbounds.get(inbound, InboundCounts())
                self._inbounds[inbound] = InboundCounts(last_at=max(last_at, before.last_at))


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


def _day_of(item: Work) -> str:
    if isinstance(item, Settlement):
        return item.delivery_id[:8]
    if isinstance(item, IntakeLoss):
        return item.day
    return item.message_id[:8]


def _as_answer(error: Exception) -> MedbusError:
    if isinstance(error, MedbusError):
        return error
    return MedbusError(f"the store cannot take this ({type(error).__name__})", code="STO-003")
