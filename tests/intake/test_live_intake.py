"""A listener over real sockets: foreign clients, TLS, and those who mean no good."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hl7
import pytest
from hl7.client import MLLPClient

from engine.intake.listener import ListenerLimits, MllpListener
from engine.intake.tls import ServerTls, ServerTlsFiles
from engine.mllp.frames import encode_frame
from engine.model.errors import MedbusError
from tests.support.authority import Authority
from tests.support.intake import IntakeBench
from tests.support.live import LiveLoop
from tests.support.missing import not_run

ADT = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A01|%d|P|2.5\rPID|1||4711^^^H^MR\r"


@pytest.fixture
def live() -> Iterator[LiveLoop]:
    """A loop of this test's own."""
    loop = LiveLoop()
    yield loop
    loop.close()


class Door:
    """An inbound channel on a real port."""

    def __init__(self, live: LiveLoop, tls: ServerTls | None = None, **limits: Any) -> None:
        self.bench = IntakeBench()
        self.listener = MllpListener(
            live.reactor,
            name="his",
            limits=ListenerLimits(**limits),
            budget=self.bench.budget,
            on_frame=self.bench.channel.take_frame,
            on_oversize=self.bench.channel.take_oversize,
            tls=tls,
        )
        self.bench.channel.attach(self.listener)
        self.listener.start("127.0.0.1", 0)
        self.port = self.listener.port

    @property
    def control_ids(self) -> list[str]:
        """Return what was stored, in order."""
        return [arrival.control_id for arrival in self.bench.writer.arrivals]


def read_frames(connection: socket.socket, count: int) -> list[bytes]:
    """Read *count* frames, or what comes before the connection ends."""
    connection.settimeout(60)
    gathered = b""
    while gathered.count(b"\x1c\r") < count:
        chunk = connection.recv(65536)
        if not chunk:
            break
        gathered += chunk
    return [frame.split(b"\x0b")[1] for frame in gathered.split(b"\x1c\r") if frame]


def test_python_hl7_sends_to_us_and_understands_our_acks(live: LiveLoop) -> None:
    """A foreign client gets AA with its own id for each message, over one connection."""
    door = Door(live)

    def send() -> list[tuple[str, str]]:
        with MLLPClient("127.0.0.1", door.port) as client:
            told = []
            for number in range(20):
                ack = hl7.parse(client.send_message(ADT % number).strip(b"\x0b\x1c\r").decode())
                told.append((str(ack.segment("MSA")[1]), str(ack.segment("MSA")[2])))
            return told

    assert live.beside(send) == [("AA", str(number)) for number in range(20)]
    assert door.control_ids == [str(number) for number in range(20)]
    assert door.listener.counts.accepted_connections == 1


def test_a_hundred_frames_in_one_packet(live: LiveLoop) -> None:
    """Pipelined frames are answered in order, one ack each."""
    door = Door(live)

    def send() -> list[bytes]:
        with socket.create_connection(("127.0.0.1", door.port)) as client:
            client.sendall(b"".join(encode_frame(ADT % number) for number in range(100)))
            return read_frames(client, 100)

    acks = live.beside(send)
    ids = [ack.split(b"\rMSA|AA|")[1].strip() for ack in acks]
    assert ids == [b"%d" % number for number in range(100)]


def test_byte_by_byte_is_the_same(live: LiveLoop) -> None:
    """A sender of single bytes is understood."""
    door = Door(live)

    def send() -> list[bytes]:
        with socket.create_connection(("127.0.0.1", door.port)) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in encode_frame(ADT % 1) + encode_frame(ADT % 2):
                client.sendall(bytes([byte]))
            return read_frames(client, 2)

    assert len(live.beside(send)) == 2
    assert door.control_ids == ["1", "2"]


def test_a_sender_that_closes_its_side_still_gets_its_ack(live: LiveLoop) -> None:
    """Half-closing after the last message is a habit of scripts; the ack still comes."""
    door = Door(live)

    def send() -> list[bytes]:
        with socket.create_connection(("127.0.0.1", door.port)) as client:
            client.sendall(encode_frame(ADT % 1))
            client.shutdown(socket.SHUT_WR)
            return read_frames(client, 1)

    assert b"MSA|AA|1" in live.beside(send)[0]
    live.until(lambda: door.listener.connection_count == 0)


