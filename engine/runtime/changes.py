"""
What a reload changes: which channels are new, changed, renamed or gone, and what they owe.

Rules of this file: pure; a channel whose configuration and routes are the same is not touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.config.models.inbound import Inbound
from engine.config.models.outbound import Outbound
from engine.config.models.site import Site
from engine.model.finding import Finding, Severity
from engine.store.interface import OutboundCounts


@dataclass(frozen=True, slots=True)
class Change:
    """One channel that a reload touches."""

    #: inbound or outbound
    kind: str
    channel: str
    #: new, changed, removed, renamed from OLD
    change: str


@dataclass(frozen=True, slots=True)
class Changes:
    """Everything a reload does, and what must be said about it first."""

    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    #: old name -> new name, of outbound channels that owe under the old one
    renames: Mapping[str, str]


def find_changes(before: Site, after: Site, owed: Mapping[str, OutboundCounts]) -> Changes:
    """Compare two sites; *owed* is what each outbound channel still has to deliver."""
    changes: list[Change] = []
    renames = _renames(before, after, owed)
    for kind, old, new in (
        ("inbound", before.inbound, after.inbound),
        ("outbound", before.outbound, after.outbound),
    ):
        changes += _compare(kind, old, new)
    findings = [
        Finding(
            "RUN-037",
            f"outbound channel {name} is gone, and {_total(counts)} deliveries are owed to it",
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
            f"{name} changes its order keys or lanes while {counts.pending} are pending",
            "the change waits until these have settled",
            severity=Severity.WARNING,
            loc=("outbound", name, "order_by"),
        )
        for name, counts in owed.items()
        if counts.pending and changes_order(before, after, name)
    ]
    return Changes(tuple(changes), tuple(findings), renames)


def changes_order(before: Site, after: Site, name: str) -> bool:
    """Return whether a channel's order keys differ between two sites."""
    old, new = before.outbound.get(name), after.outbound.get(name)
    return old is not None and new is not None and old.order_by != new.order_by


def _compare(
    kind: str,
    old: Mapping[str, Inbound] | Mapping[str, Outbound],
    new: Mapping[str, Inbound] | Mapping[str, Outbound],
) -> list[Change]:
    found = []
    for name in dict.fromkeys([*old, *new]):
        if name not in new:
            found.append(Change(kind, name, "removed"))
        elif name not in old:
            was = new[name].renamed_from
            found.append(Change(kind, name, f"renamed from {was}" if was in old else "new"))
        elif old[name] != new[name]:
            found.append(Change(kind, name, "changed"))
    return found


def _renames(before: Site, after: Site, owed: Mapping[str, OutboundCounts]) -> dict[str, str]:
    return {
        outbound.renamed_from: name
        for name, outbound in after.outbound.items()
        if outbound.renamed_from
        and outbound.renamed_from not in after.outbound
        and (outbound.renamed_from in before.outbound or outbound.renamed_from in owed)
    }


def _total(counts: OutboundCounts) -> int:
    return counts.pending + counts.held + counts.parked
