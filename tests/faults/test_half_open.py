"""A peer whose host is gone without a word: the kernel must tell us within a minute."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.bench import Bench, message, verdict
from tests.support.missing import not_run
from tests.torture.engine import wait_until
from tests.torture.wire import Wire

fault = pytest.mark.fault

ROOT = Path(__file__).parents[2]
NAME = f"mb{os.getpid() % 100_000}"
HERE, THERE = "10.213.71.1", "10.213.71.2"
SITE = """
inbound:
  his: {{mllp: {{listen: "NEAR:{port}", allow: [10.213.71.0/30], insecure: true}}}}
outbound:
  lis: {{mllp: {{connect: "FAR:6661", timeout: 600s, insecure: true}}}}
routes:
  all: {{from: his, to: lis}}
"""
#: one minute, and what a busy machine may add
DETECTED_S = 65.0


def ip(*words: str, inside: bool = False) -> subprocess.CompletedProcess[bytes]:
    """Run one `ip` command, in the other network if asked."""
    where = ("-n", NAME) if inside else ()
    return subprocess.run(["ip", *where, *words], capture_output=True)


@pytest.fixture
def other_host() -> Iterator[None]:
    """A host of its own behind a cable that can be pulled."""
    if shutil.which("ip") is None:
        not_run("this machine has no `ip` command; apt-get install iproute2")
    cable = ("link", "add", NAME, "type", "veth", "peer", "name", "far", "netns", NAME)
    if ip("netns", "add", NAME).returncode or ip(*cable).returncode:
        ip("netns", "del", NAME)
        not_run("this user may not make a network namespace; run as root")
    try:
        ip("addr", "add", f"{HERE}/30", "dev", NAME)
        ip("link", "set", NAME, "up")
        ip("addr", "add", f"{THERE}/30", "dev", "far", inside=True)
        ip("link", "set", "far", "up", inside=True)
        yield
    finally:
        ip("link", "del", NAME)
        ip("netns", "del", NAME)


def on_other_host(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Run Python on the other host; what it prints can be read."""
    command = ["ip", "netns", "exec", NAME, sys.executable, "-u", "-c", code, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


RECEIVER = """
import socket, threading
from tests.torture.wire import PeerClosed, Wire, make_ack

def serve(wire):
    try:
        while True:
            body = wire.receive(600)
            print("got")
            wire.send(make_ack(body))
    except PeerClosed as error:
        print("closed", error)

listener = socket.create_server(("10.213.71.2", 6661))
print("ready")
while True:
    wire = Wire(listener.accept()[0])
    threading.Thread(target=serve, args=(wire,), daemon=True).start()
"""
SENDER = """
import socket, sys
from tests.torture.wire import Wire
idle = socket.create_connection(("10.213.71.1", int(sys.argv[1])))
print("connected")
sys.stdin.read()
"""


GOOD = """
import socket, sys
from tests.torture.wire import Wire
wire = Wire(socket.create_connection(("10.213.71.1", int(sys.argv[1]))))
wire.send(sys.stdin.buffer.read())
print(b"MSA|AA" in wire.receive(10))
"""


@fault(21, "half-open: the peer's host is gone without a word", "noticed in 60 s, both sides")
@pytest.mark.torture
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("other_host")
def test_half_open_peers(tmp_path: Path) -> None:
    """The cable is pulled: a silent sender and a receiver with bytes under way are both noticed."""
    it = Bench(tmp_path, site=SITE.replace("NEAR", HERE).replace("FAR", THERE))
    peers: list[subprocess.Popen[str]] = []
    try:
        peers.append(on_other_host(RECEIVER))
        assert peers[0].stdout is not None
        assert peers[0].stdout.readline() == "ready\n"
        it.engine.launch()
        wait_until(lambda: '"listening"' in it.engine.log(), 30, "the engine listens")
        peers.append(on_other_host(SENDER, str(it.port)))
        assert peers[1].stdout is not None
        assert peers[1].stdout.readline() == "connected\n"
        assert on_other_host(GOOD, str(it.port)).communicate(message(1).decode())[0] == "True\n"
        assert peers[0].stdout.readline() == "got\n"
        it.wait_for_states("delivered")
        assert it.engine.ask("status")["inbound"][0]["connections"] == 1
        pulled = time.monotonic()
        ip("link", "set", "far", "down", inside=True)
        # Bytes under way to the receiver, from a sender on this side of the cable.
        near = Wire(socket.create_connection((HERE, it.port)))
        near.send(message(2))
        assert verdict(near.receive()) == "AA"
        near.close()
        noticed: dict[str, float] = {}

        def look() -> bool:
            status = it.engine.ask("status")
            now = time.monotonic() - pulled
            if status["inbound"][0]["connections"] == 0:
                noticed.setdefault("sender", now)
            if any(row["outcome"] == "broken" for row in tries(it)):
                noticed.setdefault("receiver", now)
            return len(noticed) == 2

        pause = threading.Event()
        while not look() and time.monotonic() - pulled < 120:
            pause.wait(0.5)
        assert set(noticed) == {"sender", "receiver"}, noticed
        assert max(noticed.values()) <= DETECTED_S, noticed
    finally:
        for peer in peers:
            peer.kill()
            peer.wait()
        it.close()


def tries(it: Bench) -> list[dict[str, object]]:
    """Return the attempts of the newest message's delivery."""
    newest = it.engine.all_messages()[0]["message_id"]
    found: list[dict[str, object]] = it.engine.ask("trace", newest)["deliveries"][0]["attempts"]
    return found
