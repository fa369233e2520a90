"""
Reading messages and deliveries back, for operators; any thread.

Every question goes day by day and carries a cursor, so that no answer grows with the backlog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.model.errors import MedbusError, NotFound, Sealed
from engine.model.records import Attempt, StoredDelivery, StoredMessage
from engine.model.states import AttemptOutcome, DeliveryState, MessageState
from engine.security.keyring import BODIES, EVIDENCE
from engine.store.accepting import NO_BODY, RECEIVED_BODY
from engine.store.conditions import delivery_conditions, message_conditions
from engine.store.core import Core
from engine.store.damaged import Damaged
from engine.store.ids import K_BITS, K_MASK, delivery_id, parse_delivery_id, parse_message_id
from engine.store.packing import decode, parse_routes, unpack
from engine.store.records import MessageFilter, Page, StoredAttempt
from engine.store.sqlite import Connection
from engine.store.term_index import find_in_runs

_MESSAGE = """
SELECT m.n, m.seq, m.inbound, m.received_at, m.state, m.message_type, m.version, m.ack_code,
       m.size_bytes, m.peer, m.snapshot_id, m.routes, m.warnings, m.duplicate_of, m.replay_of,
       m.replay_as, m.facts
FROM messages m"""
_DELIVERY = """
SELECT d.id, d.seq, d.inbound, d.route, d.outbound, d.state, d.due_at, d.attempts, d.uncertain,
       d.park_code, d.park_text, d.park_step, d.facts, d.settled_at, d.body, d.out_of_order,
       d.released, d.replaced_by, d.replaces, m.facts, d.method
