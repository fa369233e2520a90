"""Times keep their precision, fraction and zone."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.hl7.errors import Hl7Error
from engine.hl7.timestamps import find_timestamp, format_timestamp, parse_timestamp

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    "text",
    [
        "2026",
        "202611",
        "20261101",
        "2026110108",
        "202611010830",
        "20261101083000",
        "20261101083000.5",
        "20261101083000.0250",
        "20261101083000.123456+0530",
        "202611010830-0330",
        "2026+0800",
        "00010101",
    ],
)
def test_what_is_read_is_written_the_same(text):
    """Precision, digits of the fraction and the zone come back as they were."""
    assert str(parse_timestamp(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Aug 15, 1942",
        "1942-08-15",
        "19421301",
        "19420231",
        "2026110125",
        "20261",
        "2026110108300000",
        "20261101+08",
        "20261101+0875",
        "٢٠٢٦",
    ],
)
def test_what_is_no_time_is_none(text):
    """Other forms and days that do not exist are no HL7 time."""
    assert find_timestamp(text) is None
    with pytest.raises(Hl7Error):
        parse_timestamp(text)


def test_a_moment_needs_a_zone():
    """Where none is written the site's is taken; a written one wins."""
    assert parse_timestamp("20261101083000").at(SHANGHAI) == 1_793_493_000.0
    assert parse_timestamp("20261101083000+0900").at(SHANGHAI) == 1_793_493_000.0 - 3600


def test_moving_keeps_the_precision():
    """A day later, a date is still a date."""
    assert str(parse_timestamp("20261231").moved(timedelta(days=1))) == "20270101"
    assert parse_timestamp("2026110108").has_time
    assert not parse_timestamp("20261101").has_time


def test_writing_now():
    """The arrival time in the site's zone, as precise as asked."""
    assert format_timestamp(1_793_493_000.0, SHANGHAI) == "20261101083000+0800"
    assert format_timestamp(1_793_493_000.9, SHANGHAI, with_zone=False) == "20261101083000"
    assert format_timestamp(1_793_493_000.0, SHANGHAI, precision=3, with_zone=False) == "20261101"
