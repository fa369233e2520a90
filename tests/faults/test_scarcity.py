"""Memory, files and the store's lock run short; the engine stays up and says what is wrong."""

from __future__ import annotations

import contextlib
import resource
import socket
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import Bench, bench, is_closed, message, shimmed, verdict
from tests.support.ports import free_port
from tests.torture.engine import WAIT_S, at_most, is_listening, wait_until
from tests.torture.wire import PeerClosed, Wire

fault = pytest.mark.fault

#: the usual file descriptors of a started engine, and some
FEW = 64


@fault(13, "64 file descriptors only", "some are kept for the store; senders are served; no end")
def test_few_file_descriptors(tmp_path: Path) -> None:
    """Out of file descriptors the engine neither ends nor spins, and serves again afterwards."""
    it = Bench(tmp_path)
    try:
        it.engine.launch(before_exec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW)))
        wait_until(lambda: is_listening(it.port), WAIT_S, "engine listens")
        assert it.send(message(1)) == "AA"
        good = wait_for_room(it)
        crowd = [socket.create_connection(("127.0.0.1", it.port)) for _ in range(100)]
        wait_until(lambda: sum(map(is_closed, crowd)) > 60, WAIT_S, "most of the crowd is let go")
        assert it.engine.open_files() < FEW - 8, "nothing is left to the store"
        began, used = time.monotonic(), it.engine.cpu_s()
        good.send(message(3))
        assert verdict(good.receive()) == "AA"
        threading.Event().wait(1.0)
        assert it.engine.cpu_s() - used < 0.5 * (time.monotonic() - began), "it spins"
        for one in crowd:
            one.close()
        wait_until(lambda: it.send(message(4), wait_s=5) == "AA", WAIT_S, "engine serves again")
        it.receiver.wait_for(4)
        assert it.engine.running is not None
        assert it.engine.running.poll() is None
    finally:
        it.close()


#: outbound channels, far more than there is room for beside what is kept
CROWD = 200
CROWD_FILES = 240
HTTP_FILES = 120
#: messages to each of them
MANY = 4
RECEIVER = (
    '{{mllp: {{connect: "127.0.0.1:{lis}", timeout: 5s}}, backoff: {{first: 50ms, max: 200ms}}}}'
)
CROWDED = f"""
inbound:
  his: {{{{mllp: {{{{listen: "127.0.0.1:{{port}}"}}}}}}}}
outbound:
  archive: {{{{file: {{{{directory: out/all}}}}}}}}
{"".join(f"  r{number}: {RECEIVER}{chr(10)}" for number in range(CROWD))}
routes:
  all: {{{{from: his, to: [archive, {", ".join(f"r{number}" for number in range(CROWD))}]}}}}
"""


@fault(
    13, "connections to receivers use up the files", "a try fails and says so; no fence, no loss"
)
def test_more_receivers_than_file_descriptors(tmp_path: Path) -> None:
    """Where receivers use up the files the store goes on; with more files all get theirs."""
    it = Bench(tmp_path, site=CROWDED)
    limit = (CROWD_FILES, CROWD_FILES)
    try:
        it.engine.launch(before_exec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))
        wait_until(lambda: is_listening(it.port), WAIT_S, "engine listens")
        for number in range(MANY):
            assert it.send(message(number)) == "AA"
        wait_until(lambda: is_short_of_files(it), WAIT_S, "a channel tells that files are short")
        assert it.engine.open_files() < CROWD_FILES - 4, "nothing is left to the store"
        assert it.send(message(MANY)) == "AA"
        assert it.engine.running is not None
        assert it.engine.running.poll() is None, "the engine fenced"
        # What an operator does about it: raise the limit.
        it.engine.terminate()
        it.start()
        it.engine.wait_drained()
        received = Counter(it.receiver.control_ids())
        assert len(received) == MANY + 1
        assert min(received.values()) >= CROWD
        assert len(list((it.engine.folder / "out" / "all").glob("*.hl7"))) == MANY + 1
    finally:
        it.close()


