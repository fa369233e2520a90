"""A reload never waits long for a receiver, whatever the receiver does."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from tests.faults.bench import Bench, bench, message
from tests.torture.engine import wait_until
from tests.torture.receiver import Receiver
from tests.torture.wire import Wire

fault = pytest.mark.fault


def write_port(it: Bench, old_port: int, new_port: int) -> None:
    """Give the outbound channel another receiver, in the site's files."""
    path = it.engine.folder / "channels" / "channels.yaml"
    path.write_text(path.read_text().replace(f"127.0.0.1:{old_port}", f"127.0.0.1:{new_port}"))


def send_to(it: Bench, old_port: int, new_port: int) -> None:
    """Give the outbound channel another receiver, and reload."""
    write_port(it, old_port, new_port)
    assert it.engine.command("reload").returncode == 0


@fault(42, "a reload while a receiver reads nothing", "cut off in seconds, uncertain, sent anew")
def test_reload_away_from_a_receiver_that_reads_nothing(tmp_path: Path) -> None:
    """A reload takes a channel away from a receiver that never takes a large message."""
    with bench(tmp_path, connect="timeout: 60s") as it:
        deaf = socket.create_server(("127.0.0.1", 0))
        send_to(it, it.receiver.port, deaf.getsockname()[1])
        assert it.send(message(1, text="x" * 8_000_000)) == "AA"
        taken, _ = deaf.accept()
        send_to(it, deaf.getsockname()[1], it.receiver.port)
        it.engine.wait_drained()
        taken.close()
        deaf.close()
        assert it.receiver.control_ids() == ["F1"]
        (delivery,) = it.deliveries()
        assert delivery["uncertain"]
        tries = it.attempts(it.first_message_id())
        assert [each["outcome"] for each in tries] == ["broken", "acked"]
        assert tries[0]["detail"].startswith("cut off")


def say_nothing(wire: Wire, body: bytes, number: int) -> None:
    """Take the message, and leave its sender waiting."""


@fault(42, "a stop while a reload waits for a receiver", "exit 0; nothing goes out meanwhile")
def test_stop_during_a_reload(tmp_path: Path) -> None:
    """A channel that a reload would open anew stays closed once the engine stops."""
    other = Receiver()
    with bench(tmp_path, say_nothing, connect="timeout: 60s") as it:
        assert it.send(message(1)) == "AA"
        it.receiver.wait_for(1)
        before = it.engine.ask("status")["snapshot_id"]
        write_port(it, it.receiver.port, other.port)
        reload = threading.Thread(target=it.engine.command, args=("reload",))
        reload.start()
        wait_until(lambda: it.engine.ask("status")["snapshot_id"] != before, 20, "it reloads")
        assert it.engine.terminate(wait_s=30) == 0
        reload.join()
        assert other.control_ids() == []
        it.start()
        assert other.wait_for(1)
        it.engine.wait_drained()
        assert other.control_ids() == ["F1"]
        assert [each["uncertain"] for each in it.deliveries()] == [True]
    other.stop()
