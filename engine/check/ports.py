"""Listeners that want the same port."""

from __future__ import annotations

from collections.abc import Iterator

from engine.config.models.site import Site
from engine.config.models.units import Address
from engine.model.finding import Finding, Loc

_ANY_HOST = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared, not bound


def check_ports(site: Site) -> Iterator[Finding]:
    """Yield a finding for every listener whose port is already taken by another."""
    listeners: list[tuple[Address, Loc, str]] = [
        (inbound.mllp.listen, ("inbound", name, "mllp", "listen"), name)
        for name, inbound in site.inbound.items()
    ]
    if site.http is not None:
        listeners.append((site.http.listen, ("medbus.yaml", "http", "listen"), "http"))
    for i, (address, loc, _) in enumerate(listeners):
        for other, _, owner in listeners[:i]:
            if address.port and address.port == other.port and _overlap(address, other):
                what = f"port {address.port} is already the one of {owner}"
                yield Finding("CFG-115", what, "give each listener its own port", loc=loc)
                break


def _overlap(a: Address, b: Address) -> bool:
    names = {"127.0.0.1" if host == "localhost" else host for host in (a.host, b.host)}
    return len(names) == 1 or bool(names & _ANY_HOST)
