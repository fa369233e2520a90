"""Files appear whole, once, and never over another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from engine.delivery import file_writer
from engine.delivery.channel import OutboundChannel
from engine.delivery.file_writer import FileWriter, Unwritable, write_file
from engine.delivery.policy import DeliveryPolicy
from engine.model.states import DeliveryState
from tests.support.lanes import QueueStore, due, seams_for


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    """The body stands under its name, and nothing else is left in the directory."""
    place = write_file(tmp_path / "out", "a.hl7", b"MSH|", temporary="1.1")
    assert place.read_bytes() == b"MSH|"
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["a.hl7"]


def test_the_same_bytes_again_are_the_same_delivery(tmp_path: Path) -> None:
    """After a crash between link and settlement the retry finds its own file."""
    first = write_file(tmp_path, "a.hl7", b"MSH|", temporary="1.1")
    assert write_file(tmp_path, "a.hl7", b"MSH|", temporary="1.1") == first
    assert len(list(tmp_path.iterdir())) == 1


def test_other_bytes_get_a_suffix(tmp_path: Path) -> None:
    """A file that is there with other content is never touched."""
    write_file(tmp_path, "a.hl7", b"one", temporary="1.1")
    second = write_file(tmp_path, "a.hl7", b"two", temporary="1.2")
    assert second.name == "a-1.hl7"
    assert (tmp_path / "a.hl7").read_bytes() == b"one"
    assert write_file(tmp_path, "a.hl7", b"two", temporary="1.2") == second


def test_a_half_written_file_of_a_crash_is_replaced(tmp_path: Path) -> None:
    """What an interrupted try left under the temporary name does no harm."""
    (tmp_path / ".1.1.tmp").write_bytes(b"ha")
    write_file(tmp_path, "a.hl7", b"whole", temporary="1.1")
    assert [each.name for each in tmp_path.iterdir()] == ["a.hl7"]


@pytest.mark.parametrize("name", ["", "../a.hl7", "a/b", ".hidden", "a\0b", "x" * 300])
def test_names_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """A name never leaves the directory; one that cannot be used is no matter of retrying."""
    with pytest.raises(Unwritable):
        write_file(tmp_path, name, b"x", temporary="1.1")
    assert list(tmp_path.iterdir()) == []


def make(directory: Path, *, file_name: str = "a.hl7") -> tuple[QueueStore, MemoryReactorClock]:
    """Start a file channel that owes one delivery."""
    reactor = MemoryReactorClock()
    store = QueueStore()
    store.add(due(1, file_name=file_name))
    channel = OutboundChannel(
        "archive",
        DeliveryPolicy(),
        lane_count=1,
        seams=seams_for(reactor, store),
        make_sender=lambda channel, lane: FileWriter(channel, lane, directory),
    )
    channel.start([1])
    return store, reactor


def test_a_lane_delivers_to_files(tmp_path: Path) -> None:
    """A file channel's delivery ends delivered when its file is durable."""
    store, _ = make(tmp_path)
    assert (tmp_path / "a.hl7").read_bytes() == due(1).body
    assert store.states["20261121-1.1"] is DeliveryState.DELIVERED


def test_trouble_with_the_disk_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full or broken disk is retried with back-off until it works."""
    plain = file_writer.write_file

    def full(*args: Any, **more: Any) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_writer, "write_file", full)
    store, reactor = make(tmp_path)
    assert store.states["20261121-1.1"] is DeliveryState.PENDING
    assert store.settlements[-1].attempt is not None
    assert "No space left" in store.settlements[-1].attempt.detail
    monkeypatch.setattr(file_writer, "write_file", plain)
    reactor.advance(1.1)
    assert store.states["20261121-1.1"] is DeliveryState.DELIVERED


def test_an_impossible_name_parks(tmp_path: Path) -> None:
    """What no retry mends needs a person."""
    store, _ = make(tmp_path, file_name="../escape.hl7")
    assert store.states["20261121-1.1"] is DeliveryState.PARKED
    assert store.settlements[-1].park is not None
