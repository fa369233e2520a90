"""
What a day's file needs between commits: its term index, tomorrow's file, rest when all is final.

Rules of this file: each piece is a chore, run on the writer's thread and again until it is done.
"""

from __future__ import annotations

from functools import partial

from engine.store.core import Core
from engine.store.ids import day_after
from engine.store.term_index import RUN_MESSAGES, write_run


class DayChores:
    """Sees to the files of days; writer's thread only."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def after_commit(self, day: str, *, has_arrivals: bool) -> None:
        """See what *day* needs now."""
        core = self._core
        if day < core.days[-2:][0] and core.files.is_open(day) and not core.depths.owed(day):
            core.add_chore(f"close {day}", lambda: self._close_day(day))
        if not has_arrivals:
            return
        if len(core.tail(day)) >= RUN_MESSAGES:
            core.add_chore(f"index {day}", lambda: self.index(day))
        tomorrow = day_after(day)
        if tomorrow not in core.days and tomorrow not in core.absent:
            core.add_chore(f"make {tomorrow}", lambda: self._make_day(tomorrow))

    def index(self, day: str) -> bool:
        """Write the terms that are in memory only as one sorted run; nothing is left to do."""
        tail = self._core.tail(day)
        if not len(tail):
            return False
        with self._core.transaction(day) as transaction:
            count = write_run(transaction.connection, tail)
        tail.drop(count)
        return False

    def _make_day(self, day: str) -> bool:
        core = self._core
        core.open_day(day, create=True)
        for older in core.files.open_days():
            if older < core.days[-2:][0] and not core.depths.owed(older):
                core.add_chore(f"close {older}", partial(self._close_day, older))
        return False

    def _close_day(self, day: str) -> bool:
        """A past day that owes nothing is put to rest: one plain file, no WAL beside it."""
        core = self._core
        if core.files.is_open(day) and not core.depths.owed(day):
            self.index(day)
            core.readers.close(day)
            core.files.rest(day)
        return False
