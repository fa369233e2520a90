"""Times as operators write them."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from engine.model.errors import Usage
from engine.runtime.times import parse_later, parse_when, show_at

SHANGHAI = ZoneInfo("Asia/Shanghai")
#: 2026-11-21 10:30 in Shanghai
NOW = datetime(2026, 11, 21, 10, 30, tzinfo=SHANGHAI).timestamp()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2h", "2026-11-21T08:30:00.000+08:00"),
        ("1.5h", "2026-11-21T09:00:00.000+08:00"),
        ("7d", "2026-11-14T10:30:00.000+08:00"),
        ("today", "2026-11-21T00:00:00.000+08:00"),
        ("yesterday 18:00", "2026-11-20T18:00:00.000+08:00"),
        ("07:30", "2026-11-21T07:30:00.000+08:00"),
        ("23:15", "2026-11-20T23:15:00.000+08:00"),
        ("2026-11-01", "2026-11-01T00:00:00.000+08:00"),
        ("2026-11-01 06:05", "2026-11-01T06:05:00.000+08:00"),
        ("2026-11-01T06:05:00Z", "2026-11-01T14:05:00.000+08:00"),
        ("now", "2026-11-21T10:30:00.000+08:00"),
    ],
)
def test_a_time_means_what_an_operator_means_by_it(text: str, meant: str) -> None:
    """If this failed, --since would look at other hours than the operator asked for."""
    assert show_at(parse_when(text, now=NOW, zone=SHANGHAI), SHANGHAI) == meant


@pytest.mark.parametrize("text", ["", "soon", "25:00", "yesterday noon", "2 fortnights"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    """If this failed, a typing error would silently select the wrong messages."""
    with pytest.raises(Usage) as refused:
        parse_when(text, now=NOW, zone=SHANGHAI)
    assert "yesterday 18:00" in refused.value.fix


def test_never_is_not_1970() -> None:
    """If this failed, a channel that never had a message would show the year 1970."""
    assert show_at(0.0, SHANGHAI) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("2h", "2026-11-21T12:30:00.000+08:00"),
        ("18:00", "2026-11-21T18:00:00.000+08:00"),
        ("07:30", "2026-11-22T07:30:00.000+08:00"),
        ("2026-11-22 06:00", "2026-11-22T06:00:00.000+08:00"),
    ],
)
def test_a_time_to_come_means_the_next_one(text: str, meant: str) -> None:
    """If this failed, `pause --until` would end a pause early, or a day late."""
    assert show_at(parse_later(text, now=NOW, zone=SHANGHAI), SHANGHAI) == meant


@pytest.mark.parametrize("text", ["yesterday", "2026-11-21 10:00", "now"])
def test_a_time_to_come_is_not_past(text: str) -> None:
    """If this failed, `pause --until yesterday` would pause nothing without a word."""
    with pytest.raises(Usage, match="2h or 18:00"):
        parse_later(text, now=NOW, zone=SHANGHAI)
