"""Files and folders that a site names but that are not its own: certificates, directories."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.config.models.site import Site
from engine.model.finding import Finding, Loc

Exists = Callable[[str], bool]


def check_outside(site: Site, exists: Exists) -> Iterator[Finding]:
    """
    Yield a finding for every certificate or key that is not there.

    Args:
        exists: whether a path (relative to the site) is a file.
    """
    for name, inbound in site.inbound.items():
        tls = inbound.mllp.tls
        if tls is not None:
            named = {"cert": tls.cert, "key": tls.key, "client_ca": tls.client_ca}
            yield from _missing(named, ("inbound", name, "mllp", "tls"), exists)
    for name, outbound in site.outbound.items():
        client = outbound.mllp.tls if outbound.mllp is not None else None
        if client is not None:
            named = {"ca": client.ca, "cert": client.cert, "key": client.key}
            yield from _missing(named, ("outbound", name, "mllp", "tls"), exists)


def _missing(named: dict[str, str | None], loc: Loc, exists: Exists) -> Iterator[Finding]:
    for key, path in named.items():
        if path is not None and not exists(path):
            fix = "paths of files are relative to the site"
            yield Finding("CFG-109", f"there is no file {path}", fix, loc=(*loc, key))
