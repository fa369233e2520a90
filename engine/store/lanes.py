"""
What a lane may send next, read from the files of all days that owe something.

A lane is ``first order key % lanes``, computed, never stored. SQLite keeps the keys as signed
integers, so the remainder is put right for the upper half of the keys.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from engine.model.errors import MedbusError, QueueChanged, Sealed
from engine.model.records import DueDelivery
from engine.model.states import DeliveryState
from engine.security.keyring import BODIES, EVIDENCE
from engine.store.accepting import RECEIVED_BODY
from engine.store.core import Core
from engine.store.holding import Place, lanes_of, split_keys
from engine.store.ids import K_BITS, K_MASK, delivery_id
from engine.store.packing import decode, unpack
from engine.store.tokens import Tokens

#: bytes of bodies that one answer holds at most, one larger delivery apart
_PAGE_BYTES = 8_000_000
_TWO_64 = 1 << 64

_HEADS = """
SELECT seq, place, id, keys FROM deliveries
WHERE state = 'pending' AND outbound = ? AND (seq, place) > (?, ?)
AND (? = 1 OR multi = 1 OR
     CASE WHEN key1 IS NULL THEN 0 WHEN key1 >= 0 THEN key1 % ?
          ELSE (key1 % ? + ? + ?) % ? END = ?)
ORDER BY seq, place LIMIT ?"""
_FULL = """
SELECT d.id, d.seq, d.place, d.route, d.inbound, d.keys, d.due_at, d.tries, d.first_failure_at,
       d.uncertain, d.commit_acked, d.promises, d.body, d.facts, m.received_at, m.facts, b.sealed
