"""What large messages leave behind is cleared away by their bytes."""

from __future__ import annotations

from engine.intake.budget import Budget


def test_large_messages_are_cleared_away_by_their_bytes() -> None:
    """If this failed, a few dozen messages with documents in them could fill the memory."""
    calls: list[int] = []
    budget = Budget(collect=lambda: calls.append(budget.used))
    for _ in range(13):
        budget.add(5_000_000)
        budget.remove(5_000_000)
    assert calls == [0]
    budget.add(5_000_000)
    budget.remove(5_000_000)
    assert calls == [0, 0]


def test_small_messages_are_left_to_the_collector_itself() -> None:
    """If this failed, a busy engine would search its memory several times a second."""
    calls: list[None] = []
    budget = Budget(collect=lambda: calls.append(None))
    for _ in range(100_000):
        budget.add(2_000)
        budget.remove(2_000)
    assert calls == []
