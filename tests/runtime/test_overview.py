"""What `medbus status` says of the ledger."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from engine.runtime.desk import Desk
from engine.runtime.overview import view_ledgers
from engine.store.records import LedgerDifference, LedgerRow

DAY = "20261121"


def told(found: tuple[LedgerDifference, ...], row: LedgerRow) -> str:
    """Return what a running engine says of *row* after a recount that found *found*."""
    desk: Any = SimpleNamespace(
        engine=SimpleNamespace(ledger_differences=lambda: found),
        store=SimpleNamespace(ledger=lambda day: (row,)),
    )
    [line] = view_ledgers(cast("Desk", desk), [DAY])
    return str(line["difference"])


def test_a_difference_is_told_with_the_numbers_of_one_moment() -> None:
    """If this failed, the last recount's numbers would stand beside newer ones that differ."""
    words = "stored = accepted + rejected + duplicate"
    found = LedgerDifference(DAY, "his", "live", f"{words}: 5 is not 4")
    row = LedgerRow(DAY, "his", "live", stored=8, accepted=7)
    assert told((found,), row) == f"{words}: 5 is not 4"
    # Not recounted yet, or of another channel: the row speaks for itself.
    other = LedgerDifference(DAY, "lab", "live", "created: 1 kept, 2 counted")
    assert told((other,), row) == f"{words}: 8 is not 7"
