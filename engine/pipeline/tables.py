"""
Lookup tables compiled for finding: by one column or several, and by the date a row is valid on.

Rules of this file: values are compared as they are written; of two rows that fit, the first counts
(the check of the site reports them); a date is compared by its day.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.config.models.tables import DATE_COLUMNS, LookupTable
from engine.pipeline.failures import StepFailed

Row = tuple[str, ...]


class Table:
    """One table with an index per set of key columns, made on first use."""

    __slots__ = ("_indexes", "_positions", "_rows", "_valid", "columns", "name")

    def __init__(self, name: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        self.name = name
        self.columns = tuple(columns)
        self._rows = rows
        self._positions = {column: at for at, column in enumerate(self.columns)}
        self._indexes: dict[tuple[str, ...], dict[Row, list[Row]]] = {}
        self._valid = tuple(self._positions.get(column) for column in DATE_COLUMNS)

    @property
    def is_dated(self) -> bool:
        """Whether rows are valid for some time only."""
        return any(position is not None for position in self._valid)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns a lookup by position goes through: the first."""
        return self.columns[:1]

    @property
    def value_columns(self) -> tuple[str, ...]:
        """All columns but those that say when a row is valid."""
        return tuple(column for column in self.columns if column not in DATE_COLUMNS)

    def find(self, keys: Sequence[str], values: Sequence[str], day: str = "") -> Row | None:
        """
        Return the first row whose *keys* columns hold *values* and which is valid on *day*.

        Args:
            day: YYYYMMDD; "" takes any row.
        """
        names = tuple(keys)
        index = self._indexes.get(names)
        if index is None:
            index = self._index(names)
        for row in index.get(tuple(values), ()):
            if not day or self._is_valid(row, day):
                return row
        return None

    def cell(self, row: Row, column: str) -> str:
        """Return what *row* holds in *column*."""
        return row[self._positions[column]]

    def line_of(self, row: Row) -> int:
        """Return the number of *row* in the table, from 1, for coverage."""
        return next(at for at, known in enumerate(self._rows, 1) if known is row)

    def _index(self, names: tuple[str, ...]) -> dict[Row, list[Row]]:
        places = [self._positions[name] for name in names]
        index: dict[Row, list[Row]] = {}
        for row in self._rows:
            index.setdefault(tuple([row[place] for place in places]), []).append(row)
        self._indexes[names] = index
        return index

    def _is_valid(self, row: Row, day: str) -> bool:
        begin, end = (row[at] if at is not None else "" for at in self._valid)
        return (not begin or digits_of(begin) <= day) and (not end or day <= digits_of(end))


def digits_of(day: str) -> str:
    """Return YYYYMMDD from 2026-11-01, 2026/11/01 or an HL7 time."""
    return "".join([char for char in day if char in "0123456789"])[:8]


def day_of(text: str, path: str) -> str:
    """Return the day of an HL7 time as YYYYMMDD; raises StepFailed where there is none."""
    day = digits_of(text)
    if len(day) < 8:
        raise StepFailed("on_date needs a date with a day, this is none", path)
    return day


def build_tables(tables: dict[str, LookupTable]) -> dict[str, Table]:
    """Return the site's tables ready for lookups."""
    return {name: Table(name, table.columns, table.rows) for name, table in sorted(tables.items())}
