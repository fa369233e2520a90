"""When the certificates of a configuration run out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.config.models.site import Site


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
