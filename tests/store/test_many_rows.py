"""Tests of writing many rows with few statements."""

from __future__ import annotations

import pytest

from engine.store.many_rows import Inserting
from engine.store.sqlite import Connection, driver


@pytest.fixture
def connection() -> Connection:
    """A database with one table."""
    made = driver.connect(":memory:", isolation_level=None)
    made.execute("CREATE TABLE things (n INTEGER PRIMARY KEY, name TEXT)")
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 3, 31, 32, 33, 63, 64, 101])
def test_every_row_is_written_once(connection: Connection, count: int) -> None:
    """Whatever the number of rows, all are there, none twice, each with its own values."""
    rows = [(n, f"thing {n}") for n in range(count)]
    Inserting("things", 2).write(connection, rows)
    assert list(connection.execute("SELECT n, name FROM things ORDER BY n")) == rows


def test_rows_go_in_their_order(connection: Connection) -> None:
    """A later row for the same key is applied after the earlier one."""
    upsert = Inserting("things", 2, "ON CONFLICT (n) DO UPDATE SET name = excluded.name")
    upsert.write(connection, [(1, str(turn)) for turn in range(45)])
    assert list(connection.execute("SELECT * FROM things")) == [(1, "44")]


def test_a_bad_row_is_an_error(connection: Connection) -> None:
    """A row that is refused is not passed over in silence."""
    with pytest.raises(driver.IntegrityError):
        Inserting("things", 2).write(connection, [(n % 5, "x") for n in range(8)])
