"""Names that people type: where nothing has a name, it is mistyped, and the nearest one is told."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from engine.config.models.site import Site
from engine.model.errors import NotFound
from engine.store.interface import Counts, MessageFilter


def demand_known(name: str, known: Collection[str], kind: str = "outbound channel") -> None:
    """Refuse a name that is not among the known ones."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        fix = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
        raise NotFound(f"there is no {kind} {name!r}", fix=fix)


def outbound_names(site: Site, name: str) -> frozenset[str]:
    """Return an outbound channel's name and, after a renaming, its other one."""
    today = site.outbound.get(name)
    other = {new for new, model in site.outbound.items() if model.renamed_from == name}
    if today is not None and today.renamed_from:
        other.add(today.renamed_from)
    return frozenset({name, *other})


def demand_outbound(name: str, site: Site, counts: Counts) -> None:
    """Refuse an outbound channel that neither is nor was nor owes anything."""
    if len(outbound_names(site, name)) == 1:
        demand_known(name, {*site.outbound, *counts.outbounds})


def demand_names(where: MessageFilter, site: Site, counts: Counts) -> None:
    """Refuse a filter with a name that neither the site nor the store has; for empty answers."""
    for kind, asked, known in (
        ("inbound channel", where.inbounds, {*site.inbound, *counts.inbounds}),
        ("outbound channel", where.outbounds, {*site.outbound, *counts.outbounds}),
        ("route", where.routes, {*site.routes}),
    ):
        for name in asked:
            demand_known(name, known, kind)
