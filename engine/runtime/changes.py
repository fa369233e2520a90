"""
What a reload changes: channels, routes and what they use, new, changed, renamed or gone; and what
the outbound channels owe.

Rules of this file: pure; what is written the same in both sites is not named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.config.models.site import Site
from engine.model.counting import count_of
from engine.model.finding import Finding, Severity
from engine.store.interface import OutboundCounts


@dataclass(frozen=True, slots=True)
class Change:
    """One part of the site that a reload changes."""

    #: inbound, outbound, route, transform, table, profile, template, python, file,
    #: vars or medbus.yaml
    kind: str
    name: str
    #: new, changed, removed, renamed from OLD
    change: str
    #: what an outbound channel still has to deliver
    owed: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything a reload does, and what must be said about it first."""

    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    #: old name -> new name, of outbound channels that owe under the old one
    renames: Mapping[str, str]


def find_changes(before: Site, after: Site, owed: Mapping[str, OutboundCounts]) -> Changes:
    """Compare two sites; *owed* is what each outbound channel still has to deliver."""
    renames = _renames(before, after, owed)
    changes = [
        replace(change, owed=_owed_by(change, renames, owed))
        for kind, old, new in zip(_KINDS, _parts(before), _parts(after), strict=True)
        for change in _compare(kind, old, new)
    ]
    changes += _order_of_routes(before, after)
    findings = [
        Finding(
            "RUN-037",
            f"outbound channel {name} is gone, and it is owed "
            f"{count_of(_total(counts), 'delivery', 'deliveries')}",
            "they are kept as orphaned; renamed_from hands them to another channel",
            severity=Severity.WARNING,
            loc=("outbound", name),
        )
        for name, counts in owed.items()
        if _total(counts) and name not in after.outbound and name not in renames
    ]
    findings += [
        Finding(
            "RUN-038",
            f"{name} changes its order keys while it owes"
            f" {counts.pending:,} pending and {counts.held:,} held",
            "the change waits until these have settled and no parked one holds others up",
            severity=Severity.WARNING,
            loc=("outbound", renames.get(name, name), "order_by"),
        )
        for name, counts in owed.items()
        if counts.needs_its_order
        and find_old_order(before, after, renames.get(name, name)) is not None
    ]
    return Changes(tuple(changes), tuple(findings), renames)


def find_old_order(before: Site, after: Site, name: str) -> tuple[str, ...] | None:
    """Return by what a channel was ordered, maybe under another name; None where it still is."""
    names = new_names(before.outbound, after.outbound)
    older = next((was for was, new in names.items() if new == name), name)
    old = before.outbound.get(name) or before.outbound.get(older)
    new = after.outbound.get(name)
    if old is None or new is None or old.order_by == new.order_by:
        return None
    return old.order_by


_KINDS = (
    "inbound", "outbound", "route", "transform", "table", "profile", "template", "python",
    "file", "vars", "medbus.yaml",
)  # fmt: skip
#: files that are compared as what they hold, or that change no output
_HAS_A_KIND = re.compile(
    r"medbus\.yaml|(channels|environments|sample_messages)/.*"
    r"|transforms/(|deid/)[^/]*\.yaml|transforms/(tables|templates|python)/.*"
)


def _parts(site: Site) -> tuple[Mapping[str, Any], ...]:
    """Return what a site is made of, by name, in the order of _KINDS."""
    settings = {key: value for key, value in site.settings if key != "vars"}
    return (
        site.inbound, site.outbound, site.routes, site.transforms, site.tables, site.profiles,
        site.templates, site.python, _other_files(site), site.vars, settings,
    )  # fmt: skip


def _other_files(site: Site) -> dict[str, bytes]:
    """Return the files that steps name by their path, such as profiles of `validate`."""
    return {
        name: content for name, content in site.files.items() if not _HAS_A_KIND.fullmatch(name)
    }


def _order_of_routes(before: Site, after: Site) -> list[Change]:
    old = [name for name in before.routes if name in after.routes]
    new = [name for name in after.routes if name in before.routes]
    moved = [name for name, other in zip(new, old, strict=True) if name != other]
    return [Change("route", moved[0], "runs earlier or later than before")] if moved else []


def _compare(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    found = []
    names = new_names(old, new)
    were = {name: was for was, name in names.items()}
    for name in dict.fromkeys([*old, *new]):
        if name not in new and name in names:
            continue
        if name not in new:
            found.append(Change(kind, name, "removed"))
        elif name not in old:
            was = were.get(name)
            found.append(Change(kind, name, f"renamed from {was}" if was in old else "new"))
        elif old[name] != new[name]:
            found.append(Change(kind, name, "changed"))
    return found


def new_names(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    """Return what is called how in *after*; a rename that is taken back is one, too."""
    froms = {name: getattr(part, "renamed_from", None) for name, part in before.items()}
    back = {name: was for name, was in froms.items() if was and was in after and name not in after}
    forth = {getattr(part, "renamed_from", None): name for name, part in after.items()}
    return back | {was: name for was, name in forth.items() if was and was not in after}


def _renames(before: Site, after: Site, owed: Mapping[str, OutboundCounts]) -> dict[str, str]:
    return {
        was: name
        for was, name in new_names(before.outbound, after.outbound).items()
        if was in before.outbound or was in owed
    }


def _owed_by(change: Change, renames: Mapping[str, str], owed: Mapping[str, OutboundCounts]) -> int:
    if change.kind != "outbound":
        return 0
    names = {change.name, *(old for old, new in renames.items() if new == change.name)}
    return sum(_total(owed[name]) for name in names if name in owed)


def _total(counts: OutboundCounts) -> int:
    return counts.pending + counts.held + counts.parked
