"""What a reload says it will change."""

from __future__ import annotations

from typing import Any

import pytest

from engine.config.load import load_site
from engine.config.models.site import Site
from engine.runtime.changes import find_changes
from engine.store.interface import OutboundCounts

BEFORE = """
inbound:
  his: {mllp: {listen: "127.0.0.1:2575"}}
outbound:
  lis: {mllp: {connect: "127.0.0.1:6661"}, order_by: [PID-3.1]}
  old: {mllp: {connect: "127.0.0.1:6662"}}
routes:
  all: {from: his, to: [lis, old]}
"""


def site(channels: str, **more: str) -> Site:
    """Return a site with these channels and files."""
    files = {"medbus.yaml": b"site: t\n", "channels/a.yaml": channels.encode()}
    files |= {name: text.encode() for name, text in more.items()}
    loaded = load_site(files, environ={})
    assert loaded.site is not None, loaded.findings
    return loaded.site


def told(after: str, **owed: OutboundCounts) -> tuple[list[str], list[str], dict[str, str]]:
    """Return changes, finding codes and renames of a reload from BEFORE to *after*."""
    changes = find_changes(site(BEFORE), site(after), owed)
    return (
        [f"{c.name} {c.change}" for c in changes.changes],
        [finding.code for finding in changes.findings],
        dict(changes.renames),
    )


def test_the_same_site_changes_nothing() -> None:
    """If this failed, every reload would interrupt every connection."""
    assert told(BEFORE) == ([], [], {})


def test_a_changed_address_is_a_change_of_that_channel_only() -> None:
    """If this failed, a reload would touch channels nobody changed."""
    assert told(BEFORE.replace("6661", "7771")) == (["lis changed"], [], {})


def test_changed_routes_and_what_they_use_are_told() -> None:
    """If this failed, a dry run would say that nothing changes where the mapping does."""
    steps = BEFORE.replace("[lis, old]}", "[lis, old], steps: [{set: {MSH-5: LIS}}]}")
    assert told(steps)[0] == ["all changed"]
    two = BEFORE + "  more: {from: his, to: lis}\n"
    assert told(two)[0] == ["more new"]
    files = {
        "medbus.yaml": "site: t\nlog: {format: json}\nvars: {a: b}\n",
        "transforms/x.yaml": "steps: [{clear: [PID-19]}]\n",
        "transforms/tables/sex.csv": "hl7,lis\nM,1\n",
        "transforms/python/p.py": "def f(message, context):\n    return message\n",
        "rules/strict.yaml": "checks: {table: off}\n",
        "sample_messages/a.hl7": "MSH|",
    }
    changes = find_changes(site(BEFORE), site(BEFORE, **files), {}).changes
    assert [(c.kind, c.name) for c in changes] == [
        ("transform", "x"),
        ("table", "sex"),
        ("python", "p"),
        ("file", "rules/strict.yaml"),
        ("vars", "a"),
        ("medbus.yaml", "log"),
    ]


def test_routes_in_another_order_are_told() -> None:
    """If this failed, two outputs to one channel could change places unannounced."""
    one, two = "  one: {from: his, to: lis}\n", "  two: {from: his, to: lis}\n"
    before, after = site(BEFORE + one + two), site(BEFORE + two + one)
    changes = find_changes(before, after, {}).changes
    assert [(c.kind, c.change) for c in changes] == [("route", "runs earlier or later than before")]


def test_removing_a_channel_that_owes_is_a_finding_with_the_count() -> None:
    """If this failed, deliveries could be forgotten by deleting a channel."""
    after = BEFORE.replace('  old: {mllp: {connect: "127.0.0.1:6662"}}\n', "").replace(", old", "")
    changes = find_changes(site(BEFORE), site(after), {"old": OutboundCounts(pending=3, parked=2)})
    assert [(c.name, c.change) for c in changes.changes] == [("old", "removed"), ("all", "changed")]
    assert [f.code for f in changes.findings] == ["RUN-037"]
    assert "5 deliveries" in changes.findings[0].what
    assert told(after, old=OutboundCounts())[1] == []


def test_a_renamed_channel_keeps_its_queue() -> None:
    """If this failed, renaming a channel would orphan what it owes."""
    after = BEFORE.replace("  old: {", "  new: {renamed_from: old, ").replace(", old]", ", new]")
    changes, findings, renames = told(after, old=OutboundCounts(pending=3))
    assert renames == {"old": "new"}
    assert findings == []
    assert "new renamed from old" in changes
    assert "old removed" not in changes
    found = find_changes(site(BEFORE), site(after), {"old": OutboundCounts(pending=3)})
    assert [c.owed for c in found.changes if c.name == "new"] == [3]


@pytest.mark.parametrize("waits", [{"pending": 1}, {"holds": True}, {"halted_by": ("1.1",)}])
def test_changed_order_keys_are_told_while_something_waits_under_the_old(
    waits: dict[str, Any],
) -> None:
    """If this failed, two deliveries of a patient could overtake each other at a reload."""
    after = BEFORE.replace("[PID-3.1]", "[PV1-19.1]")
    assert told(after, lis=OutboundCounts(**waits))[1] == ["RUN-038"]
    assert told(after, lis=OutboundCounts(parked=1))[1] == []
