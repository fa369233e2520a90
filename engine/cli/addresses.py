"""HOST:PORT as people type it, and the TLS options of `send` and `listen`."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from engine.model.errors import MedbusError, Usage


class Address(NamedTuple):
    """Where to connect or listen."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_address(text: str, *, default_host: str = "127.0.0.1") -> Address:
    """Return host and port of ``host:port``, ``[::1]:port``, ``:port`` or ``port``."""
    host, _, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or default_host
    if not port.isdigit() or not 0 <= int(port) < 65536:
        raise Usage(f"{text!r} is no address", fix="write HOST:PORT, such as 127.0.0.1:2575")
    return Address(host, int(port))


def is_address(text: str) -> bool:
    """Return whether *text* looks like HOST:PORT rather than a channel name."""
    return text.rpartition(":")[2].isdigit()


def client_tls(*, ca: str | None, cert: str | None, key: str | None) -> ssl.SSLContext:
    """Return a context that verifies the server, with our certificate if one is given."""
    try:
        context = ssl.create_default_context(cafile=ca)
        if cert:
            context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(error) from None
    return context


def server_tls(*, cert: str, key: str | None, client_ca: str | None) -> ssl.SSLContext:
    """Return a context for a test receiver; with client_ca a certificate is demanded."""
    try:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=client_ca)
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(error) from None
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _unusable(error: Exception) -> MedbusError:
    return MedbusError(
        f"a TLS file cannot be used: {type(error).__name__}",
        code="RUN-020",
        fix="check that the files exist, are PEM and belong together",
    )
