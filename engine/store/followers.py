"""
Moving what waits behind a parked delivery: to held, and back to pending, 1,000 rows a commit.

What may be sent is decided in memory at once (``Holding``); the rows follow here, between other
commits, in order. After a crash ``resume`` goes on from what the rows say.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from engine.model.states import DeliveryState
from engine.store.core import Core
from engine.store.holding import START, Keys, Place, split_keys

#: rows moved by one commit
SLICE = 1_000
#: rows looked at in one go
_LOOK = 10_000

_CANDIDATES = """
SELECT id, seq, place, inbound, flow, keys, multi FROM deliveries
WHERE state = '{state}' AND outbound = ? AND (seq, place) > (?, ?)
ORDER BY seq, place LIMIT ?"""
_LAST_LOOKED = """
SELECT seq, place FROM deliveries
WHERE state = '{state}' AND outbound = ? AND (seq, place) > (?, ?)
ORDER BY seq, place LIMIT 1 OFFSET ?"""
_MATCHING = """
SELECT id, seq, place, inbound, flow, keys, multi FROM deliveries
WHERE state = '{state}' AND outbound = ? AND (seq, place) > (?, ?) AND (seq, place) <= (?, ?)
AND (multi = 1 OR key1 IN (SELECT value FROM json_each(?)))
ORDER BY seq, place LIMIT ?"""
_HELD_KEYS = """
SELECT DISTINCT key1, NULL FROM deliveries
WHERE state = 'held' AND outbound = ? AND multi = 0 AND key1 IS NOT NULL
UNION ALL
SELECT key1, keys FROM deliveries WHERE state = 'held' AND outbound = ? AND multi = 1"""
_MOVE = """
UPDATE deliveries SET state = ?
WHERE id IN (SELECT value FROM json_each(?)) AND state = ? RETURNING id"""


class _Row(NamedTuple):
    id: int
    at: Place
    inbound: str
    flow: str
    keys: Keys


class Followers:
    """Moves followers; writer's thread only."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._walks: dict[tuple[str, DeliveryState], Place] = {}
        #: holds that came while a walk was under way: where to look again
        self._again: dict[str, Place] = {}

    def hold(self, outbound: str, behind: Place) -> None:
        """Something at *behind* was parked: what is pending behind it and shares a key is held."""
        key = (outbound, DeliveryState.PENDING)
        if key in self._walks:
            self._again[outbound] = min(behind, self._again.get(outbound, behind))
        else:
            self._walks[key] = behind
            self._core.add_chore(f"hold {outbound}", lambda: self._hold_slice(outbound))

    def let_go(self, outbound: str, place: Place) -> None:
        """What was parked at *place* is settled or released: followers may go."""
        freed = self._core.holding.drop(outbound, place)
        if freed:
            self.drain(outbound)

    def drain(self, outbound: str) -> None:
        """Begin (again) to move followers of the draining keys."""
        self._walks[outbound, DeliveryState.HELD] = START
        self._core.add_chore(f"drain {outbound}", lambda: self._drain_slice(outbound))

    def resume(self, outbound: str) -> None:
        """Go on from what the rows say: after a crash, or when a channel took over a queue."""
        held: set[bytes] = set()
        for day in self._core.depths.days(outbound, DeliveryState.HELD):
            with self._core.read(day) as connection:
                for key1, keys in connection.execute(_HELD_KEYS, (outbound, outbound)):
                    held.update(
                        split_keys(keys) if keys else (key1.to_bytes(8, "big", signed=True),)
                    )
        if held:
            self._core.holding.start_draining(outbound, held)
            self.drain(outbound)
        if self._core.holding.held_keys(outbound):
            self.hold(outbound, START)

    # -- slices --------------------------------------------------------------------------------

    def _hold_slice(self, outbound: str) -> bool:
        keys = self._core.holding.held_keys(outbound)
        key = (outbound, DeliveryState.PENDING)
        more = bool(keys) and self._slice(outbound, keys, DeliveryState.PENDING, DeliveryState.HELD)
        if more:
            return True
        del self._walks[key]
        again = self._again.pop(outbound, None)
        if again is not None and keys:
            self._walks[key] = again
            return True
        return False

    def _drain_slice(self, outbound: str) -> bool:
        keys = self._core.holding.draining(outbound)
        walk = (outbound, DeliveryState.HELD)
        more = bool(keys) and self._slice(outbound, keys, DeliveryState.HELD, DeliveryState.PENDING)
        with self._core.ready.changing(outbound):
            if more:
                self._core.holding.drain_to(outbound, self._walks[walk])
            else:
                self._walks.pop(walk, None)
                self._core.holding.drained(outbound)
        return more

    def _slice(
        self,
        outbound: str,
        keys: frozenset[bytes],
        before: DeliveryState,
        after: DeliveryState,
    ) -> bool:
        """Move the next rows; return whether there may be more."""
        walk = (outbound, before)
        cursor = self._walks[walk]
        day, rows, end = self._look(outbound, keys, before, cursor)
        if day is None:
            return False
        moving = [
            row
            for row in rows
            if self._core.holding.blocks(outbound, row.keys, row.at)
            is (after is DeliveryState.HELD)
        ]
        if moving:
            self._move(day, outbound, moving, before, after)
        self._walks[walk] = end
        return True

    def _look(
        self, outbound: str, keys: frozenset[bytes], state: DeliveryState, cursor: Place
    ) -> tuple[str | None, list[_Row], Place]:
        """
        Return rows of one file behind *cursor* that share a key, and how far was looked.

        A slice never goes past the first row of another file, so that rows move in order.
        """
        wanted = json.dumps([int.from_bytes(key, "big", signed=True) for key in keys])
        firsts: list[tuple[Place, str]] = []
        for day in self._core.depths.days(outbound, state):
            with self._core.read(day) as connection:
                row = connection.execute(
                    _CANDIDATES.format(state=state.value), (outbound, *cursor, 1)
                ).fetchone()
            if row is not None:
                firsts.append(((row[1], row[2]), day))
        if not firsts:
            return None, [], cursor
        firsts.sort()
        day = firsts[0][1]
        bound = firsts[1][0] if len(firsts) > 1 else None
        with self._core.read(day) as connection:
            last = connection.execute(
                _LAST_LOOKED.format(state=state.value), (outbound, *cursor, _LOOK)
            ).fetchone()
            # Never beyond what there is: what comes before the next slice has to be looked at, too.
            end: Place = (last[0], last[1]) if last else (self._core.seq, 1 << 62)
            if bound is not None and bound < end:
                end = (bound[0], bound[1] - 1)
            rows = [
                _Row(row[0], (row[1], row[2]), row[3], row[4], split_keys(row[5]))
                for row in connection.execute(
                    _MATCHING.format(state=state.value), (outbound, *cursor, *end, wanted, SLICE)
                )
            ]
        if len(rows) == SLICE:
            end = rows[-1].at
        return day, rows, end

    def _move(
        self,
        day: str,
        outbound: str,
        rows: Sequence[_Row],
        before: DeliveryState,
        after: DeliveryState,
    ) -> None:
        with self._core.transaction(day) as transaction:
            if after is DeliveryState.PENDING:
                transaction.ready.add(outbound)
            ids = json.dumps([row.id for row in rows])
            moved = {
                found[0]
                for found in transaction.connection.execute(
                    _MOVE, (after.value, ids, before.value)
                ).fetchall()
            }
            flows = Counter((row.inbound, row.flow) for row in rows if row.id in moved)
            for (inbound, flow), count in flows.items():
                transaction.tally.move(inbound, flow, before, after, count)
            transaction.move(outbound, before, after, len(moved))
        self._core.failpoint("followers.slice")