@fault(13, "connections to /metrics use up the files", "they are dropped; messages go on")
def test_a_crowd_at_the_http_endpoint(tmp_path: Path) -> None:
    """Whoever can reach the HTTP endpoint cannot take the files of the store."""
    it = Bench(tmp_path)
    limit = (HTTP_FILES, HTTP_FILES)
    http = free_port()
    path = it.engine.folder / "medbus.yaml"
    path.write_text(f'{path.read_text()}http: {{listen: "127.0.0.1:{http}"}}\n')
    crowd: list[socket.socket] = []
    try:
        it.engine.launch(before_exec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limit))
        it.engine.wait_started()
        crowd += [socket.create_connection(("127.0.0.1", http)) for _ in range(HTTP_FILES)]
        wait_until(lambda: sum(map(is_closed, crowd)) > 20, WAIT_S, "some are dropped")
        assert it.send(message(1)) == "AA"
        assert it.engine.open_files() < HTTP_FILES - 4, "nothing is left to the store"
        it.engine.wait_drained()
    finally:
        for one in crowd:
            one.close()
        it.close()


def is_short_of_files(it: Bench) -> bool:
    """Return whether `status` says of a channel that it has no file descriptor."""
    return any(
        "file descriptors" in row["last_error"] for row in it.engine.ask("status")["outbound"]
    )


def wait_for_room(it: Bench) -> Wire:
    """Return a connection that is served: a starting engine needs more files than later."""
    found: list[Wire] = []

    def is_served() -> bool:
        wire = Wire.connect(it.port)
        try:
            wire.send(message(2))
            found.append(wire)
            return verdict(wire.receive(5)) == "AA"
        except PeerClosed:
            wire.close()
            return False

    wait_until(is_served, WAIT_S, "there is room for one sender")
    return found[-1]


@fault(14, "no memory for a large message (RLIMIT_AS)", "refused, nothing acked is lost, goes on")
def test_no_memory(tmp_path: Path) -> None:
    """A message for which there is no memory is not acknowledged; those after it are served."""
    with bench(tmp_path, mllp_in="max_message: 50MB") as it:
        assert it.send(message(1)) == "AA"
        it.receiver.wait_for(1)
        size = virtual_bytes(it.engine.pid)
        unlimited = resource.prlimit(it.engine.pid, resource.RLIMIT_AS)
        room = size + 40_000_000
        resource.prlimit(it.engine.pid, resource.RLIMIT_AS, (room, unlimited[1]))
        assert it.send(message(2, text="x" * 45_000_000)) != "AA"
        assert it.send(message(3)) == "AA"
        resource.prlimit(it.engine.pid, resource.RLIMIT_AS, unlimited)
        assert it.send(message(4)) == "AA"
        it.receiver.wait_for(3)
        it.engine.wait_drained()
        assert it.receiver.control_ids() == ["F1", "F3", "F4"]


def virtual_bytes(pid: int) -> int:
    """Return the size of a process's address space."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmSize:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("this kernel does not tell VmSize")


@contextlib.contextmanager
def locked_days(it: Bench) -> Iterator[None]:
    """Hold the write lock of every day's file from outside, as a careless tool would."""
    holders = []
    for path in (it.engine.folder / "data" / "messages").glob("*.db"):
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        holders.append(holder)
    try:
        yield
    finally:
        for holder in holders:
            holder.execute("ROLLBACK")
            holder.close()


def alarm_codes(it: Bench) -> set[str]:
    """Return the codes of the alarms that stand."""
    return {alarm["code"] for alarm in it.engine.ask("status")["alarms"]}


