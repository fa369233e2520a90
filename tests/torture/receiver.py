"""
A receiver that writes down what it got before it answers.

As a process: answers AA to all until SIGTERM. In a test: give it a script that decides each answer.
Uses no engine code.
"""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.ports import free_port
from tests.torture.ledger import Ledger, digest
from tests.torture.wire import CR, FS, VT, WAIT_S, PeerClosed, Wire, field, make_ack

#: gets the connection, the message and its number from 1; answers (or does not) by itself
Script = Callable[[Wire, bytes, int], None]


def accept_all(wire: Wire, body: bytes, number: int) -> None:
    """Answer AA."""
    wire.send(make_ack(body))


class Receiver:
    """Listens on loopback; one thread per connection."""

    def __init__(self, script: Script = accept_all, *, port: int = 0, ledger: Ledger | None = None):
        self.script = script
        self.messages: list[bytes] = []
        self.connections = 0
        self._ledger = ledger
        self._changed = threading.Condition()
        self._open: set[Wire] = set()
        self._listener: socket.socket | None = None
        self.port = port or free_port()
        self.start()

    def start(self) -> None:
        """Listen, on the same port as before when there was one."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(128)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def stop(self) -> None:
        """Refuse from now on, and close what is open."""
        if self._listener:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._changed:
            wires = list(self._open)
        for wire in wires:
            reset(wire)

    def wait_for(self, count: int, wait_s: float = WAIT_S) -> list[bytes]:
        """Return the messages once there are *count* of them; fails loudly when none come."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.messages) >= count, wait_s):
                raise AssertionError(f"{len(self.messages)} of {count} messages came in {wait_s} s")
            return list(self.messages)

    def control_ids(self) -> list[str]:
        """Return the control ids received so far, in order."""
        with self._changed:
            return [field(body, b"MSH", 10).decode() for body in self.messages]

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            wire = Wire(connection)
            with self._changed:
                self._open.add(wire)
            if self._listener is not listener:
                reset(wire)  # stopped in between
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        with self._changed:
            self.connections += 1
        try:
            while True:
                body = wire.receive(wait_s=3600)
                self._note(body)
                self.script(wire, body, len(self.messages))
        except (PeerClosed, OSError, ValueError):
            pass
        finally:
            wire.close()
            with self._changed:
                self._open.discard(wire)

    def _note(self, body: bytes) -> None:
        if self._ledger:
            self._ledger.write(
                id=field(body, b"MSH", 10).decode(),
                patient=field(body, b"PID", 3).split(b"^")[0].decode(),
                sha256=digest(body),
                kind=field(body, b"PV1", 2).decode(),
                at=time.time(),
            )
        with self._changed:
            self.messages.append(body)
            self._changed.notify_all()


def reset(wire: Wire) -> None:
    """Close with a reset, as a crashing peer does."""
    try:
        wire.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        wire.socket.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    wire.close()


def framed(body: bytes) -> bytes:
    """Return *body* in its envelope, for scripts that send it in pieces."""
    return VT + body + FS + CR


def main() -> int:
    """Answer AA until SIGTERM."""
    parser = argparse.ArgumentParser(description="torture receiver")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    arguments = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    receiver = Receiver(port=arguments.port, ledger=Ledger(arguments.ledger))
    print(receiver.port, flush=True)
    while not stop.wait(0.2):
        pass
    receiver.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
