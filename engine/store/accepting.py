"""
Arrivals into rows: duplicates decided, bodies sealed, states given, all in one transaction.

Rules of this file: this is the hot path. Rows are prepared as tuples and go to SQLite many at a
time, table by table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from engine.model.errors import MedbusError
from engine.model.message_warnings import SAME_ID_OTHER_BYTES
from engine.model.records import Accepted, Arrival, NewDelivery
from engine.model.states import DeliveryState, MessageState
from engine.store.core import Core
from engine.store.holding import Halt, Place
from engine.store.ids import K_BITS, K_MASK, delivery_id
from engine.store.ledger import created
from engine.store.many_rows import ManyRows
from engine.store.packing import as_tuple, encode, pack, plain, routes_text
from engine.store.seen import First, Seen
from engine.store.transaction import Transaction

#: deliveries.body
NO_BODY, OWN_BODY, RECEIVED_BODY = 0, 1, 2

_MESSAGE_COLUMNS = 21
_DELIVERY_COLUMNS = 34
_MESSAGES = ManyRows("INSERT INTO messages", _MESSAGE_COLUMNS)
_DELIVERIES = ManyRows("INSERT INTO deliveries", _DELIVERY_COLUMNS)
_BODIES = ManyRows("INSERT INTO bodies", 2)
INSERT_DELIVERY = f"INSERT INTO deliveries VALUES ({','.join('?' * _DELIVERY_COLUMNS)})"  # noqa: S608
INSERT_BODY = "INSERT INTO bodies VALUES (?, ?)"
_INBOUND_LAST = """
INSERT INTO inbounds VALUES (?, ?)
ON CONFLICT (inbound) DO UPDATE SET last_at = max(last_at, excluded.last_at)"""

_HOLD_KEY, _HALT = "hold_key", "halt"


def signed(key: bytes) -> int:
    """Return an order key as SQLite keeps integers; see lanes.py for the way back."""
    return int.from_bytes(key, "big", signed=True)


class Intake:
    """Stores arrivals within one transaction."""

    def __init__(self, core: Core, seen: Seen, transaction: Transaction) -> None:
        self._core = core
        self._seen = seen
        self._transaction = transaction
        self._file = transaction.file
        self._messages: list[tuple[Any, ...]] = []
        self._bodies: list[tuple[int, bytes]] = []
        self._deliveries: list[tuple[Any, ...]] = []
        self._fresh: dict[bytes, list[First]] = {}
        self._last: dict[str, float] = {}

    def store(self, arrivals: Sequence[Arrival]) -> list[Accepted | MedbusError]:
        """Prepare all, then write all; return an answer each."""
        # Before the commit: no delivery may leave whose pseudonyms the vault does not know.
        self._core.vault.keep(one for arrival in arrivals for one in arrival.deliveries)
        answers: list[Accepted | MedbusError] = [self._add(arrival) for arrival in arrivals]
        connection = self._transaction.connection
        if self._messages:
            _MESSAGES.write(connection, self._messages)
        if self._bodies:
            _BODIES.write(connection, self._bodies)
        if self._deliveries:
            _DELIVERIES.write(connection, self._deliveries)
        if self._last:
            connection.executemany(_INBOUND_LAST, list(self._last.items()))
        self._transaction.after.append(self._remember)
        return answers

    # -- one arrival ---------------------------------------------------------------------------

    def _add(self, arrival: Arrival) -> Accepted:
        if arrival.operation_id:
            done = self._seen.find_replay(self._transaction, arrival)
            if done is not None:
                return done
        state, first, other_bytes = arrival.state, None, False
        identity, content = None, self._core.keys.hashes.content(arrival.sha256)
        if state is MessageState.ACCEPTED and arrival.control_id and not arrival.replay_of:
            identity = self._core.keys.hashes.identity(
                arrival.inbound, arrival.sender, arrival.control_id
            )
            if arrival.duplicate_window_s > 0:
                first, other_bytes = self._seen.find_first(arrival, identity, content, self._fresh)
        if first is not None:
            state, identity = MessageState.DUPLICATE, None
        if other_bytes:
            arrival = replace(arrival, warnings=(*arrival.warnings, SAME_ID_OTHER_BYTES))
        transaction = self._transaction
        transaction.seq += 1
        seq = transaction.seq
        n = int(arrival.message_id[9:])
        flow = transaction.tally.add_arrival(arrival, state)
        ack = first.ack if first is not None else arrival.ack
        self._add_message(arrival, n, seq, state, first, ack, identity, content)
        if identity is not None:
            found = First(arrival.message_id, arrival.received_at, content, ack)
            self._fresh.setdefault(identity, []).append(found)
        if not arrival.replay_of:
            self._last[arrival.inbound] = max(
                arrival.received_at, self._last.get(arrival.inbound, 0.0)
            )
        if state is MessageState.DUPLICATE:
            return Accepted(arrival.message_id, state, seq, ack, first.message_id if first else "")
        self._add_body(n << K_BITS, arrival.body)
        states = tuple(
            [self._add_delivery(arrival, delivery, n, seq, flow) for delivery in arrival.deliveries]
        )
        return Accepted(
            arrival.message_id,
            state,
            seq,
            ack,
            same_id_other_bytes=other_bytes,
            delivery_states=states,
        )

    def _add_message(
        self,
        arrival: Arrival,
        n: int,
        seq: int,
        state: MessageState,
        first: First | None,
        ack: bytes,
        identity: bytes | None,
        content: bytes,
    ) -> None:
        is_first = first is None
        term = self._core.keys.hashes.term
        terms = b"".join([term(kind, value) for kind, value in arrival.terms])
        facts = self._file.evidence.seal(
            pack(encode(arrival.control_id), ack, encode(arrival.reject_reason), arrival.sha256),
            b"v1|messages|%d|0|facts" % n,
        )
        self._messages.append(
            (
                n,
                seq,
                arrival.inbound,
                arrival.received_at,
                state.value,
                plain(arrival.message_type),
                plain(arrival.version),
                arrival.ack_code,
                len(arrival.body),
                plain(arrival.peer),
                arrival.snapshot_id,
                routes_text(as_tuple(arrival.routes)) if is_first and arrival.routes else "[]",
                " ".join(arrival.warnings),
                first.message_id if first is not None else "",
                arrival.replay_of,
                arrival.replay_as,
                arrival.operation_id,
                identity,
                content,
                terms,
                facts,
            )
        )

    def _add_body(self, row: int, body: bytes) -> None:
        place = b"v1|bodies|%d|%d|sealed" % (row >> K_BITS, row & K_MASK)
        self._bodies.append((row, self._file.bodies.seal(body, place)))
        self._transaction.size_bytes += len(body)

    def _add_delivery(
        self, arrival: Arrival, delivery: NewDelivery, n: int, seq: int, flow: str
    ) -> DeliveryState:
        row = n << K_BITS | delivery.number
        keys = delivery.order_keys
        held = (
            delivery.park is None
            and bool(keys)
            and self._core.holding.blocks_new(delivery.outbound, keys)
        )
        state = created(arrival, delivery, held)
        body = NO_BODY
        if delivery.body is not None:
            body = RECEIVED_BODY if delivery.body == arrival.body else OWN_BODY
            if body == OWN_BODY:
                self._add_body(row, delivery.body)
        place = delivery.number << K_BITS | delivery.number
        self._deliveries.append(
            delivery_row(
                self._core,
                self._transaction,
                delivery,
                row=row,
                seq=seq,
                place=place,
                inbound=arrival.inbound,
                flow=flow,
                state=state,
                body=body,
                message_control_id=arrival.control_id,
            )
        )
        self._transaction.tally.add_delivery(arrival.inbound, flow, state)
        self._transaction.move(delivery.outbound, None, state)
        if state is DeliveryState.PARKED or len(keys) > 1:
            note_holds(self._core, self._transaction, delivery, row, (seq, place))
        return state

    def _remember(self) -> None:
        """After the commit: what later searches and duplicate checks must know."""
        day = self._file.day
        self._core.tail(day).add((row[0], row[1], row[19], row[17]) for row in self._messages)
        self._seen.add(self._fresh)


def delivery_row(
    core: Core,
    transaction: Transaction,
    delivery: NewDelivery,
    *,
    row: int,
    seq: int,
    place: int,
    inbound: str,
    flow: str,
    state: DeliveryState,
    body: int,
    message_control_id: str,
    out_of_order: bool = False,
    snapshot_id: str = "",
    operation_id: str = "",
) -> tuple[Any, ...]:
    """Return a new delivery as a row of its table."""
    n, k = row >> K_BITS, row & K_MASK
    seal = transaction.file.evidence.seal
    keys = delivery.order_keys
    park = delivery.park
    facts = park_text = None
    if delivery.file_name or delivery.control_id != message_control_id:
        facts = seal(
            pack(encode(delivery.control_id), encode(delivery.file_name)),
            b"v1|deliveries|%d|%d|facts" % (n, k),
        )
    if park is not None:
        park_text = seal(
            pack(encode(park.reason), encode(park.path)),
            b"v1|deliveries|%d|%d|park_text" % (n, k),
        )
    return (
        row,
        seq,
        place,
        inbound,
        flow,
        delivery.route,
        delivery.output,
        delivery.outbound,
        state.value,
        0.0,
        0,
        0,
        0.0,
        0,
        0,
        body,
        ",".join(delivery.promises),
        b"".join(keys) or None,
        signed(keys[0]) if keys else None,
        int(len(keys) > 1),
        facts,
        park.code.value if park else "",
        park.step if park else "",
        park_text,
        delivery.on_park if park else "continue",
        int(park is not None and delivery.on_park == _HOLD_KEY and bool(keys)),
        0,
        int(out_of_order),
        0.0,
        snapshot_id,
        delivery.replaces,
        "",
        operation_id,
        delivery.method,
    )


def note_holds(
    core: Core, transaction: Transaction, delivery: NewDelivery, row: int, place: Place
) -> None:
    """Let a new delivery hold or halt what comes behind it, unless this is rolled back."""
    outbound, keys = delivery.outbound, delivery.order_keys
    if delivery.park is None:
        core.holding.add_merge(outbound, place, keys)
    elif delivery.on_park == _HOLD_KEY and keys:
        core.holding.add_holder(outbound, place, keys)
    elif delivery.on_park == _HALT:
        halt = Halt(delivery_id(transaction.file.day, row), keys)
        core.holding.add_halt(outbound, place, halt)
    else:
        return
    transaction.undo.append(lambda: core.holding.forget(outbound, place))
