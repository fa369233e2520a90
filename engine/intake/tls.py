"""
TLS of a listener: server and mutual, TLS 1.2 and up, certificates exchanged without a restart.

Rules of this file: a new context is built whole and only then takes the old one's place; old
connections keep theirs. Which names may connect is looked at on every connection, resumed ones too.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from OpenSSL import SSL, crypto
from twisted.internet import ssl as typed_ssl
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from engine.model.errors import MedbusError
from engine.security.certificates import (
    CertificateError,
    changes_of,
    load_certificates,
    load_identity,
    names_of,
)

# Twisted's ssl module is only half typed.
ssl: Any = typed_ssl
_log = logging.getLogger(__name__)

#: BCP 195: forward secrecy and authenticated encryption only
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ServerTlsFiles(NamedTuple):
    """What a listener's tls settings name, as paths."""

    cert: Path
    key: Path
    client_ca: Path | None = None
    #: lower case; empty: any certificate of the CA
    allow_names: frozenset[str] = frozenset()


def build_server_context(files: ServerTlsFiles) -> SSL.Context:
    """Return a context of *files*, or raise CertificateError."""
    identity = load_identity(files.cert, files.key)
    authorities = load_certificates(files.client_ca) if files.client_ca else []
    trust = ssl.trustRootFromCertificates(
        [ssl.Certificate(crypto.X509.from_cryptography(each)) for each in authorities]
    )
    options = ssl.CertificateOptions(
        privateKey=crypto.PKey.from_cryptography_key(identity.key),
        certificate=crypto.X509.from_cryptography(identity.certificate),
        extraCertChain=[crypto.X509.from_cryptography(each) for each in identity.chain],
        trustRoot=trust if authorities else None,
        raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
        acceptableCiphers=ssl.AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
    )
    try:
        context: SSL.Context = options.getContext()
    except SSL.Error:
        raise CertificateError(
            "OpenSSL refuses the certificate", where=str(files.cert), fix="see openssl x509 -text"
        ) from None
    context.set_options(SSL.OP_NO_RENEGOTIATION | SSL.OP_NO_TICKET)
    return context


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS side of each new connection from the newest good certificates."""

    def __init__(self, files: ServerTlsFiles) -> None:
        self._files = files
        self._seen_changes = changes_of(files[:3])
        self._context = build_server_context(files)
        #: why the last reload failed, "" when it did not
        self.problem = ""

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return the TLS side of one connection; Twisted asks."""
        return SSL.Connection(self._context, None)

    def reload(self) -> bool:
        """Take the files as they are now; keep what is in use when they are no good."""
        self._seen_changes = changes_of(self._files[:3])
        try:
            self._context = build_server_context(self._files)
        except MedbusError as error:
            self.problem = str(error)
            _log.error(
                "new certificates cannot be used; the old ones stay",
                extra={"reason": error.what, "where": error.where},
            )
            return False
        self.problem = ""
        _log.info("certificates reloaded", extra={"path": str(self._files.cert)})
        return True

    def reload_if_changed(self) -> None:
        """Reload when a file has changed since it was read."""
        if changes_of(self._files[:3]) != self._seen_changes:
            self.reload()

    def is_allowed(self, transport: Any) -> bool:
        """Return whether the peer's certificate carries one of the allowed names."""
        if not self._files.allow_names:
            return True
        peer = transport.getPeerCertificate()
        return peer is not None and not self._files.allow_names.isdisjoint(
            names_of(peer.to_cryptography())
        )
