"""
Writing many rows with few statements.

Each step of a statement lets another thread run, and then waits until that one gives way; with a
row per step a commit beside a busy loop would wait hundreds of times. A step takes up to 32 rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from engine.store.sqlite import Connection

#: rows in one statement; each count has a statement of its own, made when it is first needed
_MOST_ROWS = 32

Row = tuple[Any, ...]


class ManyRows:
    """
    A statement for any number of rows.

    Args:
        before: the statement up to its VALUES.
        columns: how many values a row has; every row gives them all.
        after: what follows the values.
    """

    def __init__(self, before: str, columns: int, after: str = "") -> None:
        row = f"({','.join('?' * columns)})"
        self._statements = [
            f"{before} VALUES {','.join([row] * count)} {after}"
            for count in range(1, _MOST_ROWS + 1)
        ]

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Write *rows*, in their order."""
        for at in range(0, len(rows), _MOST_ROWS):
            some = rows[at : at + _MOST_ROWS]
            values = tuple(chain.from_iterable(some))
            connection.execute(self._statements[len(some) - 1], values)
