"""Keys are wrong, files are cut, rows are changed; the engine says so and sends nothing wrong."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.bench import Bench, bench, message
from tests.torture.engine import wait_until

fault = pytest.mark.fault

#: a start that is refused takes a second; on a machine busy with other work it may take long
START_S = 90.0


def day_file(it: Bench) -> Path:
    """Return the store's only day file with messages in it."""
    (found,) = [
        path
        for path in sorted((it.engine.folder / "data" / "messages").glob("*.db"))
        if rows_with_bodies(path)
    ]
    return found


def databases(it: Bench) -> dict[str, bytes]:
    """Return the bytes of every database of the store."""
    data = it.engine.folder / "data"
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*.db*")}


def rows_with_bodies(path: Path) -> int:
    """Return how many messages a day file holds."""
    with sqlite3.connect(path) as db:
        return int(db.execute("SELECT count(*) FROM messages").fetchone()[0])


def stopped_with_a_queue(it: Bench, count: int = 3) -> None:
    """Leave *count* messages owed and the engine stopped."""
    it.receiver.stop()
    it.start()
    assert [it.send(message(n)) for n in range(1, count + 1)] == ["AA"] * count
    assert it.engine.terminate() == 0


def flip_body(path: Path) -> None:
    """Change one byte in the middle of the first stored body."""
    with sqlite3.connect(path) as db:
        key, sealed = db.execute("SELECT id, sealed FROM bodies ORDER BY id LIMIT 1").fetchone()
        middle = len(sealed) // 2
        broken = sealed[:middle] + bytes([sealed[middle] ^ 1]) + sealed[middle + 1 :]
        db.execute("UPDATE bodies SET sealed=? WHERE id=?", (broken, key))


@fault(16, "a flipped byte in a stored body", "parked as damaged with an alarm; others flow")
def test_flipped_byte(tmp_path: Path) -> None:
    """A body that was changed on disk is never sent; it is parked, and the others go out."""
    it = Bench(tmp_path)
    try:
        stopped_with_a_queue(it)
        flip_body(day_file(it))
        it.receiver.start()
        it.start()
        deliveries = it.wait_for_states("parked", "delivered", "delivered")
        assert deliveries[0]["park_code"] == "damaged"
        assert it.receiver.control_ids() == ["F2", "F3"]
    finally:
        it.close()


@fault(16, "two stored bodies are swapped", "parked as damaged; none goes to the wrong place")
def test_swapped_bodies(tmp_path: Path) -> None:
    """A body put in another message's place does not open there and is not sent."""
    it = Bench(tmp_path)
    try:
        stopped_with_a_queue(it)
        with sqlite3.connect(day_file(it)) as db:
            first, second = db.execute("SELECT id, sealed FROM bodies ORDER BY id LIMIT 2")
            db.execute("UPDATE bodies SET sealed=? WHERE id=?", (second[1], first[0]))
            db.execute("UPDATE bodies SET sealed=? WHERE id=?", (first[1], second[0]))
        it.receiver.start()
        it.start()
        it.wait_for_states("parked", "parked", "delivered")
        assert it.receiver.control_ids() == ["F3"]
    finally:
        it.close()


@fault(17, "the -wal file is deleted after a crash", "refused with the way back, not ignored")
def test_deleted_wal(tmp_path: Path) -> None:
    """A lost write-ahead log is not taken for an empty one: the start is refused in plain words."""
    it = Bench(tmp_path)
    try:
        it.receiver.stop()
        it.start()
        assert it.send(message(1)) == "AA"
        it.engine.kill()
        for wal in (it.engine.folder / "data" / "messages").glob("*.db-wal"):
            wal.unlink()
        it.engine.launch()
        assert it.engine.wait(START_S) == 1
        assert "write-ahead log" in it.engine.log_tail()
        assert "backup" in it.engine.log_tail()
    finally:
        it.close()


