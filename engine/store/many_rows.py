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

#: rows in one statement
_SIZES = (32, 16, 8, 4, 2, 1)

Row = tuple[Any, ...]


class Inserting:
    """
    An INSERT of any number of rows.

    Args:
        table: its name, and its columns where the rows do not come in their order.
        columns: how many values a row has; every row gives them all.
        then: what follows the values.
    """

    def __init__(self, table: str, columns: int, then: str = "") -> None:
        row = f"({','.join('?' * columns)})"
        self._statements = [
            (size, f"INSERT INTO {table} VALUES {','.join([row] * size)} {then}")  # noqa: S608
            for size in _SIZES
        ]

    def write(self, connection: Connection, rows: Sequence[Row]) -> None:
        """Insert *rows*, in their order."""
        at, count = 0, len(rows)
        for size, statement in self._statements:
            while count - at >= size:
                values = chain.from_iterable(rows[at : at + size])
                connection.execute(statement, tuple(values))
                at += size
