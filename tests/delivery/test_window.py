"""What a lane keeps of its queue while others change it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.delivery.window import Window
from engine.model.errors import QueueChanged
from tests.support.lanes import due


class Reads:
    """The pages that a window has asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Callable[[Any], None]]] = []
        self.window = Window(self._read, changed=self._look, lost=self._never, failed=self._never)

    def _read(self, n: int, after: Any, done: Callable[[Any], None]) -> None:
        self.asked.append((after, done))

    def _look(self) -> None:
        assert self.window.head is None or self.window.head

    def _never(self) -> None:
        raise AssertionError("nothing is lost and nothing failed")


def test_a_refused_page_does_not_say_that_this_was_all() -> None:
    """What was offered while it was read may have others in front of it, in the store."""
    reads = Reads()
    window = reads.window
    assert window.head is None
    window.offer(due(9))
    reads.asked.pop()[1](QueueChanged())
    assert len(window) == 0
    assert not window.is_idle
    window.reset()
    assert window.head is None
    after, done = reads.asked.pop()
    assert after is None
    done([due(3), due(9)])
    assert [each.delivery_id for each in window.deliveries()] == [
        due(3).delivery_id,
        due(9).delivery_id,
    ]


def test_a_page_refused_before_the_wake_is_read_again_after_it() -> None:
    """The refusal may come later than the wake that it was made for."""
    reads = Reads()
    window = reads.window
    assert window.head is None
    _, done = reads.asked.pop()
    window.reset()
    done(QueueChanged())
    after, done = reads.asked.pop()
    assert after is None
    done([due(3)])
    assert window.head == due(3)
