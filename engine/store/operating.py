"""
Operators' actions on deliveries: audited first, then applied in slices, once per operation id.

Rules of this file: a row remembers the last operation applied to it, so that an operation taken
up again after a crash passes over what it has done.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from itertools import groupby

from engine.model.errors import MedbusError
from engine.model.records import NewDelivery
from engine.model.states import FINAL_STATES, DeliveryState
from engine.security.keyring import EVIDENCE
from engine.store.accepting import (
    INSERT_BODY,
    INSERT_DELIVERY,
    NO_BODY,
    OWN_BODY,
    delivery_row,
    note_holds,
)
from engine.store.control_file import ControlFile
from engine.store.core import Core
from engine.store.followers import SLICE, Followers
from engine.store.holding import Place
from engine.store.ids import K_BITS, K_MASK, delivery_id, parse_delivery_id
from engine.store.operation_records import (
    ItemReport,
    Operation,
    OperationItem,
    OperationReport,
    OperationVerb,
    tell_nothing,
)
from engine.store.packing import decode, encode, pack, unpack
from engine.store.records import NEEDS_RERUN
from engine.store.settling import DeliveryRow, read_rows, write_rows
from engine.store.startup import load_holds
from engine.store.transaction import Transaction

_OWED = (DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.PARKED)


class Refused(Exception):
    """A delivery is not in a state for this; the text says why."""


class Operating:
    """Applies operations; writer's thread only."""

    def __init__(self, core: Core, control: ControlFile, followers: Followers) -> None:
        self._core = core
        self._control = control
        self._followers = followers
        self._verbs: dict[
            OperationVerb, Callable[[Transaction, DeliveryRow, OperationItem], tuple[str, ...]]
        ] = {
            OperationVerb.REQUEUE: self._requeue,
            OperationVerb.RELEASE: self._release,
            OperationVerb.CANCEL: self._cancel,
            OperationVerb.EXPIRE: self._expire,
        }

    def begin(self, operation: Operation) -> Generator[None, None, OperationReport]:
        """See the interface."""
        for item in operation.items:
            self._core.vault.keep(item.replacements or ())
        self._control.begin_operation(operation)
        self._core.failpoint("operation.audited")
        return (yield from self.resume(operation))

    def resume(self, operation: Operation) -> Generator[None, None, OperationReport]:
        """Apply a recorded operation, passing over what was applied before."""
        if operation.verb is OperationVerb.REPLAY:
            yield
            return OperationReport(operation.operation_id, ())
        if operation.verb is OperationVerb.RENAME:
            done = yield from self._rename(operation.old_name, operation.new_name)
            self._control.finish_operation(operation.operation_id)
            return OperationReport(
                operation.operation_id, (), ready=frozenset({operation.new_name}), done=done
            )
        reports: list[ItemReport] = []
        ready: set[str] = set()
        for day, items in groupby(operation.items, key=lambda item: item.item_id[:8]):
            waiting = list(items)
            for start in range(0, len(waiting), SLICE):
                piece = waiting[start : start + SLICE]
                reports += self._apply_slice(day, operation, piece, ready)
                yield
        self._control.finish_operation(operation.operation_id)
        done = sum(not report.problem for report in reports)
        return OperationReport(operation.operation_id, tuple(reports), frozenset(ready), done)

    # -- one slice of one day ------------------------------------------------------------------

    def _apply_slice(
        self, day: str, operation: Operation, items: list[OperationItem], ready: set[str]
    ) -> list[ItemReport]:
        reports: list[ItemReport] = []
        try:
            with self._core.transaction(day) as transaction:
                ids = [parse_delivery_id(item.item_id)[1] for item in items]
                rows = read_rows(transaction, ids)
                for number, item in zip(ids, items, strict=True):
                    report = self._apply(transaction, operation, item, rows.get(number))
                    reports.append(report)
                    if not report.problem and report.after is not None:
                        transaction.ready.add(rows[number].outbound)
            ready |= transaction.ready
            self._core.failpoint("operation.slice")
        except MedbusError as error:
            if self._core.fenced is not None:
                raise
            return [ItemReport(item.item_id, None, None, error.what) for item in items]
        return reports

    def _apply(
        self,
        transaction: Transaction,
        operation: Operation,
        item: OperationItem,
        row: DeliveryRow | None,
    ) -> ItemReport:
        if row is None:
            return ItemReport(item.item_id, None, None, "there is no such delivery")
        if row.operation_id == operation.operation_id:
            return ItemReport(item.item_id, row.state, row.state)
        before = row.state
        try:
            replaced_by = self._verbs[operation.verb](transaction, row, item)
        except Refused as refusal:
            return ItemReport(item.item_id, before, before, str(refusal))
        row.operation_id = operation.operation_id
        write_rows(transaction, [row])
        transaction.tally.move(row.inbound, row.flow, before, row.state)
        transaction.move(row.outbound, before, row.state)
        if replaced_by:
            transaction.connection.execute(
                "UPDATE deliveries SET replaced_by = ? WHERE id = ?",
                (" ".join(replaced_by), row.id),
            )
        return ItemReport(item.item_id, before, row.state, replaced_by=replaced_by)

    # -- verbs ---------------------------------------------------------------------------------

    def _requeue(
        self, transaction: Transaction, row: DeliveryRow, item: OperationItem
    ) -> tuple[str, ...]:
        if row.state is not DeliveryState.PARKED:
            raise Refused(f"it is {row.state.value}, only parked ones can be requeued")
        if item.replacements is not None:
            return self._replace(transaction, row, item)
        if row.park_code in NEEDS_RERUN or row.body == NO_BODY:
            raise Refused(f"it is parked for {row.park_code}: its route has to be run again")
        core, outbound, at = self._core, row.outbound, row.at
        row.out_of_order = int(row.out_of_order or row.released)
        row.released = row.commit_acked = row.tries = 0
        row.due_at = row.first_failure_at = 0.0
        row.park_code = row.park_step = ""
        row.park_text = None
        blocked = core.holding.blocks(outbound, row.keys, at)
        row.state = DeliveryState.HELD if blocked else DeliveryState.PENDING
        transaction.after.append(lambda: core.holding.drop_halt(outbound, at))
        if row.multi:
            keys = row.keys
            transaction.after.append(lambda: core.holding.add_merge(outbound, at, keys))
            transaction.after.append(lambda: self._followers.hold(outbound, at))
        return ()

    def _replace(
        self, transaction: Transaction, row: DeliveryRow, item: OperationItem
    ) -> tuple[str, ...]:
        """Cancel the old one and let what its route gives now stand in its place."""
        day = transaction.file.day
        n = row.id >> K_BITS
        (last,) = transaction.connection.execute(
            "SELECT max(id) FROM deliveries WHERE id BETWEEN ? AND ?",
            (n << K_BITS, n << K_BITS | K_MASK),
        ).fetchone()
        control_id = self._message_control_id(transaction, n)
        new_ids = []
        for number, delivery in enumerate(item.replacements or (), start=(last & K_MASK) + 1):
            self._insert(transaction, row, delivery, number, item.snapshot_id, control_id)
            new_ids.append(delivery_id(day, n << K_BITS | number))
        if item.why_nothing:
            self._tell_why_nothing(transaction, row, item.why_nothing)
        self._end(transaction, row, DeliveryState.CANCELLED)
        return tuple(new_ids)

    def _tell_why_nothing(self, transaction: Transaction, row: DeliveryRow, why: str) -> None:
        """Keep with a delivery that is cancelled why its route gives nothing to stand for it."""
        place = b"v1|deliveries|%d|%d|park_text" % (row.id >> K_BITS, row.id & K_MASK)
        sealer = self._core.keys.sealer(transaction.file.day, EVIDENCE)
        reason, path = unpack(sealer.open(row.park_text, place)) if row.park_text else (b"", b"")
        told = encode(tell_nothing(decode(reason), why))
        row.park_text = transaction.file.evidence.seal(pack(told, path), place)

    def _insert(
        self,
        transaction: Transaction,
        old: DeliveryRow,
        delivery: NewDelivery,
        number: int,
        snapshot_id: str,
        message_control_id: str,
    ) -> None:
        core = self._core
        n = old.id >> K_BITS
        new_row = n << K_BITS | number
        place = old.place >> K_BITS << K_BITS | number
        at, keys, outbound = (old.seq, place), delivery.order_keys, delivery.outbound
        body = NO_BODY
        if delivery.body is not None:
            body = OWN_BODY
            sealed = transaction.file.bodies.seal(
                delivery.body, b"v1|bodies|%d|%d|sealed" % (n, number)
            )
            transaction.connection.execute(INSERT_BODY, (new_row, sealed))
            transaction.size_bytes += len(delivery.body)
        state = DeliveryState.PENDING
        if delivery.park is not None:
            state = DeliveryState.PARKED
        elif core.holding.blocks(outbound, keys, at, apart_from=old.at):
            state = DeliveryState.HELD
        values = delivery_row(
            core,
            transaction,
            delivery,
            row=new_row,
            seq=old.seq,
            place=place,
            inbound=old.inbound,
            flow=old.flow,
            state=state,
            body=body,
            message_control_id=message_control_id,
            out_of_order=bool(old.released),
            snapshot_id=snapshot_id,
        )
        transaction.connection.execute(INSERT_DELIVERY, values)
        transaction.connection.execute(
            "UPDATE deliveries SET replaces = ? WHERE id = ?",
            (delivery_id(transaction.file.day, old.id), new_row),
        )
        transaction.tally.add_delivery(old.inbound, old.flow, state)
        transaction.move(outbound, None, state)
        if delivery.park is not None or len(keys) > 1:
            note_holds(core, transaction, delivery, new_row, at)
        if old.holding and delivery.park is None and keys:
            # It inherits the hold: followers wait until it is settled.
            transaction.connection.execute(
                "UPDATE deliveries SET holding = 1 WHERE id = ?", (new_row,)
            )
            core.holding.add_holder(outbound, at, keys)
            transaction.undo.append(lambda: core.holding.forget(outbound, at))
        transaction.ready.add(outbound)
        transaction.after.append(lambda: self._stand_in(outbound, at))

    def _stand_in(self, outbound: str, at: Place) -> None:
        """A new delivery stands at an old place: what is behind it may have to wait now."""
        if self._core.holding.held_keys(outbound):
            self._followers.hold(outbound, at)

    def _release(
        self, transaction: Transaction, row: DeliveryRow, _item: OperationItem
    ) -> tuple[str, ...]:
        if row.state is not DeliveryState.PARKED:
            raise Refused(f"it is {row.state.value}, only parked ones can be released")
        if row.released:
            raise Refused("it is released already")
        row.released = 1
        self._let_go(transaction, row)
        return ()

    def _cancel(
        self, transaction: Transaction, row: DeliveryRow, _item: OperationItem
    ) -> tuple[str, ...]:
        if row.state in FINAL_STATES:
            raise Refused(f"it is {row.state.value} already")
        self._end(transaction, row, DeliveryState.CANCELLED)
        return ()

    def _expire(
        self, transaction: Transaction, row: DeliveryRow, _item: OperationItem
    ) -> tuple[str, ...]:
        if row.state not in (DeliveryState.PENDING, DeliveryState.HELD):
            raise Refused(f"it is {row.state.value}, only pending and held ones expire")
        self._end(transaction, row, DeliveryState.EXPIRED)
        return ()

    def _end(self, transaction: Transaction, row: DeliveryRow, state: DeliveryState) -> None:
        row.state = state
        row.settled_at = self._core.settings.now()
        self._let_go(transaction, row)

    def _let_go(self, transaction: Transaction, row: DeliveryRow) -> None:
        core, followers, outbound, at = self._core, self._followers, row.outbound, row.at
        row.holding = 0

        def after() -> None:
            core.holding.drop_halt(outbound, at)
            followers.let_go(outbound, at)

        transaction.after.append(after)

    # -- renaming a channel --------------------------------------------------------------------

    def _rename(self, old: str, new: str) -> Generator[None, None, int]:
        moved = 0
        for day in self._core.depths.days(old, *_OWED):
            while True:
                count = self._rename_slice(day, old, new)
                moved += count
                yield
                if count < SLICE:
                    break
        core = self._core
        with core.ready.changing(new):
            core.holding.clear(old)
            core.holding.clear(new)
            for day in core.depths.days(new, *_OWED):
                with core.read(day) as connection:
                    load_holds(core, day, connection, new)
            self._followers.resume(new)
        return moved

    def _rename_slice(self, day: str, old: str, new: str) -> int:
        with self._core.transaction(day) as transaction:
            transaction.ready.add(new)
            rows: list[tuple[int, str]] = []
            for state in _OWED:
                rows += transaction.connection.execute(
                    f"SELECT id, state FROM deliveries WHERE state = '{state.value}'"  # noqa: S608
                    " AND outbound = ? LIMIT ?",
                    (old, SLICE - len(rows)),
                ).fetchall()
            transaction.connection.executemany(
                "UPDATE deliveries SET outbound = ? WHERE id = ?", [(new, row[0]) for row in rows]
            )
            for _, value in rows:
                state = DeliveryState(value)
                transaction.move(old, state, None)
                transaction.move(new, None, state)
        return len(rows)

    def _message_control_id(self, transaction: Transaction, n: int) -> str:
        (facts,) = transaction.connection.execute(
            "SELECT facts FROM messages WHERE n = ?", (n,)
        ).fetchone()
        sealer = self._core.keys.sealer(transaction.file.day, EVIDENCE)
        return decode(unpack(sealer.open(facts, b"v1|messages|%d|0|facts" % n))[0])