def test_a_crowd_of_idle_connections_does_not_disturb(live: LiveLoop) -> None:
    """With every other place taken by idle connections a good client is served as ever."""
    door = Door(live, max_connections=200)

    def connect(count: int) -> list[socket.socket]:
        return [socket.create_connection(("127.0.0.1", door.port)) for _ in range(count)]

    # Beside the loop, which lets them in: not every system has room for so many before its door.
    crowd = live.beside(lambda: connect(199))
    live.until(lambda: door.listener.connection_count == 199)

    def send() -> list[bytes]:
        with socket.create_connection(("127.0.0.1", door.port)) as client:
            client.sendall(encode_frame(ADT % 1))
            return read_frames(client, 1)

    assert len(live.beside(send)) == 1
    late = live.beside(lambda: connect(5))
    live.until(lambda: door.listener.counts.refused_connections >= 4)
    for each in crowd + late:
        each.close()


def test_an_oversize_message_is_refused_and_the_next_is_taken(live: LiveLoop) -> None:
    """max_message: AR with the sender's id while the rest is skipped; then all is as before."""
    door = Door(live, max_message_bytes=100_000)

    def send() -> list[bytes]:
        with socket.create_connection(("127.0.0.1", door.port)) as client:
            client.sendall(encode_frame(ADT % 1 + b"OBX|1|ED||" + b"A" * 5_000_000 + b"\r"))
            client.sendall(encode_frame(ADT % 2))
            return read_frames(client, 2)

    refused, taken = live.beside(send)
    assert b"MSA|AR|1" in refused
    assert b"MSA|AA|2" in taken
    assert door.control_ids == ["2"]


# -- TLS ---------------------------------------------------------------------------------------


def secured(
    authority: Authority, *, mutual: bool = False, names: frozenset[str] = frozenset()
) -> ServerTls:
    """Return the TLS of a listener called medbus.hospital."""
    cert, key = authority.issue("medbus.hospital")
    client_ca = authority.ca_file if mutual else None
    return ServerTls(ServerTlsFiles(cert, key, client_ca, names))


def send_tls(port: int, context: ssl.SSLContext, number: int = 1) -> list[bytes]:
    """Send one message over TLS; return the acks."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="medbus.hospital") as client,
    ):
        client.sendall(encode_frame(ADT % number))
        return read_frames(client, 1)


def trusting(authority: Authority, identity: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return what a client of this authority uses."""
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    if identity is not None:
        context.load_cert_chain(*map(str, identity))
    return context


def test_tls(live: LiveLoop, tmp_path: Path) -> None:
    """A client that trusts the CA and checks the name is served over TLS 1.3 and 1.2."""
    authority = Authority(tmp_path)
    door = Door(live, secured(authority))
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = trusting(authority)
        context.minimum_version = context.maximum_version = version
        assert b"MSA|AA" in live.beside(lambda: send_tls(door.port, context))[0]  # noqa: B023


def test_old_tls_is_refused(live: LiveLoop, tmp_path: Path) -> None:
    """TLS 1.1 does not get through, and is counted."""
    authority = Authority(tmp_path)
    door = Door(live, secured(authority))
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, OSError)):
        live.beside(lambda: send_tls(door.port, context))
    live.until(lambda: door.listener.counts.tls_failures == 1)


def test_openssl_s_client(live: LiveLoop, tmp_path: Path) -> None:
    """The tool everybody uses to look at a TLS port verifies ours and gets an ack."""
    if shutil.which("openssl") is None:
        not_run("there is no openssl command here; make packages")
    authority = Authority(tmp_path)
    door = Door(live, secured(authority, mutual=True))
    cert, key = authority.issue("his.hospital")

    def send() -> bytes:
        command = [
            "openssl", "s_client", "-quiet", "-no_ign_eof", "-verify_return_error",
            "-connect", f"127.0.0.1:{door.port}", "-CAfile", str(authority.ca_file),
            "-verify_hostname", "medbus.hospital", "-cert", str(cert), "-key", str(key),
        ]  # fmt: skip
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(encode_frame(ADT % 5))
            process.stdin.flush()
            gathered = b""
            while b"\x1c\r" not in gathered:
                byte = process.stdout.read(1)
                if not byte:
                    break
                gathered += byte
            process.stdin.close()
            return gathered

    assert b"MSA|AA|5" in live.beside(send)


def test_mutual_tls_wants_a_certificate_of_the_ca(live: LiveLoop, tmp_path: Path) -> None:
    """Without a client certificate, or with one of another CA, nothing is taken."""
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("his.hospital")
    door = Door(live, secured(authority, mutual=True))
    for identity in (None, stranger):
        context = trusting(authority, identity)
        with pytest.raises((ssl.SSLError, OSError, IndexError)):
            live.beside(lambda: send_tls(door.port, context)[0])  # noqa: B023
    live.until(lambda: door.listener.counts.tls_failures == 2)
    assert door.control_ids == []
    good = trusting(authority, authority.issue("his.hospital"))
    assert b"MSA|AA" in live.beside(lambda: send_tls(door.port, good))[0]


