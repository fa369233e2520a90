"""Lanes and senders over real sockets, against receivers with every bad habit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import OpenSSL.SSL
import pytest
import trustme
from twisted.internet import ssl as twisted_ssl
from twisted.protocols.tls import TLSMemoryBIOFactory

from engine.delivery.channel import OutboundChannel
from engine.delivery.mllp_sender import MllpSender, MllpTarget
from engine.delivery.policy import DeliveryPolicy
from engine.delivery.tls import ClientTls, ClientTlsFiles
from engine.model.retry import Backoff
from engine.model.states import DeliveryState
from tests.support.authority import Authority
from tests.support.lanes import QueueStore, due, seams_for
from tests.support.live import LiveLoop
from tests.support.ports import free_port
from tests.support.scripted_peer import ScriptedPeer

#: after these words of a script a try must run out of time
SILENT = {"wrong-id", "half", "silence", "drip"}


@pytest.fixture
def live() -> Iterator[LiveLoop]:
    """A loop of this test's own."""
    loop = LiveLoop()
    yield loop
    loop.close()


def start(
    live: LiveLoop,
    port: int,
    count: int,
    *,
    tls: ClientTls | None = None,
    connect_s: float = 60.0,
    timeout_s: float = 60.0,
) -> tuple[QueueStore, OutboundChannel]:
    """Start a channel that owes *count* deliveries to a receiver on *port*."""
    store = QueueStore()
    store.add(*(due(number) for number in range(1, count + 1)))
    channel = OutboundChannel(
        "lis",
        DeliveryPolicy(backoff=Backoff(0.02, 1.5, 0.1)),
        lane_count=1,
        seams=seams_for(live.reactor, store),
        make_sender=lambda channel, lane: MllpSender(
            channel, lane, MllpTarget("127.0.0.1", port, connect_s, timeout_s=timeout_s), tls
        ),
    )
    channel.start([1])
    return store, channel


def is_all_delivered(store: QueueStore) -> bool:
    """Return whether nothing is owed."""
    return set(store.states.values()) == {DeliveryState.DELIVERED}


@pytest.mark.parametrize(
    "script",
    [
        [],
        ["AE", "AE"],
        ["wrong-id"],
        ["half"],
        ["silence", "silence"],
        ["reset", "reset"],
        ["close"],
        ["drip"],
        ["garbage"],
        ["two", "two", "two"],
        ["AA", "late"],
        ["nul", "no-cr", "no-cr"],
        ["CA", "CA"],
        ["silence", "reset", "garbage", "AE", "wrong-id", "half", "AA", "drip"],
    ],
    ids=lambda script: "-".join(script) or "AA",
)
def test_everything_arrives_in_order_whatever_the_receiver_does(
    live: LiveLoop, script: list[str]
) -> None:
    """Each message arrives at least once, in order, with its own bytes; repeats only in place."""
    peer = ScriptedPeer(*script)
    port = live.reactor.listenTCP(0, peer, interface="127.0.0.1")
    timeout_s = 0.2 if SILENT & set(script) else 60.0
    store, channel = start(live, port.getHost().port, 5, timeout_s=timeout_s)
    if "late" in script:
        # The refusal of the first came late: it needs a person, the others are delivered.
        live.until(lambda: DeliveryState.PENDING not in store.states.values())
        assert store.states.pop("20261121-1.1") is DeliveryState.PARKED
    live.until(lambda: is_all_delivered(store))
    assert list(dict.fromkeys(peer.received)) == [b"C1", b"C2", b"C3", b"C4", b"C5"]
    assert sorted(peer.received) == peer.received
    assert set(peer.bodies) == {due(number).body for number in range(1, 6)}
    channel.abort()


def test_a_receiver_that_comes_back_gets_everything(live: LiveLoop) -> None:
    """Refused connections only cost time."""
    number = free_port()
    store, channel = start(live, number, 3)
    live.until(lambda: channel.counts.refused > 2)
    assert not channel.is_connected
    peer = ScriptedPeer()
    live.reactor.listenTCP(number, peer, interface="127.0.0.1")
    live.until(lambda: is_all_delivered(store))
    assert peer.received == [b"C1", b"C2", b"C3"]
    assert channel.is_connected
    channel.abort()


def test_a_large_message_arrives_whole(live: LiveLoop) -> None:
    """Eight megabytes go through unchanged, over several writes of the kernel."""
    peer = ScriptedPeer()
    port = live.reactor.listenTCP(0, peer, interface="127.0.0.1")
    store, channel = start(live, port.getHost().port, 0)
    large = due(1, body=due(1).body + b"OBX|1|ED||" + b"QUJD" * 2_000_000 + b"\r")
    store.add(large)
    channel.offer([large])
    live.until(lambda: is_all_delivered(store))
    assert peer.bodies == [large.body]
    channel.abort()


