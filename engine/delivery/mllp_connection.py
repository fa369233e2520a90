"""
Making a connection to a receiver, handshake included, and the thin protocol on it.

Rules of this file: no decisions; the owner hears of everything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from typing import Protocol as Shape

from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure as TypedFailure
from zope.interface import implementer

from engine.delivery.keepalive import set_keepalive
from engine.mllp.exchange import Exchange
from engine.mllp.writing import write_at_once, writes_at_once

# Twisted's Failure is only half typed.
Failure: Any = TypedFailure
#: how long a receiver may take to let a connection be closed in good order
CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class MllpTarget:
    """Where and how to connect; times in seconds."""

    host: str
    port: int
    connect_timeout_s: float = 10.0
    #: from the last byte sent to the matching ack
    timeout_s: float = 30.0
    max_answer_bytes: int = 16_000_000


class Owner(Shape):
    """Who hears of a connection: the sender."""

    def connected(self, dial: Dial, connection: MllpConnection) -> None:
        """It stands, its handshake done."""
        ...

    def failed(self, dial: Dial, reason: TypedFailure) -> None:
        """None could be made."""
        ...

    def lost(self, connection: MllpConnection, reason: TypedFailure) -> None:
        """It is gone."""
        ...

    def received(self, connection: MllpConnection, chunk: bytes) -> None:
        """Bytes came."""
        ...

    def flushed(self, connection: MllpConnection) -> None:
        """Everything written was handed to the kernel."""
        ...


class Dial(ClientFactory):
    """One attempt to connect, handshake included, within its time."""

    noisy = False

    def __init__(self, sender: Owner, target: MllpTarget) -> None:
        self._sender = sender
        self._target = target
        self._connector: Any = None
        self._timer: Any = None
        self.reactor: Any = None
        self.is_tls = False

    def start(self, reactor: Any, tls_options: Any) -> None:
        """Connect."""
        self.reactor = reactor
        target = self._target
        factory: Any = self
        if tls_options is not None:
            self.is_tls = True
            factory = TLSMemoryBIOFactory(tls_options, True, self, reactor)  # type: ignore[arg-type]
            factory.noisy = False
        self._timer = reactor.callLater(target.connect_timeout_s, self._too_late)
        # The connector's own timeout would not cover the handshake.
        self._connector = reactor.connectTCP(target.host, target.port, factory, timeout=None)

    def refuse(self, reactor: Any, error: Exception) -> None:
        """Fail without having tried, from another turn of the loop."""
        self._timer = reactor.callLater(0, self._refused, error)

    def cancel(self) -> None:
        """Give up quietly."""
        self._stop_timer()
        if self._connector is not None:
            self._connector.disconnect()

    def buildProtocol(self, address: Any) -> MllpConnection:
        """Return the connection; Twisted asks."""
        return MllpConnection(self._sender, self, self._target.max_answer_bytes)

    def clientConnectionFailed(self, connector: Any, reason: TypedFailure) -> None:
        """Twisted could not connect."""
        self._stop_timer()
        self._sender.failed(self, reason)

    def established(self, connection: MllpConnection) -> None:
        """The connection stands, its handshake done."""
        self._stop_timer()
        self._sender.connected(self, connection)

    def ended_early(self, reason: TypedFailure) -> None:
        """The connection ended before it stood."""
        self._stop_timer()
        self._sender.failed(self, reason)

    def _refused(self, error: Exception) -> None:
        self._timer = None
        self._sender.failed(self, Failure(error))

    def _too_late(self) -> None:
        self._timer = None
        self._sender.failed(self, Failure(TimeoutError()))
        if self._connector is not None:
            self._connector.disconnect()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


@implementer(IHandshakeListener, IPushProducer)
class MllpConnection(Protocol):
    """The thin protocol between a transport and the sender."""

    transport: Any

    def __init__(self, sender: Owner, dial: Dial, max_answer_bytes: int) -> None:
        self.exchange = Exchange(max_answer_bytes)
        self._sender = sender
        self._dial = dial
        self._stands = self._writes_at_once = False
        self._closing: Any = None
        #: whether everything written was handed to the kernel
        self.is_flushed = True

    def connectionMade(self) -> None:
        """Stand, unless a handshake comes first."""
        set_keepalive(self.transport)
        self._writes_at_once = writes_at_once(self.transport)
        self.transport.registerProducer(self, True)
        if not self._dial.is_tls:
            self._stand()

    def handshakeCompleted(self) -> None:
        """The receiver's certificate was checked and is good."""
        self._stand()

    def dataReceived(self, chunk: bytes) -> None:
        """Hand on."""
        self._sender.received(self, chunk)

    def connectionLost(self, reason: TypedFailure = connectionDone) -> None:
        """Hand on."""
        if self._closing is not None and self._closing.active():
            self._closing.cancel()
        self.exchange.close()
        if self._stands:
            self._sender.lost(self, reason)
        else:
            self._dial.ended_early(reason)

    def write(self, frame: bytes) -> None:
        """Write; is_flushed tells whether it went out at once."""
        if self._writes_at_once:
            write_at_once(self.transport, frame)
        else:
            self.transport.write(frame)

    def pauseProducing(self) -> None:
        """The transport has more than it can hand over."""
        self.is_flushed = False

    def resumeProducing(self) -> None:
        """The transport has handed everything over."""
        if not self.is_flushed:
            self.is_flushed = True
            self._sender.flushed(self)

    def stopProducing(self) -> None:
        """The transport is gone."""

    def close(self) -> None:
        """Close in good order; one that takes no more bytes, or no end of TLS, is dropped."""
        self.transport.unregisterProducer()
        self._closing = self._dial.reactor.callLater(CLOSE_S, self.transport.abortConnection)
        self.transport.loseConnection()

    def abort(self) -> None:
        """Drop at once."""
        self.transport.unregisterProducer()
        self.transport.abortConnection()

    def _stand(self) -> None:
        self._stands = True
        self._dial.established(self)
