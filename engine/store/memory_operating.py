"""Operators' actions on the store in memory, once per operation id."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace

from engine.model.errors import NotFound
from engine.model.states import (
    FINAL_STATES,
    DeliveryState,
)
from engine.store.ids import K_BITS
from engine.store.memory_commits import MemoryCommits
from engine.store.memory_rows import Delivery
from engine.store.operation_records import (
    ItemReport,
    Operation,
    OperationItem,
    OperationReport,
    OperationVerb,
    tell_nothing,
)
from engine.store.records import NEEDS_RERUN, AuditRecord
from engine.store.slices import run_to_end

_PENDING, _HELD, _PARKED = DeliveryState.PENDING, DeliveryState.HELD, DeliveryState.PARKED


class MemoryOperating(MemoryCommits):
    """Applies operations."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self._operations: dict[str, tuple[Operation, bool]] = {}

    # -- operators -----------------------------------------------------------------------------

    def begin(self, operation: Operation) -> Generator[None, None, OperationReport]:
        """See the interface."""
        with self._lock:
            self._check_fence()
            for item in operation.items:
                self._keep_links(item.replacements or ())
            if operation.operation_id not in self._operations:
                self._operations[operation.operation_id] = (operation, False)
                self.audit(
                    AuditRecord(
                        0,
                        operation.at,
                        operation.actor,
                        operation.verb.value,
                        _target_of(operation),
                        operation.reason,
                        operation.operation_id,
                        {"items": str(len(operation.items)), **operation.detail},
                    )
                )
        yield
        with self._lock:
            report = self._operate(operation)
            if operation.verb is not OperationVerb.REPLAY:
                self.finish(operation.operation_id)
            self._ready |= report.ready
        return report

    def apply(self, operation: Operation) -> OperationReport:
        """See the interface."""
        return run_to_end(self.begin(operation))

    def finish(self, operation_id: str) -> None:
        """See the interface."""
        operation, _ = self._operations[operation_id]
        self._operations[operation_id] = (operation, True)

    def _operate(self, operation: Operation) -> OperationReport:
        if operation.verb is OperationVerb.REPLAY:
            return OperationReport(operation.operation_id, ())
        if operation.verb is OperationVerb.RENAME:
            return self._rename(operation)
        reports, ready = [], set()
        for item in operation.items:
            report = self._apply_item(operation, item)
            reports.append(report)
            if not report.problem:
                ready.add(self._deliveries[item.item_id].outbound)
                ready.update(new.outbound for new in item.replacements or ())
        for outbound in ready:
            self._hold_and_free(outbound)
        reports = [
            replace(one, after=self._deliveries[one.delivery_id].state) if one.after else one
            for one in reports
        ]
        done = sum(not report.problem for report in reports)
        return OperationReport(operation.operation_id, tuple(reports), frozenset(ready), done)

    def _rename(self, operation: Operation) -> OperationReport:
        moved = self._owed(operation.old_name)
        for one in moved:
            one.outbound = operation.new_name
        self._hold_and_free(operation.new_name)
        return OperationReport(
            operation.operation_id,
            (),
            ready=frozenset({operation.new_name}),
            done=len(moved),
        )

    def _apply_item(self, operation: Operation, item: OperationItem) -> ItemReport:
        try:
            one = self._delivery(item.item_id)
        except NotFound:
            return ItemReport(item.item_id, None, None, "there is no such delivery")
        if one.operation_id == operation.operation_id:
            return ItemReport(item.item_id, one.state, one.state)
        before = one.state
        problem = _problem(operation.verb, one, item)
        if problem:
            return ItemReport(item.item_id, before, before, problem)
        one.operation_id = operation.operation_id
        replaced_by: tuple[str, ...] = ()
        if operation.verb is OperationVerb.RELEASE:
            one.released, one.holding = True, False
        elif operation.verb is OperationVerb.EXPIRE:
            self._end(one, DeliveryState.EXPIRED)
        elif operation.verb is OperationVerb.CANCEL:
            self._end(one, DeliveryState.CANCELLED)
        elif item.replacements is not None:
            replaced_by = self._replace(one, item)
        else:
            one.state, one.park = _PENDING, None
            one.out_of_order = one.out_of_order or one.released
            one.released = one.commit_acked = False
            one.tries, one.due_at, one.first_failure_at = 0, 0.0, 0.0
        return ItemReport(item.item_id, before, one.state, replaced_by=replaced_by)

    def _replace(self, old: Delivery, item: OperationItem) -> tuple[str, ...]:
        last = max(one.number for one in self._of_message(old.message.arrival.message_id))
        place = old.at[1] >> K_BITS << K_BITS
        new_ids = []
        for number, new in enumerate(item.replacements or (), start=last + 1):
            self._add(old.message, new, place, number=number, old=old)
            new_ids.append(f"{old.message.arrival.message_id}.{number}")
        if item.why_nothing and old.park is not None:
            old.park = old.park._replace(reason=tell_nothing(old.park.reason, item.why_nothing))
        self._end(old, DeliveryState.CANCELLED)
        old.replaced_by = " ".join(new_ids)
        return tuple(new_ids)

    def _end(self, one: Delivery, state: DeliveryState) -> None:
        one.state, one.holding, one.settled_at = state, False, self._now()


def _problem(verb: OperationVerb, one: Delivery, item: OperationItem) -> str:
    """Return why *verb* cannot be applied, "" when it can."""
    state = one.state
    if verb is OperationVerb.CANCEL:
        return f"it is {state.value} already" if state in FINAL_STATES else ""
    if verb is OperationVerb.EXPIRE:
        if state in (_PENDING, _HELD):
            return ""
        return f"it is {state.value}, only pending and held ones expire"
    word = "requeued" if verb is OperationVerb.REQUEUE else "released"
    if state is not _PARKED:
        return f"it is {state.value}, only parked ones can be {word}"
    if verb is OperationVerb.RELEASE:
        return "it is released already" if one.released else ""
    code = one.park.code.value if one.park else ""
    if item.replacements is None and (code in NEEDS_RERUN or one.new.body is None):
        return f"it is parked for {code}: its route has to be run again"
    return ""


def _target_of(operation: Operation) -> str:
    if operation.old_name:
        return f"{operation.old_name} -> {operation.new_name}"
    return operation.items[0].item_id if len(operation.items) == 1 else ""