# -- TLS ---------------------------------------------------------------------------------------


def listen_tls(live: LiveLoop, peer: ScriptedPeer, options: Any) -> int:
    """Have *peer* listen with TLS; return the port."""
    factory: Any = TLSMemoryBIOFactory(options, False, peer, live.reactor)  # type: ignore[arg-type]
    factory.noisy = False
    return int(live.reactor.listenTCP(0, factory, interface="127.0.0.1").getHost().port)


def options_of(cert: Path, key: Path) -> Any:
    """Return what a server with this certificate uses."""
    pair: Any = twisted_ssl.PrivateCertificate
    return pair.loadPEM(key.read_bytes() + cert.read_bytes()).options()


def test_tls_with_the_right_name(live: LiveLoop, tmp_path: Path) -> None:
    """A receiver with a certificate of the CA and the expected name gets its messages."""
    authority = Authority(tmp_path)
    peer = ScriptedPeer()
    port = listen_tls(live, peer, options_of(*authority.issue("lis.hospital")))
    tls = ClientTls(ClientTlsFiles("lis.hospital", authority.ca_file))
    store, channel = start(live, port, 3, tls=tls)
    live.until(lambda: is_all_delivered(store))
    assert peer.received == [b"C1", b"C2", b"C3"]
    channel.abort()


@pytest.mark.parametrize("wrong", ["name", "authority"])
def test_tls_with_the_wrong_peer_sends_nothing(live: LiveLoop, tmp_path: Path, wrong: str) -> None:
    """A certificate of another name or authority: refused, told in plain words, queue kept."""
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    peer = ScriptedPeer()
    port = listen_tls(live, peer, options_of(*authority.issue("lis.hospital")))
    files = ClientTlsFiles(
        "mpi.hospital" if wrong == "name" else "lis.hospital",
        other.ca_file if wrong == "authority" else authority.ca_file,
    )
    store, channel = start(live, port, 1, tls=ClientTls(files))
    live.until(lambda: channel.counts.refused > 1)
    assert peer.received == []
    assert store.states["20261121-1.1"] is DeliveryState.PENDING
    assert channel.counts.last_error.startswith("TLS: ")
    assert not channel.is_connected
    channel.abort()


def test_a_plain_peer_behind_a_tls_channel_is_refused(live: LiveLoop, tmp_path: Path) -> None:
    """A receiver that speaks no TLS gets no message."""
    authority = Authority(tmp_path)
    peer = ScriptedPeer()
    port = live.reactor.listenTCP(0, peer, interface="127.0.0.1")
    tls = ClientTls(ClientTlsFiles("lis.hospital", authority.ca_file))
    store, channel = start(live, port.getHost().port, 1, tls=tls, connect_s=2.0)
    live.until(lambda: channel.counts.refused > 0)
    assert peer.received == []
    assert store.states["20261121-1.1"] is DeliveryState.PENDING
    channel.abort()


def test_old_tls_versions_are_refused(live: LiveLoop, tmp_path: Path) -> None:
    """A receiver that offers TLS 1.1 at most gets no message."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("lis.hospital")
    context = OpenSSL.SSL.Context(OpenSSL.SSL.TLS_METHOD)
    context.set_max_proto_version(OpenSSL.SSL.TLS1_1_VERSION)
    context.set_cipher_list(b"ALL:@SECLEVEL=0")
    context.use_certificate_chain_file(str(cert))
    context.use_privatekey_file(str(key))

    class Old(twisted_ssl.ContextFactory):
        """An old server."""

        def getContext(self) -> Any:
            """Return it."""
            return context

    peer = ScriptedPeer()
    port = listen_tls(live, peer, Old())
    tls = ClientTls(ClientTlsFiles("lis.hospital", authority.ca_file))
    _, channel = start(live, port, 1, tls=tls)
    live.until(lambda: channel.counts.refused > 0)
    assert peer.received == []
    channel.abort()


def test_new_certificates_are_used_for_new_connections(live: LiveLoop, tmp_path: Path) -> None:
    """A CA file exchanged on disk is used without a restart; a broken one keeps the old."""
    authority = Authority(tmp_path)
    tls = ClientTls(ClientTlsFiles("lis.hospital", authority.ca_file))
    first = tls.options()
    authority.ca_file.write_text("no certificate")
    os.utime(authority.ca_file, (1, 1))
    assert tls.options() is first
    trustme.CA().cert_pem.write_to_path(authority.ca_file)
    os.utime(authority.ca_file, (2, 2))
    assert tls.options() is not first