def check_locked_store(it: Bench, held_s: float) -> None:
    """Hold the lock for *held_s*: no AA, an alarm; afterwards all flows and the alarm goes."""
    assert it.send(message(1)) == "AA"
    it.wait_for_states("delivered")
    with locked_days(it):
        ends = time.monotonic() + held_s
        assert it.send(message(2), wait_s=max(3.0, held_s)) != "AA"
        wait_until(lambda: "STO-004" in alarm_codes(it), WAIT_S, "the alarm")
        while time.monotonic() < ends:
            assert it.send(message(2), wait_s=10) != "AA"
    wait_until(lambda: it.send(message(2), wait_s=10) == "AA", WAIT_S, "AA again")
    wait_until(lambda: "STO-004" not in alarm_codes(it), WAIT_S, "the alarm goes")
    it.engine.wait_drained()
    assert set(it.receiver.control_ids()) == {"F1", "F2"}
    assert it.engine.starts == 1


@fault(15, "the store is locked by another process", "no AA, an alarm; then all flows")
def test_store_locked_by_another_process(tmp_path: Path) -> None:
    """While something else holds the store's file there is no AA; afterwards all is well again."""
    with bench(tmp_path) as it:
        check_locked_store(it, 3.0)


@fault(15, "the store is locked for 60 s", "no AA, an alarm; then all flows")
@pytest.mark.torture
@pytest.mark.timeout(300)
def test_store_locked_for_a_minute(tmp_path: Path) -> None:
    """A lock held for a minute gives neither an AA nor an end of the engine."""
    with bench(tmp_path) as it:
        check_locked_store(it, 60.0)


TWO_FOLDERS = """
inbound:
  his: {{mllp: {{listen: "127.0.0.1:{port}"}}}}
outbound:
  lis: {{mllp: {{connect: "127.0.0.1:{lis}", timeout: 1s}}}}
  dead: {{file: {{directory: out/dead, name: "{{{{ delivery_id }}}}.hl7"}}}}
  well: {{file: {{directory: out/well, name: "{{{{ delivery_id }}}}.hl7"}}}}
routes:
  all: {{from: his, to: [dead, well, lis]}}
"""


@fault(45, "the folder of a file channel hangs", "nobody else waits; written when it is back")
def test_hanging_folder(tmp_path: Path) -> None:
    """A folder in which every sync hangs stops its own channel only, and neither end nor start."""
    with shimmed(tmp_path, site=TWO_FOLDERS) as (it, shim):
        out = it.engine.folder / "out"
        shim.arm("sync out/dead hang -1")
        took = []
        for number in range(1, 16):
            began = time.monotonic()
            assert it.send(message(number)) == "AA"
            took.append(time.monotonic() - began)
        it.receiver.wait_for(15)
        wait_until(
            lambda: len(list((out / "well").glob("*.hl7"))) == 15, WAIT_S, "the other folder"
        )
        assert sorted(took)[13] < at_most(1.0)

        def queues() -> dict[str, int]:
            return {row["name"]: row["pending"] for row in it.engine.ask("status")["outbound"]}

        settled = {"lis": 0, "well": 0, "dead": 15}
        wait_until(lambda: queues() == settled, WAIT_S, "the others settle")
        assert not list((out / "dead").glob("*.hl7"))
        # An operator stops it while the folder still hangs.
        assert it.engine.terminate() == 0
        it.start(shim.environ)
        assert it.send(message(16)) == "AA"
        shim.disarm()
        it.engine.wait_drained()
        assert len(list((out / "dead").glob("*.hl7"))) == 16


@fault(
    45, "a reload while the folder of a file channel hangs", "the channel moves to another folder"
)
def test_reload_away_from_a_hanging_folder(tmp_path: Path) -> None:
    """A channel whose folder hangs can be sent elsewhere; what waited is written there."""
    with shimmed(tmp_path, site=TWO_FOLDERS) as (it, shim):
        shim.arm("sync out/dead hang -1")
        assert [it.send(message(n)) for n in range(1, 4)] == ["AA"] * 3
        channels = it.engine.folder / "channels" / "channels.yaml"
        channels.write_text(channels.read_text().replace("out/dead", "out/other"))
        assert it.engine.command("reload").returncode == 0
        it.engine.wait_drained()
        assert len(list((it.engine.folder / "out" / "other").glob("*.hl7"))) == 3
