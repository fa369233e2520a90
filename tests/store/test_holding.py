"""Who waits behind whom, where merges tie the keys of several patients together."""

from __future__ import annotations

from engine.store.holding import Holding, Keys, Place
from tests.store.builders import key

LIS = "lis"
A, B, C, D = (key(number) for number in (1, 2, 3, 4))


def at(seq: int) -> Place:
    """Return the place of the only delivery of a message."""
    return seq, 1


def delays(holding: Holding, seq: int, keys: Keys) -> bool:
    """Return whether the delivery of message *seq* may not go yet."""
    return holding.delays(LIS, keys, at(seq))


def test_nothing_overtakes_a_merge_that_waits_for_a_drain() -> None:
    """A merge that a drain of one patient delays is not overtaken on its other patient."""
    holding = Holding()
    holding.add_merge(LIS, at(2), (A, B))
    holding.add_holder(LIS, at(5), (A,))
    assert not delays(holding, 2, (A, B))
    holding.drop(LIS, at(5))
    assert delays(holding, 2, (A, B))
    assert delays(holding, 3, (B,))
    holding.drain_to(LIS, at(2))
    assert not delays(holding, 2, (A, B))
    assert delays(holding, 3, (B,))
    holding.drained(LIS)
    assert not delays(holding, 3, (B,))


def test_a_new_merge_ties_older_ones_to_a_drain() -> None:
    """A merge that comes during a drain delays older merges together with what follows them."""
    holding = Holding()
    holding.add_merge(LIS, at(2), (C, D))
    holding.add_holder(LIS, at(3), (A,))
    holding.drop(LIS, at(3))
    assert not delays(holding, 4, (D,))
    holding.add_merge(LIS, at(5), (A, C))
    assert delays(holding, 2, (C, D)) is delays(holding, 4, (D,)) is True


def test_the_last_merge_that_goes_takes_its_holds_along() -> None:
    """A merge that is cancelled while it waits leaves none of its patients held."""
    holding = Holding()
    holding.add_holder(LIS, at(1), (A,))
    holding.add_merge(LIS, at(2), (A, B))
    assert delays(holding, 3, (B,))
    assert holding.drop(LIS, at(2)) == {B}
    holding.drained(LIS)
    assert not delays(holding, 3, (B,))
    assert delays(holding, 4, (A,))


def test_a_merge_whose_parking_was_rolled_back_is_a_merge_as_before() -> None:
    """If this failed, a patient's later message could overtake a merge after a full disk."""
    holding = Holding()
    holding.add_merge(LIS, at(2), (A, B))
    holding.add_holder(LIS, at(2), (A, B))
    holding.forget_park(LIS, at(2))
    assert not holding.holds(LIS)
    assert holding.add_holder(LIS, at(1), (A,)) == (A, B)
    assert delays(holding, 3, (B,))