FROM deliveries d JOIN messages m ON m.n = d.id >> 16"""


class Search:
    """The reading side of a store."""

    def __init__(self, core: Core, damaged: Damaged) -> None:
        self._core = core
        self._damaged = damaged
        #: channels the configuration has; None: not said, so nothing is orphaned
        self.known_outbounds: frozenset[str] | None = None

    # -- lists ---------------------------------------------------------------------------------

    def find_messages(
        self, where: MessageFilter, *, limit: int, cursor: str
    ) -> Page[StoredMessage]:
        """Return matching messages, newest first."""
        found: list[StoredMessage] = []
        before_day, before = _parse_cursor(cursor)
        for day in reversed(self._core.days):
            if before_day and day > before_day:
                continue
            bound = before if day == before_day else 1 << 62
            found += self._day_messages(day, where, limit - len(found), bound)
            if len(found) >= limit:
                last = found[-1]
                return Page(tuple(found), f"{last.message_id[:8]}:{last.seq}")
        return Page(tuple(found))

    def find_deliveries(
        self, where: MessageFilter, *, limit: int, cursor: str
    ) -> Page[StoredDelivery]:
        """Return matching deliveries, oldest first."""
        found: list[StoredDelivery] = []
        after_day, after = _parse_cursor(cursor)
        for day in self._core.days:
            if day < after_day:
                continue
            found += self._day_deliveries(
                day, where, limit - len(found), after if day == after_day else 0
            )
            if len(found) >= limit:
                last_day, last = parse_delivery_id(found[-1].delivery_id)
                return Page(tuple(found), f"{last_day}:{last}")
        return Page(tuple(found))

    def _day_messages(
        self, day: str, where: MessageFilter, limit: int, before: int
    ) -> list[StoredMessage]:
        numbers = self._candidates(day, where)
        if numbers is not None and not numbers:
            return []
        conditions = message_conditions(where, numbers)
        conditions.add("m.seq < ?", before)
        sql = f"{_MESSAGE}{conditions.sql()} ORDER BY m.seq DESC LIMIT {limit:d}"
        return self._messages(day, sql, conditions.parameters)

    def _day_deliveries(
        self, day: str, where: MessageFilter, limit: int, after: int
    ) -> list[StoredDelivery]:
        numbers = self._candidates(day, where)
        if numbers is not None and not numbers:
            return []
        conditions = delivery_conditions(where, numbers, day)
        conditions.add("d.id > ?", after)
        sql = f"{_DELIVERY}{conditions.sql()} ORDER BY d.id LIMIT {limit:d}"
        try:
            with self._core.read(day) as connection:
                rows = connection.execute(sql, conditions.parameters).fetchall()
        except MedbusError as error:
            self._pass_over(day, error)
            return []
        return [self._delivery(day, row) for row in rows]

    def _candidates(self, day: str, where: MessageFilter) -> list[int] | None:
        """Return the N that ids and terms leave on *day*; None: all."""
        numbers: set[int] | None = None
        if where.ids:
            numbers = set()
            for identity in where.ids:
                found, n = parse_message_id(identity.partition(".")[0])
                if found == day:
                    numbers.add(n)
        for kind, value in where.terms():
            term = self._core.keys.hashes.term(kind, value)
            with_term = self._find_term(day, term)
            numbers = with_term if numbers is None else numbers & with_term
        return None if numbers is None else sorted(numbers)

    def _find_term(self, day: str, term: bytes) -> set[int]:
        # The tail first: what moves from it to a run meanwhile is then in both, not in neither.
        found = self._core.tail(day).find_term(term)
        try:
            with self._core.read(day) as connection:
                return found | find_in_runs(connection, term)
        except MedbusError as error:
            self._pass_over(day, error)
            return set()

    def _messages(self, day: str, sql: str, parameters: Sequence[Any]) -> list[StoredMessage]:
        try:
            with self._core.read(day) as connection:
                rows = connection.execute(sql, tuple(parameters)).fetchall()
                deliveries = _deliveries_of(connection, [row[0] for row in rows])
        except MedbusError as error:
            self._pass_over(day, error)
            return []
        return [
            self._message(
                day, row, tuple(self._delivery(day, found) for found in deliveries[row[0]])
            )
            for row in rows
        ]

    def _pass_over(self, day: str, error: MedbusError) -> None:
        """A list goes on without a day that was just set aside; the alarm tells."""
        if self._core.fenced is not None or day in self._core.days:
            raise error

    # -- single things -------------------------------------------------------------------------

    def get_message(self, message_id: str) -> StoredMessage:
        """Return one message."""
        day, n = parse_message_id(message_id)
        found = self._messages(day, f"{_MESSAGE} WHERE m.n = ?", (n,)) if self._has(day) else []
        if not found:
            raise NotFound(f"there is no message {message_id}")
        return found[0]

    def get_delivery(self, identity: str) -> StoredDelivery:
        """Return one delivery."""
        day, row_id = parse_delivery_id(identity)
        row = None
        if self._has(day):
            with self._core.read(day) as connection:
                row = connection.execute(f"{_DELIVERY} WHERE d.id = ?", (row_id,)).fetchone()
        if row is None:
            raise NotFound(f"there is no delivery {identity}")
        return self._delivery(day, row)

    def get_body(self, message_id: str) -> bytes:
        """Return received bytes; a duplicate's are those of the message it repeats."""
        day, n = parse_message_id(message_id)
        row = self._one(day, "SELECT duplicate_of FROM messages WHERE n = ?", (n,))
        if row is None:
            raise NotFound(f"there is no message {message_id}")
        if row[0]:
            day, n = parse_message_id(row[0])
        return self._body(day, n << K_BITS)

    def get_output(self, identity: str) -> bytes:
        """Return the bytes of an output."""
        day, row_id = parse_delivery_id(identity)
        row = self._one(day, "SELECT body FROM deliveries WHERE id = ?", (row_id,))
        if row is None:
            raise NotFound(f"there is no delivery {identity}")
        if row[0] == NO_BODY:
            raise NotFound(f"{identity} has no output: a step failed")
        return self._body(day, row_id - (row_id & K_MASK) if row[0] == RECEIVED_BODY else row_id)

    def get_ack(self, message_id: str) -> bytes:
        """Return the ack given."""
        day, n = parse_message_id(message_id)
        row = self._one(day, "SELECT facts FROM messages WHERE n = ?", (n,))
        if row is None:
            raise NotFound(f"there is no message {message_id}")
        try:
            return self._facts(day, n, row[0])[1]
        except Sealed:
            raise self._damaged.tell(message_id) from None

    def get_attempts(self, identity: str) -> tuple[StoredAttempt, ...]:
        """Return all tries of a delivery."""
        day, row_id = parse_delivery_id(identity)
        if not self._has(day):
            raise NotFound(f"there is no delivery {identity}")
        with self._core.read(day) as connection:
            rows = connection.execute(
                "SELECT number, at, took_s, outcome, code, sealed FROM attempts"
                " WHERE id = ? ORDER BY number",
                (row_id,),
            ).fetchall()
        sealer = self._core.keys.sealer(day, EVIDENCE)
        attempts = []
        for number, at, took_s, outcome, code, sealed in rows:
            place = b"v1|attempts|%d|%d|%d" % (row_id >> K_BITS, row_id & K_MASK, number)
            try:
                ack, detail = unpack(sealer.open(sealed, place))
            except Sealed:
                raise self._damaged.tell(identity) from None
            attempt = Attempt(at, took_s, AttemptOutcome(outcome), code, ack, decode(detail))
            attempts.append(StoredAttempt(number, attempt))
        return tuple(attempts)

    def find_replays(self, message_id: str) -> tuple[str, ...]:
        """Return what replays a message; replays lie in its own or a later day."""
        day, _ = parse_message_id(message_id)
        found: list[str] = []
        for later in self._core.days:
            if later < day:
                continue
            with self._core.read(later) as connection:
                rows = connection.execute(
                    "SELECT n FROM messages WHERE replay_of = ? AND replay_of <> '' ORDER BY seq",
                    (message_id,),
                ).fetchall()
            found += [f"{later}-{n}" for (n,) in rows]
        return tuple(found)

    # -- rows into records ---------------------------------------------------------------------

    def _has(self, day: str) -> bool:
        self._core.refuse_absent(day)
        return day in self._core.days

    def _one(self, day: str, sql: str, parameters: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not self._has(day):
            return None
        with self._core.read(day) as connection:
            row: tuple[Any, ...] | None = connection.execute(sql, parameters).fetchone()
        return row

    def _body(self, day: str, row_id: int) -> bytes:
        row = self._one(day, "SELECT sealed FROM bodies WHERE id = ?", (row_id,))
        if row is None:
            raise NotFound("its bytes are no longer kept", fix="see `retention` in medbus.yaml")
        place = b"v1|bodies|%d|%d|sealed" % (row_id >> K_BITS, row_id & K_MASK)
        try:
            return self._core.keys.sealer(day, BODIES).open(row[0], place)
        except Sealed:
            whose = delivery_id(day, row_id) if row_id & K_MASK else f"{day}-{row_id >> K_BITS}"
            raise self._damaged.tell(whose) from None

    def _facts(self, day: str, n: int, sealed: bytes) -> list[bytes]:
        place = b"v1|messages|%d|0|facts" % n
        return unpack(self._core.keys.sealer(day, EVIDENCE).open(sealed, place))

    def _message(
        self, day: str, row: tuple[Any, ...], deliveries: tuple[StoredDelivery, ...]
    ) -> StoredMessage:
        try:
            control_id, _, reason, _ = self._facts(day, row[0], row[16])
        except Sealed:
            control_id, reason = b"", b"(damaged)"
            self._damaged.tell(f"{day}-{row[0]}")
        return StoredMessage(
            f"{day}-{row[0]}",
            seq=row[1],
            inbound=row[2],
            received_at=row[3],
            state=MessageState(row[4]),
            message_type=row[5],
            version=row[6],
            control_id=decode(control_id),
            ack_code=row[7],
            size_bytes=row[8],
            peer=row[9],
            snapshot_id=row[10],
            reject_reason=decode(reason),
            duplicate_of=row[13],
            replay_of=row[14],
            replay_as=row[15],
            warnings=tuple(row[12].split()),
            routes=parse_routes(row[11]),
            deliveries=deliveries,
        )

    def _delivery(self, day: str, row: tuple[Any, ...]) -> StoredDelivery:
        row_id = row[0]
        n, k = row_id >> K_BITS, row_id & K_MASK
        sealer = self._core.keys.sealer(day, EVIDENCE)
        control_id = reason = b""
        try:
            if row[12] is not None:
                opened = sealer.open(row[12], b"v1|deliveries|%d|%d|facts" % (n, k))
                control_id = unpack(opened)[0]
            else:
                control_id = self._facts(day, n, row[19])[0]
            if row[10] is not None:
                opened = sealer.open(row[10], b"v1|deliveries|%d|%d|park_text" % (n, k))
                reason, path = unpack(opened)
                del path
        except Sealed:
            reason = b"(damaged)"
            self._damaged.tell(delivery_id(day, row_id))
        outbound = row[4]
        return StoredDelivery(
            delivery_id(day, row_id),
            f"{day}-{n}",
            seq=row[1],
            inbound=row[2],
            route=row[3],
            outbound=outbound,
            state=DeliveryState(row[5]),
            due_at=row[6],
            attempts=row[7],
            uncertain=bool(row[8]),
            park_code=row[9],
            park_reason=decode(reason),
            park_step=row[11],
            control_id=decode(control_id),
            settled_at=row[13],
            has_body=row[14] != NO_BODY and self._core.keys.has_day(day, BODIES),
            out_of_order=bool(row[15]),
            released=bool(row[16]),
            orphaned=self.is_orphaned(outbound),
            replaced_by=row[17],
            replaces=row[18],
            method=row[20],
        )

    def is_orphaned(self, outbound: str) -> bool:
        """Return whether the running configuration has no such channel."""
        return self.known_outbounds is not None and outbound not in self.known_outbounds


def _deliveries_of(
    connection: Connection, numbers: Sequence[int]
) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {n: [] for n in numbers}
    for n in numbers:
        found[n] = connection.execute(
            f"{_DELIVERY} WHERE d.id BETWEEN ? AND ? ORDER BY d.id",
            (n << K_BITS, n << K_BITS | K_MASK),
        ).fetchall()
    return found


def _parse_cursor(cursor: str) -> tuple[str, int]:
    day, _, number = cursor.partition(":")
    return day, int(number or 0)
