"""
The listening side of a channel: who may connect, how many, for how long.

Rules of this file: every refusal is counted; one sweep a second looks at all connections, so that
a read costs no timer.
"""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import ServerFactory
from twisted.protocols.tls import TLSMemoryBIOFactory

from engine.intake.budget import Budget
from engine.intake.connection import MllpConnection, Reply
from engine.intake.tls import ServerTls
from engine.store.file_room import Kept, leaves_room

_log = logging.getLogger(__name__)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: what waits in the kernel to be accepted
_BACKLOG = 1024
#: so many connections have room even where receivers have taken all that they may
_FIRST = 2
#: seconds between two looks at the certificate files
_CERTIFICATES_EVERY_S = 60


@dataclass(frozen=True, slots=True)
class ListenerLimits:
    """What one listener puts up with; times in seconds."""

    max_message_bytes: int = 50_000_000
    max_connections: int = 256
    #: connections of one address; None is as many as max_connections
    max_per_peer: int | None = None
    idle_timeout_s: float = 600.0
    #: silence inside a frame
    frame_timeout_s: float = 30.0
    handshake_s: float = 5.0
    #: text instead of frames on a new connection
    junk_s: float = 5.0
    #: a frame that takes longer than this must come faster than slow_rate bytes per second
    slow_after_s: float = 10.0
    slow_rate: float = 1024.0


@dataclass(slots=True)
class ListenerCounts:
    """What a listener has seen since it was made; plain numbers, read by metrics and status."""

    accepted_connections: int = 0
    refused_connections: int = 0
    #: closed by us: idle, too slow, no MLLP, no handshake
    dropped_connections: int = 0
    tls_failures: int = 0
    discarded_bytes: int = 0
    #: frames beyond max_message: answered AR, not kept
    oversize_frames: int = 0


class Reactor(Protocol):
    """The two things of Twisted's reactor that a listener needs."""

    def callLater(self, delay: float, call: Callable[..., object], *args: object) -> Any:
        """Run *call* in *delay* seconds."""
        ...

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """Listen."""
        ...