@fault(18, "the key is missing at start", "refuses with the remedy; nothing is changed")
def test_missing_key(tmp_path: Path) -> None:
    """Without its key the engine refuses to start, says what is missing, and makes no new key."""
    it = Bench(tmp_path)
    try:
        stopped_with_a_queue(it)
        keys = it.engine.folder / "data" / "keys"
        keys.rename(it.engine.folder / "keys-elsewhere")
        it.engine.launch()
        assert it.engine.wait(START_S) == 1
        assert "key" in it.engine.log_tail()
        assert not keys.exists() or not any(keys.iterdir())
        if keys.exists():
            keys.rmdir()
        (it.engine.folder / "keys-elsewhere").rename(keys)
        it.receiver.start()
        it.start()
        it.receiver.wait_for(3)
    finally:
        it.close()


@fault(18, "the wrong key at start", "refuses with the remedy; the store is unchanged")
def test_wrong_key(tmp_path: Path) -> None:
    """With another site's key the engine refuses to start and leaves the store as it is."""
    with bench(tmp_path / "other"):
        pass
    it = Bench(tmp_path)
    try:
        stopped_with_a_queue(it)
        keys = it.engine.folder / "data" / "keys"
        before = {path.name: path.read_bytes() for path in keys.iterdir()}
        stored = databases(it)
        for path in (tmp_path / "other" / "site" / "data" / "keys").iterdir():
            (keys / path.name).write_bytes(path.read_bytes())
        it.engine.launch()
        assert it.engine.wait(START_S) == 1
        assert "key" in it.engine.log_tail()
        assert "Traceback" not in it.engine.log_tail()
        assert databases(it) == stored
        for name, content in before.items():
            (keys / name).write_bytes(content)
        it.receiver.start()
        it.start()
        it.receiver.wait_for(3)
    finally:
        it.close()


@fault(17, "the day file is cut in half", "refused, or set aside with an alarm that names it")
def test_truncated_day_file(tmp_path: Path) -> None:
    """A day file that lost its second half is named in plain words, never served as if whole."""
    it = Bench(tmp_path)
    try:
        stopped_with_a_queue(it, count=20)
        path = day_file(it)
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2 // 4096 * 4096])
        it.receiver.start()
        it.engine.launch()
        wait_until(lambda: path.name in it.engine.log(), START_S, "the log names the file")
        it.engine.wait_started()
        assert "Traceback" not in it.engine.log()
        if it.engine.running and it.engine.running.poll() is None:
            assert it.engine.command("status").returncode == 1
            if it.send(message(99)) == "AA":
                it.receiver.wait_for(1)
    finally:
        it.close()


def cut_tail(db: sqlite3.Connection) -> None:
    """Take the last records away, as somebody would who did something."""
    db.execute("DELETE FROM audit WHERE seq>(SELECT max(seq)-2 FROM audit)")


def edit_row(db: sqlite3.Connection) -> None:
    """Change when something was done."""
    db.execute("UPDATE audit SET at=at-3600 WHERE seq=(SELECT min(seq)+1 FROM audit)")


def delete_row(db: sqlite3.Connection) -> None:
    """Take one record out of the middle."""
    db.execute("DELETE FROM audit WHERE seq=(SELECT min(seq)+1 FROM audit)")


@fault(
    47,
    "an audit record is edited, deleted, or the tail cut off",
    "`audit verify` fails and says where",
)
@pytest.mark.parametrize("damage", [edit_row, delete_row, cut_tail])
def test_changed_audit(tmp_path: Path, damage: Callable[[sqlite3.Connection], None]) -> None:
    """An edited or deleted audit record is found by `audit verify`."""
    with bench(tmp_path) as it:
        for _ in range(3):
            assert it.engine.command("pause", "lis", "--reason", "test").returncode == 0
            assert it.engine.command("resume", "lis", "--reason", "test").returncode == 0
        assert it.engine.command("audit", "verify").returncode == 0
        it.engine.terminate()
        with sqlite3.connect(it.engine.folder / "data" / "control.db") as db:
            damage(db)
        assert it.engine.command("audit", "verify").returncode == 1