def test_allow_names_are_checked_on_every_connection(live: LiveLoop, tmp_path: Path) -> None:
    """A good certificate of another system is not enough."""
    authority = Authority(tmp_path)
    door = Door(live, secured(authority, mutual=True, names=frozenset({"his.hospital"})))
    lab = trusting(authority, authority.issue("lab.hospital"))
    his = trusting(authority, authority.issue("his.hospital"))
    with pytest.raises((ssl.SSLError, OSError, IndexError)):
        live.beside(lambda: send_tls(door.port, lab)[0])
    assert door.listener.counts.refused_connections == 1
    assert b"MSA|AA" in live.beside(lambda: send_tls(door.port, his))[0]
    assert door.control_ids == ["1"]


def test_plain_text_on_a_tls_port_is_hung_up_on(live: LiveLoop, tmp_path: Path) -> None:
    """A sender that forgot TLS, and a browser, are closed at once and counted."""
    door = Door(live, secured(Authority(tmp_path)))

    def send() -> bytes:
        with socket.create_connection(("127.0.0.1", door.port), timeout=60) as client:
            client.sendall(encode_frame(ADT % 1))
            try:
                return client.recv(100)
            except ConnectionResetError:
                return b""

    assert b"MSA" not in live.beside(send)
    live.until(lambda: door.listener.counts.tls_failures == 1)
    assert door.control_ids == []


def test_a_handshake_that_never_comes_is_ended(live: LiveLoop, tmp_path: Path) -> None:
    """A connection that begins no handshake does not keep its place."""
    door = Door(live, secured(Authority(tmp_path)), handshake_s=0.5)
    with socket.create_connection(("127.0.0.1", door.port)):
        live.until(lambda: door.listener.connection_count == 1)
        live.until(lambda: door.listener.counts.dropped_connections == 1)


def test_a_peer_that_says_no_farewell_does_not_hold_up_the_closing(
    live: LiveLoop, tmp_path: Path
) -> None:
    """A TLS client that never reads cannot keep a pause or a reload waiting."""
    authority = Authority(tmp_path)
    door = Door(live, secured(authority))
    context = trusting(authority)

    def connect() -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", door.port), timeout=60)
        return context.wrap_socket(plain, server_hostname="medbus.hospital")

    client = live.beside(connect)
    live.until(lambda: door.listener.connection_count == 1)
    live.run(door.bench.channel.stop())
    client.close()


def test_a_peer_that_reads_no_acks_does_not_hold_up_the_closing(live: LiveLoop) -> None:
    """Acks that nobody fetches are given up; their sender will send again."""
    door = Door(live)

    def fill() -> socket.socket:
        client = socket.create_connection(("127.0.0.1", door.port))
        client.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                client.sendall(encode_frame(ADT % 1) * 200)
        return client

    client = live.beside(fill)
    live.run(door.bench.channel.stop())
    client.close()


def test_certificates_are_exchanged_without_a_restart(live: LiveLoop, tmp_path: Path) -> None:
    """New connections see the new certificate; open ones live on; a broken file changes nothing."""
    authority = Authority(tmp_path)
    tls = secured(authority)
    door = Door(live, tls)
    context = trusting(authority)

    def connect() -> tuple[ssl.SSLSocket, bytes]:
        plain = socket.create_connection(("127.0.0.1", door.port), timeout=60)
        client = context.wrap_socket(plain, server_hostname="medbus.hospital")
        return client, client.getpeercert(binary_form=True) or b""

    def talk(client: ssl.SSLSocket) -> list[bytes]:
        client.sendall(encode_frame(ADT % 9))
        return read_frames(client, 1)

    first, old = live.beside(connect)
    secured(authority)
    assert tls.reload()
    second, new = live.beside(connect)
    assert old != new
    assert b"MSA|AA" in live.beside(lambda: talk(first))[0]
    (tmp_path / "medbus.hospital.pem").write_text("nonsense")
    os.utime(tmp_path / "medbus.hospital.pem", (1, 1))
    tls.reload_if_changed()
    assert "no readable certificate" in tls.problem
    third, same = live.beside(connect)
    assert same == new
    for client in (first, second, third):
        client.close()


@pytest.mark.parametrize("wrong", ["missing", "not pem", "other key"])
def test_files_that_do_not_fit_never_start(tmp_path: Path, wrong: str) -> None:
    """A listener with unusable certificate files says which file and why."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("medbus.hospital")
    if wrong == "missing":
        cert = tmp_path / "none.pem"
    elif wrong == "not pem":
        cert.write_text("hello")
    else:
        _, key = authority.issue("other.hospital")
    with pytest.raises(MedbusError) as raised:
        ServerTls(ServerTlsFiles(cert, key))
    assert str(tmp_path) in raised.value.where
