"""
MLLP as the torture bench speaks it: written apart from the engine, on plain blocking sockets.

Rules of this file: no engine code, or a mistake in its framing would be checked with itself.
"""

from __future__ import annotations

import socket

VT, FS, CR = b"\x0b", b"\x1c", b"\r"
#: what must happen happens within this, also on a machine that is slow, busy or waits for its disk
WAIT_S = 60.0


class PeerClosed(Exception):
    """The other side closed, reset or kept silent for too long."""


class Wire:
    """One connection: whole messages out, whole messages in."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self._buffer = b""

    @classmethod
    def connect(cls, port: int, wait_s: float = WAIT_S) -> Wire:
        """Return a connection to *port* on loopback; raises OSError when nobody listens."""
        return cls(socket.create_connection(("127.0.0.1", port), timeout=wait_s))

    def send(self, body: bytes) -> None:
        """Send one frame; raises PeerClosed."""
        try:
            self.socket.sendall(VT + body + FS + CR)
        except OSError as error:
            raise PeerClosed(str(error)) from None

    def receive(self, wait_s: float = WAIT_S) -> bytes:
        """Return the next message; raises PeerClosed when none comes in time."""
        self.socket.settimeout(wait_s)
        while FS + CR not in self._buffer:
            try:
                chunk = self.socket.recv(65536)
            except OSError as error:
                raise PeerClosed(str(error)) from None
            if not chunk:
                raise PeerClosed("closed")
            self._buffer += chunk
        frame, self._buffer = self._buffer.split(FS + CR, 1)
        return frame[frame.index(VT) + 1 :]

    def close(self) -> None:
        """Close without waiting."""
        self.socket.close()


def field(body: bytes, segment: bytes, number: int) -> bytes:
    """Return field *number* of the first *segment*, b"" without one; MSH counts as HL7 does."""
    for line in body.split(CR):
        if line.startswith(segment + b"|"):
            parts = line.split(b"|")
            index = number - 1 if segment == b"MSH" else number
            return parts[index] if index < len(parts) else b""
    return b""


def make_ack(body: bytes, code: bytes = b"AA", *, control_id: bytes | None = None) -> bytes:
    """Return an ack of *code* for *body*, for another control id when one is given."""
    identity = field(body, b"MSH", 10) if control_id is None else control_id
    return b"".join(
        (
            b"MSH|^~\\&|PEER|PEER|MEDBUS|MEDBUS|20261101083000||ACK|",
            b"P" + identity + b"|P|2.5.1\rMSA|" + code + b"|" + identity + b"\r",
        )
    )
