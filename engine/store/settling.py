"""
Settlements into rows: what became of deliveries, with their attempts, in one transaction.

Rules of this file: the current row decides, not what the lane believed; a move that the
transition table does not allow, or a stale token, is answered and changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.model.errors import MedbusError, NotFound
from engine.model.records import Attempt, Settlement
from engine.model.states import (
    FINAL_STATES,
    TAKEN_OUT,
    AttemptOutcome,
    DeliveryState,
    is_allowed,
)
from engine.store.core import Core
from engine.store.followers import Followers
from engine.store.holding import Halt, Keys, Place, split_keys
from engine.store.ids import K_BITS, K_MASK, parse_delivery_id
from engine.store.many_rows import ManyRows
from engine.store.packing import encode, pack
from engine.store.plain_settling import Delivered, deliver, is_plain
from engine.store.records import Settled
from engine.store.tokens import Tokens
from engine.store.transaction import Transaction

_BY_IDS = """
SELECT id, seq, place, inbound, flow, outbound, state, due_at, attempts, tries, first_failure_at,
       uncertain, commit_acked, keys, park_code, park_step, park_text, on_park, holding, released,
       settled_at, out_of_order, operation_id, body, multi
FROM deliveries WHERE id IN (SELECT value FROM json_each(?))"""
#: columns that are not kept as they come
_STATE, _KEYS = 6, 13
_CHANGING = (
    "state", "due_at", "attempts", "tries", "first_failure_at", "uncertain", "commit_acked",
    "park_code", "park_step", "park_text", "on_park", "holding", "released", "settled_at",
    "out_of_order", "operation_id",
)  # fmt: skip
_UPDATE = ManyRows(
    f"WITH new (id, {', '.join(_CHANGING)}) AS (",
    1 + len(_CHANGING),
    f") UPDATE deliveries SET {', '.join(f'{name} = new.{name}' for name in _CHANGING)}"  # noqa: S608
    " FROM new WHERE deliveries.id = new.id",
)
_ATTEMPTS = ManyRows("INSERT INTO attempts", 7)


@dataclass(slots=True)
class DeliveryRow:
    """A delivery as it stands in its file; changed in place, then written."""

    id: int
    seq: int
    place: int
    inbound: str
    flow: str
    outbound: str
    state: DeliveryState
    due_at: float
    attempts: int
    tries: int
    first_failure_at: float
    uncertain: int
    commit_acked: int
    keys: Keys
    park_code: str
    park_step: str
    park_text: bytes | None
    on_park: str
    holding: int
    released: int
    settled_at: float
    out_of_order: int
    operation_id: str
    body: int
    multi: int

    @property
    def at(self) -> Place:
        """Its place in order."""
        return (self.seq, self.place)

    def values(self) -> tuple[Any, ...]:
        """Return what the UPDATE takes."""
        return (
            self.id,
            self.state.value,
            self.due_at,
            self.attempts,
            self.tries,
            self.first_failure_at,
            self.uncertain,
            self.commit_acked,
            self.park_code,
            self.park_step,
            self.park_text,
            self.on_park,
            self.holding,
            self.released,
            self.settled_at,
            self.out_of_order,
            self.operation_id,
        )


def read_rows(transaction: Transaction, ids: Sequence[int]) -> dict[int, DeliveryRow]:
    """Return the rows of deliveries by their number."""
    found = {}
    for row in transaction.connection.execute(_BY_IDS, (json.dumps(ids),)):
        values = list(row)
        values[_STATE], values[_KEYS] = DeliveryState(row[_STATE]), split_keys(row[_KEYS])
        found[row[0]] = DeliveryRow(*values)
    return found


def write_rows(transaction: Transaction, rows: Sequence[DeliveryRow]) -> None:
    """Write changed rows."""
    _UPDATE.write(transaction.connection, [row.values() for row in rows])


class Settling:
    """Stores settlements within one transaction."""

    def __init__(
        self, core: Core, followers: Followers, tokens: Tokens, transaction: Transaction
    ) -> None:
        self._core = core
        self._followers = followers
        self._tokens = tokens
        self._transaction = transaction
        self._attempts: list[tuple[Any, ...]] = []

    def store(self, settlements: Sequence[Settlement]) -> list[Settled | MedbusError]:
        """Apply all in order; return an answer each."""
        ids = [parse_delivery_id(settlement.delivery_id)[1] for settlement in settlements]
        delivered = self._deliver(dict(zip(ids, settlements, strict=True)), len(ids))
        others = [number for number in ids if number not in delivered]
        rows = read_rows(self._transaction, others) if others else {}
        changed: dict[int, DeliveryRow] = {}
        answers: list[Settled | MedbusError] = []
        for number, settlement in zip(ids, settlements, strict=True):
            if number in delivered:
                answers.append(Settled(settlement.delivery_id, DeliveryState.DELIVERED, ok=True))
                continue
            row = rows.get(number)
            if row is None:
                answers.append(NotFound(f"there is no delivery {settlement.delivery_id}"))
                continue
            answer = self._settle(row, settlement)
            if answer.ok or row.state in TAKEN_OUT:
                changed[number] = row
            answers.append(answer)
        if changed:
            write_rows(self._transaction, list(changed.values()))
        if self._attempts:
            _ATTEMPTS.write(self._transaction.connection, self._attempts)
        return answers

    def _deliver(self, settlements: dict[int, Settlement], count: int) -> Delivered:
        """Settle the plain ones, unless there are two settlements of one delivery."""
        plain = {number: each for number, each in settlements.items() if is_plain(each)}
        if not plain or len(settlements) != count:
            return {}
        delivered = deliver(self._transaction, self._tokens, plain)
        for row_id, (number, attempt) in delivered.items():
            self._add_attempt(row_id, number, attempt)
        return delivered

    # -- one settlement ------------------------------------------------------------------------

    def _settle(self, row: DeliveryRow, settlement: Settlement) -> Settled:
        before, after = row.state, settlement.state
        is_ours = self._tokens.may_settle(settlement.token, row.outbound)
        if before is DeliveryState.PARKED or not is_allowed(before, after) or not is_ours:
            if before in TAKEN_OUT and is_ours:
                # It was under way when it was taken out: what the other side said is evidence.
                self._note_attempt(row, settlement)
                row.uncertain = int(settlement.uncertain or row.uncertain)
            return Settled(settlement.delivery_id, before, ok=False)
        self._note_attempt(row, settlement)
        row.state = after
        row.due_at = settlement.due_at
        if settlement.uncertain is not None:
            row.uncertain = int(settlement.uncertain)
        if settlement.commit_acked is not None:
            row.commit_acked = int(settlement.commit_acked)
        transaction = self._transaction
        transaction.tally.move(row.inbound, row.flow, before, after)
        transaction.move(row.outbound, before, after)
        if after is DeliveryState.PARKED:
            return self._park(row, settlement)
        if after in FINAL_STATES:
            attempt = settlement.attempt
            row.settled_at = attempt.at + attempt.took_s if attempt else self._core.settings.now()
            if row.holding or row.multi:
                row.holding = 0
                self._let_go(row)
        return Settled(settlement.delivery_id, after, ok=True)

    def _note_attempt(self, row: DeliveryRow, settlement: Settlement) -> None:
        attempt = settlement.attempt
        if attempt is None:
            return
        row.attempts += 1
        row.tries += 1
        if attempt.outcome is not AttemptOutcome.ACKED and not row.first_failure_at:
            row.first_failure_at = attempt.at
        self._add_attempt(row.id, row.attempts, attempt)

    def _add_attempt(self, row_id: int, number: int, attempt: Attempt) -> None:
        sealed = self._transaction.file.evidence.seal(
            pack(attempt.ack, encode(attempt.detail)),
            b"v1|attempts|%d|%d|%d" % (row_id >> K_BITS, row_id & K_MASK, number),
        )
        self._attempts.append(
            (
                row_id,
                number,
                attempt.at,
                attempt.took_s,
                attempt.outcome.value,
                attempt.code,
                sealed,
            )
        )

    def _park(self, row: DeliveryRow, settlement: Settlement) -> Settled:
        park = settlement.park
        if park is None:
            raise MedbusError("a delivery is parked without a reason", code="STO-005")
        row.park_code = park.code.value
        row.park_step = park.step
        row.park_text = self._transaction.file.evidence.seal(
            pack(encode(park.reason), encode(park.path)),
            b"v1|deliveries|%d|%d|park_text" % (row.id >> K_BITS, row.id & K_MASK),
        )
        row.on_park = settlement.on_park
        row.released = 0
        core, outbound, at = self._core, row.outbound, row.at
        was_holding, row.holding = row.holding, 0
        if settlement.on_park == "hold_key" and row.keys:
            row.holding = 1
            keys = core.holding.add_holder(outbound, at, row.keys)
            if not was_holding:
                self._transaction.undo.append(lambda: core.holding.forget_park(outbound, at))
            self._transaction.after.append(lambda: self._followers.hold(outbound, at))
            return Settled(settlement.delivery_id, row.state, ok=True, held_keys=keys)
        if was_holding or row.multi:
            self._let_go(row)
        if settlement.on_park == "halt":
            core.holding.add_halt(outbound, at, Halt(settlement.delivery_id, row.keys))
            self._transaction.undo.append(lambda: core.holding.forget_park(outbound, at))
            return Settled(settlement.delivery_id, row.state, ok=True, halted=True)
        return Settled(settlement.delivery_id, row.state, ok=True)

    def _let_go(self, row: DeliveryRow) -> None:
        """After the commit: what waited for this one may go."""
        outbound, at = row.outbound, row.at
        self._transaction.after.append(lambda: self._followers.let_go(outbound, at))
