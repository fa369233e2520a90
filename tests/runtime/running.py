"""A real engine in a process of its own, on loopback, with a receiver that does as it is told."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from engine.hl7.ack import build_ack
from engine.hl7.header import parse_header
from engine.mllp.frames import Frame, FrameDecoder, encode_frame
from tests.support.ports import free_port
from tests.torture.wire import WAIT_S

MEDBUS = (sys.executable, "-m", "engine.cli.main")

SITE = """
site: test
timezone: Asia/Shanghai
http: {listen: "127.0.0.1:0"}
log: {level: debug, format: json}
"""
#: the receiver is threads of this process, which may be kept from answering for a while: a try that
#: was answered must not run out of time and be made again
CHANNELS = """
inbound:
  his:
    mllp: {listen: "127.0.0.1:0"}
outbound:
  lis:
    mllp: {connect: "127.0.0.1:LIS_PORT", timeout: 60s}
    order_by: ["PID-3.1", "MRG-1.1"]
    lanes: 2
    backoff: {first: 100ms, factor: 2, max: 500ms}
routes:
  all:
    from: his
    types: [ADT]
    when: PV1-2 != 'O'
    steps:
      - set: {MSH-5: LIS}
    to: lis
"""


def adt(control_id: str, patient: str, *, trigger: str = "A01", more: str = "") -> bytes:
    """Return a small message about one patient."""
    return (
        f"MSH|^~\\&|HIS|H|E|E|20261121080000||ADT^{trigger}|{control_id}|P|2.5\r"
        f"PID|1||{patient}^^^H^MR||CANARYNAME^JOHN\rPV1|1|I\r{more}"
    ).encode()


class Receiver:
    """An MLLP receiver in a thread; *answer* decides what is said to each message."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.answer: Callable[[bytes], str] = lambda body: "AA"
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._peers: list[socket.socket] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def ids(self) -> list[str]:
        """Return the control ids in the order in which they came."""
        return [parse_header(body).control_id for body in list(self.got)]

    def close(self) -> None:
        """Refuse from now on."""
        # A thread waits in accept(): close alone would let one more connection in.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for peer in self._peers:
                with suppress(OSError):
                    peer.shutdown(socket.SHUT_RDWR)

    def open_again(self) -> None:
        """Listen again on the same port."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        listener = self._listener
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        decoder = FrameDecoder(1 << 24)
        try:
            while chunk := peer.recv(65536):
                for event in decoder.feed(chunk):
                    if isinstance(event, Frame):
                        self._take(peer, event.body)
        except OSError:
            pass

    def _take(self, peer: socket.socket, body: bytes) -> None:
        from datetime import UTC

        code = self.answer(body)
        self.got.append(body)
        if code:
            header = parse_header(body)
            ack = build_ack(header, code=code, control_id="R1", at=0.0, timezone=UTC)
            peer.sendall(encode_frame(ack))


class Sender:
    """One connection to the engine that sends and waits for each ack."""

    def __init__(self, port: int) -> None:
        self._peer = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._decoder = FrameDecoder(1 << 20)

    def send(self, body: bytes) -> str:
        """Return MSA-1 of the ack; "" when the engine hung up."""
        try:
            self._peer.sendall(encode_frame(body))
            while True:
                chunk = self._peer.recv(65536)
                if not chunk:
                    return ""
                for event in self._decoder.feed(chunk):
                    if isinstance(event, Frame):
                        return event.body.split(b"\rMSA|", 1)[1][:2].decode()
        except OSError:
            return ""

    def close(self) -> None:
        """Hang up."""
        self._peer.close()


class Site:
    """A site in a folder, and the engine that runs it."""

    def __init__(self, folder: Path, receiver: Receiver) -> None:
        self.folder = folder
        self.receiver = receiver
        self.process: subprocess.Popen[bytes] | None = None
        self.write("medbus.yaml", SITE)
        self.write_channels(CHANNELS)

    def write(self, name: str, text: str) -> None:
        """Write a file of the site."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def write_channels(self, text: str) -> None:
        """Write the channels, with the receiver's port."""
        self.write("channels/a.yaml", text.replace("LIS_PORT", str(self.receiver.port)))

    @property
    def log(self) -> str:
        """Everything the engine wrote to stderr."""
        return (self.folder / "log").read_text("utf-8")

    def start(self, **environ: str) -> None:
        """Start the engine, with more environment variables, and wait until it serves."""
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [*MEDBUS, "run", "--site", str(self.folder)],
                stderr=log,
                stdout=log,
                env={**os.environ, **environ},
            )
        self.wait(lambda: self.process is None or self.process.poll() is not None or self.is_up())
        assert self.process.poll() is None, self.log

    def is_up(self) -> bool:
        """Return whether the engine answers."""
        return (self.folder / "data/control.sock").exists() and '"started"' in self.log

    def stop(self, sign: int = signal.SIGTERM) -> int:
        """End the engine; return its exit code."""
        assert self.process is not None
        self.process.send_signal(sign)
        code = self.process.wait(WAIT_S)
        self.process = None
        return code

    def restart(self) -> None:
        """Start again after a stop, with a log of its own."""
        self.start()

    def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command; return exit code, stdout and stderr."""
        told = subprocess.run(
            [*MEDBUS, *words, "--site", str(self.folder)],
            capture_output=True,
            timeout=2 * WAIT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONUTF8": "1"},
        )
        return told.returncode, told.stdout.decode(), told.stderr.decode()

    def json(self, *words: str) -> Any:
        """Run a command with --json and return what it printed."""
        _, out, err = self.run(*words, "--json")
        assert out, err
        return json.loads(out)

    def status(self) -> Any:
        """Return `status --json`."""
        return self.json("status")

    def port(self) -> int:
        """Return the port of the inbound channel."""
        return int(self.status()["inbound"][0]["listen"].rpartition(":")[2])

    def outbound(self, name: str = "lis") -> Any:
        """Return the state of an outbound channel."""
        return next(row for row in self.status()["outbound"] if row["name"] == name)

    def send(self, *bodies: bytes) -> list[str]:
        """Send over one connection; return the codes of the acks."""
        sender = Sender(self.port())
        codes = [sender.send(body) for body in bodies]
        sender.close()
        return codes

    def wait(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so; fail with the log when it never is."""
        until = time.monotonic() + WAIT_S
        while not is_so():
            assert time.monotonic() < until, self.log[-4000:]
            threading.Event().wait(0.02)


def sites(folder: Path) -> Iterator[Site]:
    """Give a site, and leave no process behind."""
    receiver = Receiver()
    site = Site(folder, receiver)
    yield site
    if site.process is not None and site.process.poll() is None:
        site.process.kill()
        site.process.wait()
    receiver.close()
