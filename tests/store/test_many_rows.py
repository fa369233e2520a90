"""Tests of writing many rows with few statements."""

from __future__ import annotations

import pytest

from engine.store.many_rows import ManyRows
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
    ManyRows("INSERT INTO things", 2).write(connection, rows)
    assert list(connection.execute("SELECT n, name FROM things ORDER BY n")) == rows


def test_rows_go_in_their_order(connection: Connection) -> None:
    """A later row for the same key is applied after the earlier one."""
    upsert = ManyRows("INSERT INTO things", 2, "ON CONFLICT (n) DO UPDATE SET name = excluded.name")
    upsert.write(connection, [(1, str(turn)) for turn in range(45)])
    assert list(connection.execute("SELECT * FROM things")) == [(1, "44")]


def test_a_bad_row_is_an_error(connection: Connection) -> None:
    """A row that is refused is not passed over in silence."""
    with pytest.raises(driver.IntegrityError):
        ManyRows("INSERT INTO things", 2).write(connection, [(n % 5, "x") for n in range(8)])


def test_many_rows_are_changed_by_one_statement(connection: Connection) -> None:
    """Each row takes its own new value; the rows that are not named stay as they were."""
    ManyRows("INSERT INTO things", 2).write(connection, [(n, "old") for n in range(40)])
    rename = ManyRows(
        "WITH new (n, name) AS (", 2, ") UPDATE things SET name = new.name FROM new"
        " WHERE things.n = new.n",
    )  # fmt: skip
    rename.write(connection, [(n, f"new {n}") for n in range(0, 40, 2)])
    found = dict(connection.execute("SELECT n, name FROM things").fetchall())
    assert found == {n: f"new {n}" if n % 2 == 0 else "old" for n in range(40)}
