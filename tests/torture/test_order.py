"""The judge of the order sees what it must see, and blames nobody for what was let pass."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.torture.order import MAYBE_TAKEN, TAKEN, Sent, count_repeats, find_overtakers, read_sent


def one(*keys: str, sent_at: float, acked_at: float | None = None) -> Sent:
    """Return a message that was acknowledged half a second later, or when told."""
    return Sent(frozenset(keys), "", sent_at, sent_at + 0.5 if acked_at is None else acked_at)


def came(name: str, outcome: str = TAKEN, at: float = 50.0) -> dict[str, Any]:
    """Return the row of an arrival."""
    return {"id": name, "outcome": outcome, "at": at}


#: an update of p, a merge of p and q, an update of q
SENT = {
    "p": one("p", sent_at=1),
    "merge": one("p", "q", sent_at=2),
    "q": one("q", sent_at=3),
}


def test_what_keeps_the_order_is_blamed_for_nothing() -> None:
    """A refusal that is mended before its followers come breaks no order."""
    arrivals = [came("p", "refused"), came("p"), came("merge"), came("q")]
    assert find_overtakers(arrivals, SENT, {}, by_patient=True) == []


@pytest.mark.parametrize(
    ("arrivals", "found"),
    [
        ([came("p"), came("q"), came("merge")], ["q came before merge"]),
        ([came("merge"), came("p"), came("q")], ["merge came before p"]),
        ([came("p", "refused"), came("merge"), came("p")], ["merge came before p"]),
        ([came("p"), came("q")], ["q came before merge"]),
    ],
)
def test_whoever_passes_a_merge_or_a_refused_one_is_named(
    arrivals: list[dict[str, Any]], found: list[str]
) -> None:
    """A merge counts under both its patients, and what was refused or never came still counts."""
    assert find_overtakers(arrivals, SENT, {}, by_patient=True) == found


def test_only_what_was_let_go_may_be_passed_and_only_from_then_on() -> None:
    """A release frees followers from its moment on, not those that had passed before."""
    arrivals = [came("p"), came("q", at=50.0), came("merge")]
    assert find_overtakers(arrivals, SENT, {"merge": 49.0}, by_patient=True) == []
    assert find_overtakers(arrivals, SENT, {"merge": 51.0}, by_patient=True) != []


def test_messages_that_were_under_way_together_have_no_order() -> None:
    """Only an ack before the other's first try makes an order."""
    sent = {"a": one("p", sent_at=1, acked_at=4), "b": one("p", sent_at=2)}
    assert find_overtakers([came("b"), came("a")], sent, {}, by_patient=True) == []


def test_a_channel_without_keys_keeps_one_order_for_all() -> None:
    """Where nothing tells patients apart, other patients may not pass either."""
    arrivals = [came("p"), came("q"), came("merge")]
    sent = {**SENT, "merge": one("z", sent_at=2)}
    assert find_overtakers(arrivals, sent, {}, by_patient=True) == []
    assert find_overtakers(arrivals, sent, {}, by_patient=False) == ["q came before merge"]


def test_only_what_was_taken_in_time_counts_as_a_repeat() -> None:
    """Refusals and late acks are repeated with reason; a clean ack is not."""
    reason = [came("a", "refused"), came("a", MAYBE_TAKEN), came("a")]
    assert count_repeats(reason) == 0
    assert count_repeats([*reason, came("a", "refused"), came("a")]) == 2


def test_a_sender_that_tries_again_is_one_message() -> None:
    """The first try and the first positive ack are what the order goes by."""
    row = {"id": "a", "patient": "p", "merged": "", "sha256": "s"}
    tries = [
        {**row, "sent_at": 1.0, "answer": "none", "at": 2.0},
        {**row, "sent_at": 3.0, "answer": "AA", "at": 4.0},
    ]
    assert read_sent(tries) == {"a": Sent(frozenset("p"), "s", 1.0, 4.0)}
    assert read_sent(tries[:1])["a"].acked_at == math.inf