FROM deliveries d JOIN messages m ON m.n = d.id >> 16
LEFT JOIN bodies b ON b.id = CASE d.body WHEN 2 THEN d.id - (d.id & 65535) ELSE d.id END
WHERE d.id = ? AND d.state = 'pending'"""
_FLAG = "UPDATE deliveries SET uncertain = 1 WHERE id = ? AND uncertain = 0"


class Lanes:
    """Opens lanes and pages through what they owe; any thread."""

    def __init__(self, core: Core, tokens: Tokens, *, park: Callable[[str], None]) -> None:
        self._core = core
        self._tokens = tokens
        #: parks a damaged delivery, on the writer's thread
        self._park = park
        #: deliveries accepted up to here may have been under way when the last engine was killed
        self.uncertain_up_to = 0

    def open(self, outbound: str, lane: int, lanes: int) -> int:
        """Return a token for the lane."""
        window = self._core.settings.settle_window if self.uncertain_up_to else 0
        return self._tokens.open(outbound, lane, lanes, uncertain=window)

    def next(self, token: int, n: int, after: DueDelivery | None) -> list[DueDelivery]:
        """Return up to *n* pending deliveries in order; see the interface."""
        lane = self._tokens.get(token)
        outbound = lane.outbound
        # The files are read one after the other: what is committed meanwhile is for the next page,
        # or an older delivery in a file already read would be passed over.
        newest = self._core.seq
        changes = self._core.ready.changes(outbound)
        halted = self._core.holding.is_halted(outbound, lane.lane, lane.lanes)
        found: list[DueDelivery] = []
        size = 0
        is_delayed = False
        cursor = (after.seq, after.place) if after is not None else (0, 0)
        for at, day, row_id, keys in self._heads(outbound, lane.lane, lane.lanes, cursor, n):
            if at[0] > newest or (halted is not None and at > halted):
                break
            if len(keys) > 1 and lane.lane not in lanes_of(keys, lane.lanes):
                continue
            if keys and self._core.holding.delays(outbound, keys, at):
                is_delayed = True
                continue
            due = self._load(outbound, day, row_id)
            if due is None:
                continue
            if self._is_uncertain(lane.flagged, due, lane.uncertain_left - len(lane.flagged)):
                due = self._flag(day, row_id, due, lane.flagged)
            found.append(due)
            size += len(due.body)
            if len(found) == n or size > _PAGE_BYTES:
                break
        if is_delayed and not found and self._core.holding.draining(outbound):
            # Not all there is: what a lane was offered would overtake it. The drain's end is told.
            raise QueueChanged
        if self._core.ready.spoils(outbound, changes, has_cursor=after is not None):
            raise QueueChanged
        return found

    def is_halted(self, token: int) -> bool:
        """Return whether a parked delivery stops the lane; see the interface."""
        lane = self._tokens.get(token)
        return self._core.holding.is_halted(lane.outbound, lane.lane, lane.lanes) is not None

    # -- inside --------------------------------------------------------------------------------

    def _heads(
        self, outbound: str, lane: int, lanes: int, cursor: Place, n: int
    ) -> Iterator[tuple[Place, str, int, tuple[bytes, ...]]]:
        """Yield place, day, row and keys of pending deliveries over all days, in order."""
        days = self._core.depths.days(outbound, DeliveryState.PENDING)
        streams = [self._day_heads(day, outbound, lane, lanes, cursor, n) for day in days]
        return heapq.merge(*streams, key=lambda head: head[0])

    def _day_heads(
        self, day: str, outbound: str, lane: int, lanes: int, cursor: Place, n: int
    ) -> Iterator[tuple[Place, str, int, tuple[bytes, ...]]]:
        page = max(n, 16)
        while True:
            # Whole pages, so that no connection is kept while the caller thinks.
            try:
                rows = self._page(day, outbound, lane, lanes, cursor, page)
            except MedbusError:
                if self._core.fenced is not None:
                    raise
                return  # set aside just now; the alarm tells
            for seq, place, row_id, keys in rows:
                yield (seq, place), day, row_id, split_keys(keys)
            if len(rows) < page:
                return
            cursor = (rows[-1][0], rows[-1][1])

    def _page(
        self, day: str, outbound: str, lane: int, lanes: int, cursor: Place, limit: int
    ) -> list[tuple[Any, ...]]:
        rest = _TWO_64 % lanes
        parameters = (outbound, *cursor, lanes, lanes, lanes, lanes, rest, lanes, lane, limit)
        with self._core.read(day) as connection:
            return connection.execute(_HEADS, parameters).fetchall()

    def _load(self, outbound: str, day: str, row_id: int) -> DueDelivery | None:
        """Return a delivery with its bytes; None when it moved on or cannot be opened."""
        with self._core.read(day) as connection:
            row = connection.execute(_FULL, (row_id,)).fetchone()
        if row is None:
            return None
        identity = delivery_id(day, row_id)
        try:
            return self._open(outbound, day, identity, row)
        except Sealed:
            self._park(identity)
            return None

    def _open(self, outbound: str, day: str, identity: str, row: tuple[Any, ...]) -> DueDelivery:
        row_id, sealed = row[0], row[16]
        if sealed is None:
            raise Sealed("its bytes are gone")
        n, k = row_id >> K_BITS, row_id & K_MASK
        received = row[12] == RECEIVED_BODY
        place = b"v1|bodies|%d|%d|sealed" % (n, 0 if received else k)
        body = self._core.keys.sealer(day, BODIES).open(sealed, place)
        evidence = self._core.keys.sealer(day, EVIDENCE)
        if row[13] is None:
            control_id = decode(unpack(evidence.open(row[15], b"v1|messages|%d|0|facts" % n))[0])
            file_name = ""
        else:
            facts = evidence.open(row[13], b"v1|deliveries|%d|%d|facts" % (n, k))
            control_id, file_name = (decode(part) for part in unpack(facts))
        accept, _, application = row[11].partition(",")
        return DueDelivery(
            identity,
            seq=row[1],
            number=k,
            outbound=outbound,
            route=row[3],
            inbound=row[4],
            body=body,
            control_id=control_id,
            promises=(accept, application),
            order_keys=split_keys(row[5]),
            file_name=file_name,
            received_at=row[14],
            due_at=row[6],
            attempts=row[7],
            first_failure_at=row[8],
            uncertain=bool(row[9]),
            commit_acked=bool(row[10]),
            place=row[2],
        )

    def _is_uncertain(self, flagged: set[str], due: DueDelivery, left: int) -> bool:
        if due.uncertain or due.seq > self.uncertain_up_to:
            return False
        return due.delivery_id in flagged or left > 0

    def _flag(self, day: str, row_id: int, due: DueDelivery, flagged: set[str]) -> DueDelivery:
        """It may have been sent before the crash: say so now, and in its row soon."""
        flagged.add(due.delivery_id)
        core = self._core

        def write() -> bool:
            with core.transaction(day) as transaction:
                transaction.connection.execute(_FLAG, (row_id,))
            return False

        core.add_chore(f"uncertain {due.delivery_id}", write)
        return replace(due, uncertain=True)
