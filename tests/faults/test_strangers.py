"""What is no MLLP at all, or hardly any: closed in time, counted, and nobody else notices."""

from __future__ import annotations

import socket
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import trustme

from tests.faults.bench import Bench, bench, is_closed, message, verdict
from tests.support.ports import free_port
from tests.torture.engine import WAIT_S, at_most, wait_until
from tests.torture.wire import Wire

fault = pytest.mark.fault

SITE = """
inbound:
  his: {{mllp: {{listen: "127.0.0.1:{port}"}}}}
  safe: {{mllp: {{listen: "127.0.0.1:TLS", tls: {{cert: engine.pem, key: engine.key}}}}}}
outbound:
  lis: {{mllp: {{connect: "127.0.0.1:{lis}"}}}}
routes:
  all: {{from: [his, safe], to: lis}}
"""
#: five seconds, and the second in which the sweep comes by; tests/intake shows them on a clock of
#: its own, and a minute of a slow machine is still nothing beside the ten that a sender may be idle
CLOSED_S = at_most(6.0)
HTTP = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


def seconds_until_closed(port: int, noise: bytes) -> float:
    """Say *noise* to *port* and return how long it takes to be hung up on."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=2 * WAIT_S) as stranger:
        stranger.sendall(noise)
        try:
            while stranger.recv(4096):
                pass
        except ConnectionError:
            pass
    return time.monotonic() - began


def counters(port: int, inbound: str) -> dict[str, float]:
    """Return what /metrics counts of a channel."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=WAIT_S) as answer:
        lines = answer.read().decode().splitlines()
    mark = f'{{inbound="{inbound}"}} '
    return {
        line.split("{")[0].removeprefix("medbus_").removesuffix("_total"): float(line.split()[-1])
        for line in lines
        if mark in line
    }


@fault(36, "HTTP, TLS, plain text, silence on the wrong port", "closed within 5 s and counted")
def test_other_protocols(tmp_path: Path) -> None:
    """What is no MLLP is closed in five seconds, counted, not stored, and disturbs nobody."""
    ca, folder = trustme.CA(), tmp_path / "site"
    folder.mkdir()
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "engine.key"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "engine.pem"))
    http, tls = free_port(), free_port()
    it = Bench(tmp_path, site=SITE.replace("TLS", str(tls)))
    try:
        with (folder / "medbus.yaml").open("a") as settings:
            settings.write(f'http: {{listen: "127.0.0.1:{http}"}}\n')
        it.start()
        strange = [(it.port, HTTP), (it.port, HELLO)]
        strange += [(tls, b"\x0b" + message(9) + b"\x1c\r"), (tls, HTTP), (tls, b""), (tls, HELLO)]
        took: list[float] = []
        threads = [
            threading.Thread(target=lambda what=what: took.append(seconds_until_closed(*what)))
            for what in strange
        ]
        for thread in threads:
            thread.start()
        assert it.send(message(1)) == "AA"
        for thread in threads:
            thread.join()
        assert len(took) == len(strange)
        assert max(took) < CLOSED_S
        # A port scan: connects and leaves.
        socket.create_connection(("127.0.0.1", it.port)).close()
        assert it.send(message(2)) == "AA"
        it.receiver.wait_for(2)
        assert [item["control_id"] for item in it.engine.all_messages()] == ["F2", "F1"]
        plain, safe = counters(http, "his"), counters(http, "safe")
        assert plain["dropped_connections"] == 2
        assert plain["discarded_bytes"] == len(HTTP) + len(HELLO)
        assert safe["tls_failures"] == 4
        wait_until(lambda: counters(http, "his")["connections"] == 0, WAIT_S, "all are gone")
    finally:
        it.close()


@fault(38, "slowloris: 200 connections, 1 byte every 10 s", "closed by the least rate")
@pytest.mark.torture
@pytest.mark.timeout(180)
def test_slowloris(tmp_path: Path) -> None:
    """Two hundred frames that hardly move are closed; a good sender is served all the while."""
    with bench(tmp_path) as it:
        good = Wire.connect(it.port)
        slow = [socket.create_connection(("127.0.0.1", it.port)) for _ in range(200)]
        closed_at: dict[int, float] = {}
        began = drip_at = time.monotonic()
        body = b"\x0b" + message(7, text="x" * 100)
        sent, worst = 0, 0.0
        while len(closed_at) < len(slow) and time.monotonic() < began + 60:
            if time.monotonic() >= drip_at:
                drip_at += 10
                sent += 1
                for one in slow:
                    try:
                        one.send(body[sent - 1 : sent])
                    except OSError:
                        continue
            for index, one in enumerate(slow):
                if index not in closed_at and is_closed(one):
                    closed_at[index] = time.monotonic() - began
            asked = time.monotonic()
            good.send(message(1000 + len(it.receiver.messages)))
            assert verdict(good.receive()) == "AA"
            worst = max(worst, time.monotonic() - asked)
            threading.Event().wait(0.2)
        for one in slow:
            one.close()
        assert len(closed_at) == len(slow)
        assert max(closed_at.values()) < 30
        assert worst < 1.0, "the good sender waited"
        assert all(item["control_id"] != "F7" for item in it.engine.all_messages())
