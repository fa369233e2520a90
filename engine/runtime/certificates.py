"""The certificates of a configuration: which files, whether they work, when they run out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.config.models.inbound import ServerTls
from engine.config.models.outbound import ClientTls, OutboundMllp
from engine.config.models.site import Site
from engine.delivery.tls import ClientTlsFiles, build_client_options
from engine.intake.tls import ServerTlsFiles, build_server_context
from engine.model.errors import MedbusError


def find_expiries(site: Site, folder: Path) -> list[tuple[str, float]]:
    """Return (channel, UTC seconds) of every certificate file that can be read."""
    from cryptography import x509

    found = []
    for channel, name in _certificate_files(site):
        try:
            certificates = x509.load_pem_x509_certificates((folder / name).read_bytes())
        except (OSError, ValueError):
            continue
        expires_at = min(c.not_valid_after_utc.timestamp() for c in certificates)
        found.append((channel, expires_at))
    return found


def check_certificates(site: Site, folder: Path) -> None:
    """
    Build the TLS side of every channel once, before anything is switched to it.

    Raises:
        MedbusError: a file is missing, no PEM, or does not fit the others; names the channel.
    """
    for name, inbound in site.inbound.items():
        if inbound.mllp.tls is not None:
            with _naming(name):
                build_server_context(server_files(inbound.mllp.tls, folder))
    for name, outbound in site.outbound.items():
        if outbound.mllp is not None and outbound.mllp.tls is not None:
            with _naming(name):
                build_client_options(client_files(outbound.mllp, outbound.mllp.tls, folder))


def server_files(tls: ServerTls, folder: Path) -> ServerTlsFiles:
    """Return the files of a listener's tls settings."""
    return ServerTlsFiles(
        folder / tls.cert,
        folder / tls.key,
        folder / tls.client_ca if tls.client_ca else None,
        frozenset(allowed.lower() for allowed in tls.allow_names),
    )


def client_files(mllp: OutboundMllp, tls: ClientTls, folder: Path) -> ClientTlsFiles:
    """Return the files of an outbound channel's tls settings."""
    names = (tls.ca, tls.cert, tls.key)
    paths = (folder / name if name is not None else None for name in names)
    return ClientTlsFiles(tls.server_name or mllp.connect.host, *paths)


@contextmanager
def _naming(channel: str) -> Iterator[None]:
    try:
        yield
    except MedbusError as error:
        raise MedbusError(
            f"channel {channel}: {error.what}", code=error.code, where=error.where, fix=error.fix
        ) from None


def _certificate_files(site: Site) -> Iterator[tuple[str, str]]:
    for name, inbound in site.inbound.items():
        if inbound.mllp.tls is not None:
            yield name, inbound.mllp.tls.cert
            if inbound.mllp.tls.client_ca is not None:
                yield name, inbound.mllp.tls.client_ca
    for name, outbound in site.outbound.items():
        if outbound.mllp is not None and outbound.mllp.tls is not None:
            tls = outbound.mllp.tls
            yield from ((name, file) for file in (tls.cert, tls.ca) if file is not None)
