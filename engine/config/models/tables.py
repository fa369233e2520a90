"""Lookup tables: transforms/tables/NAME.csv."""

from __future__ import annotations

from dataclasses import dataclass

#: columns that say when a row holds
DATE_COLUMNS = ("valid_from", "valid_to")


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A table as text: nothing is typed, stripped or reordered."""

    name: str
    file: str
    columns: tuple[str, ...]
    #: one tuple per row, as long as columns
    rows: tuple[tuple[str, ...], ...]
    #: line of each row in the file, from 1
    lines: tuple[int, ...]

    @property
    def key_column(self) -> str:
        """The first column: what `lookup: {path, table}` looks into."""
        return self.columns[0]

    @property
    def value_columns(self) -> tuple[str, ...]:
        """All columns but those that say when a row holds."""
        return tuple(name for name in self.columns if name not in DATE_COLUMNS)

    @property
    def is_dated(self) -> bool:
        """Whether rows hold for a time only."""
        return any(name in self.columns for name in DATE_COLUMNS)
