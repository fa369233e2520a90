"""Threads that wait while the engine ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from engine.model.errors import Conflict, Stopping
from engine.runtime.asking import Asking


def test_an_answer_is_returned_and_an_error_raised() -> None:
    """If this failed, operations would get errors as results."""
    asking = Asking()
    assert asking.ask(lambda done: done(7)) == 7
    with pytest.raises(Conflict):
        asking.ask(lambda done: done(Conflict()))


def test_nobody_is_left_waiting_at_the_end() -> None:
    """If this failed, a thread that asked during a stop would keep the process for ever."""
    asking, asked = Asking(), list[Callable[[Any], None]]()
    with ThreadPoolExecutor(1) as threads:
        waits = threads.submit(asking.ask, asked.append)
        while not asked:
            pass
        asking.end()
        assert isinstance(waits.exception(timeout=60), Stopping)
    asked[0]("too late, and no error")
    with pytest.raises(Stopping):
        asking.ask(asked.append)
