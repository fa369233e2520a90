"""TLS towards a receiver: its certificate is checked against its CA and its name, always."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from OpenSSL import SSL, crypto
from twisted.internet import ssl as typed_ssl

from engine.model.errors import MedbusError
from engine.security.certificates import changes_of, load_certificates, load_identity

# Twisted's ssl module is only half typed.
ssl: Any = typed_ssl
_log = logging.getLogger(__name__)

#: BCP 195: forward secrecy and authenticated encryption only
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ClientTlsFiles(NamedTuple):
    """What an outbound channel's tls settings name, as paths."""

    server_name: str
    #: None: the authorities the system trusts
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def build_client_options(files: ClientTlsFiles) -> Any:
    """Return what makes TLS connections to the receiver, or raise CertificateError."""
    extra: dict[str, Any] = {
        "raiseMinimumTo": ssl.TLSVersion.TLSv1_2,
        "acceptableCiphers": ssl.AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
    }
    if files.cert is not None and files.key is not None:
        identity = load_identity(files.cert, files.key)
        extra["privateKey"] = crypto.PKey.from_cryptography_key(identity.key)
        extra["certificate"] = crypto.X509.from_cryptography(identity.certificate)
        extra["extraCertChain"] = [crypto.X509.from_cryptography(each) for each in identity.chain]
    trust = None
    if files.ca is not None:
        trust = ssl.trustRootFromCertificates(
            [
                ssl.Certificate(crypto.X509.from_cryptography(each))
                for each in load_certificates(files.ca)
            ]
        )
    return ssl.optionsForClientTLS(
        files.server_name, trustRoot=trust, extraCertificateOptions=extra
    )


class ClientTls:
    """Gives each new connection the newest good certificates; a bad exchange keeps the old."""

    def __init__(self, files: ClientTlsFiles) -> None:
        self._files = files
        self._seen_changes = changes_of(files[1:])
        self._options = build_client_options(files)

    def options(self) -> Any:
        """Return what to connect with now."""
        changes = changes_of(self._files[1:])
        if changes != self._seen_changes:
            self._seen_changes = changes
            try:
                self._options = build_client_options(self._files)
                _log.info("certificates reloaded", extra={"path": str(self._files.cert or "")})
            except (MedbusError, SSL.Error) as error:
                _log.error(
                    "new certificates cannot be used; the old ones stay",
                    extra={"reason": error.what if isinstance(error, MedbusError) else "OpenSSL"},
                )
        return self._options