class MllpListener(ServerFactory):
    """
    Accepts connections for one channel.

    Args:
        on_frame: gets each body with the place of its ack.
        on_oversize: gets the first bytes of a frame beyond the limit.
        allow: networks that may connect; empty: any.
    """

    noisy = False

    def __init__(
        self,
        reactor: Reactor,
        *,
        name: str,
        limits: ListenerLimits,
        budget: Budget,
        on_frame: Callable[[bytes, Reply], None],
        on_oversize: Callable[[bytes, Reply], None],
        allow: tuple[Network, ...] = (),
        tls: ServerTls | None = None,
    ) -> None:
        self.clock = reactor
        self.limits = limits
        self.budget = budget
        self.on_frame = on_frame
        self.on_oversize = on_oversize
        self.counts = ListenerCounts()
        self.tick = 0
        self._name = name
        self._allow = allow
        self._tls = tls
        self._port: Any = None
        self._sweep: Any = None
        self._connections: set[MllpConnection] = set()
        self._per_host: Counter[str] = Counter()
        self._all_closed: list[Deferred[None]] = []

    @property
    def is_tls(self) -> bool:
        """Return whether connections begin with a handshake."""
        return self._tls is not None

    @property
    def is_listening(self) -> bool:
        """Return whether new connections are taken."""
        return self._port is not None

    @property
    def port(self) -> int:
        """Return the port listened on; 0 when not listening."""
        return self._port.getHost().port if self._port is not None else 0

    @property
    def connection_count(self) -> int:
        """Return how many senders are connected."""
        return len(self._connections)

    def start(self, host: str, port: int) -> None:
        """Listen on *host*:*port*; raises CannotListenError."""
        factory = self if self._tls is None else _TlsGate(self._tls, self, self.clock)
        self._port = self.clock.listenTCP(port, factory, backlog=_BACKLOG, interface=host)
        if self._sweep is None:
            self._sweep = self.clock.callLater(1.0, self._sweep_once)

    def stop_listening(self) -> Deferred[None]:
        """Take no new connections."""
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        stopped: Deferred[None] = port.stopListening() or succeed(None)
        return stopped

    def close_connections(self) -> Deferred[None]:
        """Close every connection once it has its acks; fires when all are gone."""
        if not self._connections:
            self._stop_sweep()
            return succeed(None)
        closed: Deferred[None] = Deferred()
        self._all_closed.append(closed)
        for connection in list(self._connections):
            connection.close_when_answered()
        return closed

    def abort_connections(self) -> None:
        """Drop every connection, unanswered."""
        for connection in list(self._connections):
            connection.abort()

    def reload_certificates(self) -> bool:
        """Take the certificate files as they are now; return whether that went well."""
        return self._tls is None or self._tls.reload()

    # -- the gate --------------------------------------------------------------------------

    def admits(self, host: str) -> bool:
        """Return whether one more connection of *host* is let in."""
        limits = self.limits
        most = limits.max_per_peer or limits.max_connections
        if (
            len(self._connections) < limits.max_connections
            and self._per_host[host] < most
            and self._is_allowed(host)
            and self._has_room(host)
        ):
            return True
        self.counts.refused_connections += 1
        return False

    def _has_room(self, host: str) -> bool:
        # Asked before there is a connection: one that is made and then dropped keeps its file for
        # a round of the loop, and in a rush a round makes a hundred.
        is_first = len(self._connections) < _FIRST
        if leaves_room(Kept.BY_FIRST_SENDERS if is_first else Kept.BY_SENDERS):
            return True
        _log.warning(
            "connection refused",
            extra={
                "inbound": self._name,
                "peer": host,
                "reason": "too few file descriptors are left",
            },
        )
        return False

    def is_name_allowed(self, transport: Any) -> bool:
        """Return whether the peer's certificate may send here."""
        return self._tls is None or self._tls.is_allowed(transport)

    def buildProtocol(self, address: Any) -> MllpConnection | None:
        """Return a connection, or None to close it; Twisted asks."""
        return MllpConnection(self) if self.is_tls or self.admits(address.host) else None

    def _is_allowed(self, host: str) -> bool:
        if not self._allow:
            return True
        address = ipaddress.ip_address(host.split("%", 1)[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._allow)

    # -- connections say -------------------------------------------------------------------

    def opened(self, connection: MllpConnection) -> None:
        """Note a new connection."""
        self.counts.accepted_connections += 1
        self._connections.add(connection)
        self._per_host[connection.peer.rpartition(":")[0]] += 1
        set_keepalive(connection.transport)

    def closed(self, connection: MllpConnection, *, is_tls_failure: bool) -> None:
        """Note that a connection is gone."""
        host = connection.peer.rpartition(":")[0]
        self._connections.discard(connection)
        self._per_host[host] -= 1
        if self._per_host[host] <= 0:
            del self._per_host[host]
        self.counts.tls_failures += is_tls_failure
        if not self._connections:
            waiting, self._all_closed = self._all_closed, []
            if self._port is None:
                self._stop_sweep()
            for closed in waiting:
                closed.callback(None)

    def refuse(self, connection: MllpConnection, why: str) -> None:
        """Drop a connection that does not behave."""
        self.counts.dropped_connections += 1
        if why != "idle":
            _log.warning(
                "connection dropped",
                extra={"inbound": self._name, "peer": connection.peer, "reason": why},
            )
        connection.abort()

    # -- the sweep -------------------------------------------------------------------------

    def _sweep_once(self) -> None:
        self.tick += 1
        self._sweep = self.clock.callLater(1.0, self._sweep_once)
        for connection in list(self._connections):
            fault = connection.find_fault(self.tick)
            if fault:
                self.refuse(connection, fault)
        if self._tls is not None and self.tick % _CERTIFICATES_EVERY_S == 0:
            self._tls.reload_if_changed()

    def _stop_sweep(self) -> None:
        if self._sweep is not None and self._sweep.active():
            self._sweep.cancel()
        self._sweep = None


class _TlsGate(TLSMemoryBIOFactory):
    """TLS around the connections that the listener lets in."""

    noisy = False

    def __init__(self, tls: Any, listener: Any, clock: Any) -> None:
        super().__init__(tls, False, listener, clock)
        self._listener = listener

    def buildProtocol(self, address: Any) -> Any:
        """Return a TLS connection, or None to close it before any handshake."""
        return super().buildProtocol(address) if self._listener.admits(address.host) else None


def set_keepalive(transport: Any) -> None:
    """Have the kernel notice, within about a minute, that the other side is gone."""
    bottom = getattr(transport, "transport", None) or transport
    handle = getattr(bottom, "socket", None)
    if not isinstance(handle, socket.socket):
        return
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 30),
        ("TCP_KEEPINTVL", 10),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 60_000),
    ):
        number = getattr(socket, option, None)
        if number is not None:
            handle.setsockopt(socket.IPPROTO_TCP, number, value)
