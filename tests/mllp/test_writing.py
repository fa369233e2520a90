"""Tests of writing a frame at once."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.tcp import Connection
from twisted.protocols.tls import TLSMemoryBIOProtocol

from engine.mllp.writing import write_at_once, writes_at_once


class Transport:
    """A plain connection whose kernel takes *takes* bytes, or has the trouble *takes*."""

    connected = True
    TLS = disconnecting = False
    dataBuffer = b""

    def __init__(self, takes: Any = 1000) -> None:
        self.takes = takes
        self._tempDataBuffer: list[bytes] = []
        self.sent = b""
        self.left = b""

    def writeSomeData(self, frame: bytes) -> Any:
        """Take what there is room for."""
        if isinstance(self.takes, Exception):
            return self.takes
        self.sent += frame[: self.takes]
        return min(len(frame), self.takes)

    def write(self, frame: bytes) -> None:
        """Buffer."""
        self.left += frame

    def doWrite(self) -> None:
        """Never called here."""


def test_a_plain_connection_is_known_and_a_tls_one_is_not() -> None:
    """A TLS connection, which hands out the plain one beneath it, is never written past."""
    assert writes_at_once(object.__new__(Connection))
    assert not writes_at_once(object.__new__(TLSMemoryBIOProtocol))


@pytest.mark.parametrize(
    ("takes", "sent", "left"),
    [
        (1000, b"frame", b""),
        (3, b"fra", b"me"),
        (0, b"", b"frame"),
        (ConnectionError(), b"", b"frame"),
    ],
)
def test_what_the_kernel_does_not_take_is_left(takes: Any, sent: bytes, left: bytes) -> None:
    """Every byte goes out once, in order, and trouble is left to the transport."""
    transport = Transport(takes)
    write_at_once(transport, b"frame")
    assert (transport.sent, transport.left) == (sent, left)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("connected", False),
        ("TLS", True),
        ("disconnecting", True),
        ("dataBuffer", b"before"),
        ("_tempDataBuffer", [b"before"]),
    ],
)
def test_nothing_is_overtaken(name: str, value: Any) -> None:
    """Where bytes wait, or the connection is no plain open one, the transport decides."""
    transport = Transport()
    setattr(transport, name, value)
    write_at_once(transport, b"frame")
    assert (transport.sent, transport.left) == (b"", b"frame")
