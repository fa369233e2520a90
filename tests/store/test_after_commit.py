"""What fails after a commit is no failure of the commit: the store fences, the rows are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.errors import Fenced, MedbusError
from engine.store import control_file
from engine.store.counting import Counting
from engine.store.day_chores import DayChores
from engine.store.depths import Depths
from engine.store.interface import Store
from engine.store.sqlite_store import SqliteStore
from engine.store.writer import Writer
from tests.store.builders import DAY, accept, arrival, delivered, due, ids, operation, states
from tests.store.test_crashes import SETTINGS, reopen
from tests.store.test_writer import Loop

PLACES = [(Counting, "add"), (DayChores, "after_commit"), (Depths, "add")]


def fail(*_: object, **__: object) -> None:
    """Fail as a defect would, with something of the message in the text."""
    raise ValueError("SECRET")


@pytest.mark.parametrize(("owner", "name"), PLACES)
def test_a_batch_is_not_done_again_after_its_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """Nobody hears no for what is stored: no answer, a fence, and after it all is there once."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1))
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fail)
        with pytest.raises(Fenced) as caught:
            store.commit([arrival(2), arrival(3), delivered(f"{DAY}-1.1")])
    assert "SECRET" not in str(caught.value)
    with pytest.raises(Fenced):
        store.commit([arrival(4)])
    store.close()
    store = reopen(tmp_path / "d")
    assert states(store, *ids(1, 2, 3)) == ["delivered", "pending", "pending"]
    assert due(store) == ids(2, 3)
    assert store.check_ledger(DAY) == ()
    store.close()


def test_the_writer_answers_a_fence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Senders and operators hear of the fence, and no second commit is tried."""
    store: Store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    loop, heard = Loop(), list[object]()
    writer = Writer(store, deliver=loop.calls.put, on_fence=loop.fences.append)
    monkeypatch.setattr(Depths, "add", fail)
    writer.submit(arrival(1), heard.append)
    writer.submit(arrival(2), heard.append)
    writer.start()
    assert writer.stop()
    loop.run_until(lambda: len(heard) == 2)
    assert [type(one) for one in heard] == [Fenced, Fenced]
    assert len(loop.fences) == 1
    store.close()


def test_an_operation_that_cannot_note_the_head_of_its_audit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded is recorded: without room for the head it is applied; the chain verifies."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    accept(store, arrival(1))

    def refuse(number: int) -> Callable[..., None]:
        def write(*_: object) -> None:
            raise OSError(number, "told by the test")

        return write

    with monkeypatch.context() as patch:
        patch.setattr(control_file, "write_durably", refuse(28))
        store.apply(operation("cancel", f"{DAY}-1.1"))
    assert states(store, f"{DAY}-1.1") == ["cancelled"]
    assert store.verify_audit().ok
    with monkeypatch.context() as patch:
        patch.setattr(control_file, "write_durably", refuse(5))
        with pytest.raises(MedbusError) as caught:
            store.apply(operation("cancel", f"{DAY}-1.1", name="op-2"))
    assert isinstance(caught.value, Fenced)
    store.close()
