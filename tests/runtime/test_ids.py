"""Message ids."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from engine.runtime.ids import IdSource
from engine.runtime.rates import RateMeter

SHANGHAI = ZoneInfo("Asia/Shanghai")


def at(text: str) -> float:
    """Return a moment of Shanghai."""
    return datetime.fromisoformat(f"{text}+08:00").timestamp()


def test_ids_count_up_from_the_stores_next_number_and_turn_with_the_sites_day() -> None:
    """If this failed, an id would be given twice, or the day would turn at midnight UTC."""
    ids = IdSource(SHANGHAI, {"20261121": 7, "20261122": 1}.__getitem__)
    drawn = [
        ids.draw(at("2026-11-21T23:59:58")),
        ids.draw(at("2026-11-21T23:59:59.999")),
        ids.draw(at("2026-11-22T00:00:00")),
        ids.draw(at("2026-11-21T23:59:59")),
        ids.draw(at("2026-11-22T00:00:01")),
    ]
    assert drawn == ["20261121-7", "20261121-8", "20261122-1", "20261121-9", "20261122-2"]


def test_a_rate_is_what_grew_over_the_last_ten_seconds() -> None:
    """If this failed, status would show a rate from hours ago."""
    meter = RateMeter()
    assert meter.per_s == 0.0
    for second in range(100):
        meter.sample(second * 5)
    assert meter.per_s == 5.0
    for _ in range(10):
        meter.sample(99 * 5)
    assert meter.per_s == 0.0
