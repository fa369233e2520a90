"""Which facts raise which alarm."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from engine.config.load import load_site
from engine.config.models.site import Site
from engine.runtime.alarms import Alarm, AlarmBoard, Facts, find_alarms
from engine.store.interface import (
    Counts,
    InboundCounts,
    LedgerDifference,
    OutboundCounts,
    StoreAlarm,
)

SITE = b"""
site: test
timezone: Asia/Shanghai
alerts: {oldest_pending: 15m, pending: 100, parked: 1, connection_down: 1m, disk_free: 1GB}
"""
CHANNELS = b"""
inbound:
  his:
    about: {phone: "8123"}
    mllp: {listen: "127.0.0.1:2575"}
    alert: {silent_for: 15m, between: "07:00-20:00"}
outbound:
  lis:
    mllp: {connect: "127.0.0.1:6661"}
routes:
  all: {from: his, to: lis}
"""


@pytest.fixture
def site() -> Site:
    """Return a site with one channel of each kind."""
    loaded = load_site({"medbus.yaml": SITE, "channels/a.yaml": CHANNELS}, environ={})
    assert loaded.site is not None, loaded.findings
    return loaded.site


def facts(site: Site, at: str, **more: Any) -> Facts:
    """Return quiet facts at a moment of the site's day, with some of them changed."""
    now = datetime.fromisoformat(f"2026-11-21T{at}+08:00").timestamp()
    lis = OutboundCounts(**more.pop("lis", {}))
    last_at = now - more.pop("silent_s", 10.0)
    counts = Counts({"lis": lis}, {"his": InboundCounts(last_at=last_at)}, 1)
    return Facts(now=now, site=site, counts=counts, **more)


def codes(of: Facts) -> list[str]:
    """Return the codes of the alarms."""
    return [alarm.code for alarm in find_alarms(of)]


def test_a_quiet_engine_raises_nothing(site: Site) -> None:
    """If this failed, operators would learn to ignore alarms."""
    assert codes(facts(site, "12:00:00")) == []


@pytest.mark.parametrize(
    ("code", "more"),
    [
        ("ALM-001", {"silent_s": 1000.0}),
        ("ALM-002", {"ledger": [LedgerDifference("20261121", "his", "live", "1 is not 2")]}),
        ("ALM-004", {"lis": {"pending": 100}}),
        ("ALM-005", {"lis": {"parked": 1, "held": 3}}),
        ("ALM-007", {"disk_free_bytes": 999_000_000}),
        ("ALM-009", {"clock_jump_s": -86400.0}),
        ("ALM-010", {"lis": {"halted_by": ("20261121-1.1",)}}),
        ("ALM-011", {"lis": {"orphaned": True, "pending": 2}}),
        ("STO-001", {"store_alarms": [StoreAlarm("STO-001", "a day is damaged")]}),
    ],
)
def test_each_cause_raises_its_alarm(site: Site, code: str, more: dict[str, Any]) -> None:
    """If this failed, something that needs a person would stay unseen."""
    assert code in codes(facts(site, "12:00:00", **more))


def test_an_old_queue_and_a_lost_connection_are_alarms(site: Site) -> None:
    """If this failed, a receiver could be away for hours without anybody being told."""
    quiet = facts(site, "12:00:00")
    late = facts(site, "12:00:00", lis={"pending": 1, "oldest_at": quiet.now - 901})
    assert codes(late) == ["ALM-003"]
    down = facts(site, "12:00:00", down_since={"lis": quiet.now - 61})
    assert codes(down) == ["ALM-006"]


def test_a_paused_channel_is_not_an_alarm(site: Site) -> None:
    """If this failed, planned work would ring the phone."""
    quiet = facts(site, "12:00:00")
    paused = frozenset({"his", "lis"})
    down = facts(
        site, "12:00:00", silent_s=9000.0, paused=paused, down_since={"lis": quiet.now - 999}
    )
    assert codes(down) == []


def test_silence_counts_only_within_its_span_of_the_day(site: Site) -> None:
    """If this failed, every quiet night would raise an alarm at 07:00."""
    assert codes(facts(site, "03:00:00", silent_s=30_000.0)) == []
    assert codes(facts(site, "07:10:00", silent_s=30_000.0)) == []
    assert codes(facts(site, "07:16:00", silent_s=30_000.0)) == ["ALM-001"]


def test_the_certificate_alarm_tells_how_many_days_are_left(site: Site) -> None:
    """If this failed, a certificate would run out unannounced."""
    quiet = facts(site, "12:00:00")
    soon = facts(site, "12:00:00", certificates=[("his", quiet.now + 5.5 * 86400)])
    assert [a.what for a in find_alarms(soon)] == ["its certificate runs out in 5 days"]


def test_an_alarm_keeps_its_beginning_while_its_words_change(site: Site) -> None:
    """If this failed, an alarm whose count grows would seem to begin anew each time."""
    board = AlarmBoard()
    new, over = board.update([Alarm("ALM-005", "lis", "1 parked")], 100.0)
    assert len(new) == 1
    assert not over
    new, over = board.update([Alarm("ALM-005", "lis", "2 parked")], 200.0)
    assert not new
    assert not over
    shown = board.view(site)[0]
    assert shown["what"] == "2 parked"
    assert shown["since"] == "1970-01-01T08:01:40.000+08:00"
    new, over = board.update([], 300.0)
    assert [alarm.code for alarm in over] == ["ALM-005"]
