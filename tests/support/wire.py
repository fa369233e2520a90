"""A transport in memory that behaves like a socket where it matters."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure


class Wire(StringTransport):
    """A transport that tells its protocol when it was aborted, and counts writes."""

    protocol: Any = None
    writes = 0

    def write(self, chunk: bytes) -> None:
        """Count."""
        self.writes += 1
        super().write(chunk)

    def unregisterProducer(self) -> None:
        """Allow it also when there is none."""
        if self.producer is not None:
            super().unregisterProducer()

    def abortConnection(self) -> None:
        """Tell the protocol."""
        super().abortConnection()
        self.protocol.connectionLost(Failure(ConnectionAborted()))
