"""Numbers with their nouns."""

from __future__ import annotations

import pytest

from engine.model.counting import count_of


@pytest.mark.parametrize(
    ("number", "told"),
    [(0, "0 deliveries"), (1, "1 delivery"), (2, "2 deliveries"), (1400, "1,400 deliveries")],
)
def test_one_thing_is_not_told_as_many(number: int, told: str) -> None:
    """If this failed, people would read "1 deliveries"."""
    assert count_of(number, "delivery", "deliveries") == told


def test_most_nouns_take_an_s() -> None:
    """If this failed, every regular noun would have to be written twice."""
    assert (count_of(1, "error"), count_of(3, "error")) == ("1 error", "3 errors")
