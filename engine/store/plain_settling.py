"""
The settlement that nearly all are: delivered by its first answer, and nobody waits behind it.

Rules of this file: the row decides; what is not plain is left to settling.py, which does the same
at more length. Each row that a statement returns lets another thread run, so all come as one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from engine.model.records import Attempt, Settlement
from engine.model.states import AttemptOutcome, DeliveryState
from engine.store.many_rows import ManyRows
from engine.store.tokens import Tokens
from engine.store.transaction import Transaction

_FIND = """
SELECT json_group_array(json_array(id, inbound, flow, outbound, attempts)) FROM deliveries
WHERE id IN (SELECT value FROM json_each(?))
AND state = 'pending' AND holding = 0 AND multi = 0"""
_DELIVER = ManyRows(
    "WITH new (id, settled_at) AS (",
    2,
    ") UPDATE deliveries SET state = 'delivered', due_at = 0.0, attempts = attempts + 1,"
    " tries = tries + 1, settled_at = new.settled_at FROM new WHERE deliveries.id = new.id",
)

#: deliveries by their rows, each with the number of the attempt that delivered it, and that
Delivered: TypeAlias = dict[int, tuple[int, Attempt]]


def is_plain(settlement: Settlement) -> bool:
    """Return whether *settlement* says no more than: this try delivered it."""
    attempt = settlement.attempt
    return (
        settlement.state is DeliveryState.DELIVERED
        and attempt is not None
        and attempt.outcome is AttemptOutcome.ACKED
        and settlement.uncertain is None
        and settlement.commit_acked is None
        and not settlement.due_at
    )


def deliver(
    transaction: Transaction, tokens: Tokens, settlements: Mapping[int, Settlement]
) -> Delivered:
    """Settle those of *settlements*, plain ones by their rows, whose rows are plain too."""
    (found,) = transaction.connection.execute(_FIND, (json.dumps(list(settlements)),)).fetchone()
    delivered: Delivered = {}
    rows: list[tuple[Any, ...]] = []
    for number, inbound, flow, outbound, attempts in json.loads(found):
        settlement = settlements[number]
        attempt = settlement.attempt
        if attempt is None or not tokens.may_settle(settlement.token, outbound):
            continue
        delivered[number] = (attempts + 1, attempt)
        rows.append((number, attempt.at + attempt.took_s))
        transaction.tally.move(inbound, flow, DeliveryState.PENDING, DeliveryState.DELIVERED)
        transaction.move(outbound, DeliveryState.PENDING, DeliveryState.DELIVERED)
    if rows:
        _DELIVER.write(transaction.connection, rows)
    return delivered
