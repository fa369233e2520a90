"""Dates keep their precision and their distances; what is no date goes."""

from __future__ import annotations

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.deid.dates import (
    arrival_text,
    birth_literals,
    birth_spellings,
    birth_year,
    cap_age,
    shift_date,
    year_of,
)
from engine.deid.normalise import fold, squeeze


@pytest.mark.parametrize(
    ("text", "shifted"),
    [
        ("20260301", "20260219"),
        ("202603010815", "202602190815"),
        ("20260301081500.1234+0800", "20260219081500.1234+0800"),
        ("20240301", "20240220"),
        ("202603", "202603"),
        ("2026", "2026"),
        ("", ""),
        ("Aug 15, 1942", ""),
        ("20261341", ""),
        ("20260230", ""),
    ],
)
def test_a_date_moves_by_whole_days_and_keeps_its_form(text: str, shifted: str) -> None:
    """Precision, time of day and zone stay; what is no date is emptied."""
    assert shift_date(text, -10) == shifted


@given(st.dates(date(1900, 1, 1), date(2100, 1, 1)), st.integers(0, 4000), st.integers(-365, -1))
def test_distances_between_dates_stay(first: date, gap: int, days: int) -> None:
    """The days between two dates of a patient are the same after the shift."""
    second = first + timedelta(days=gap)
    moved = [date.fromisoformat(shift_date(f"{day:%Y%m%d}", days)) for day in (first, second)]
    assert (moved[1] - moved[0]).days == gap


def test_year_and_age() -> None:
    """Dates are cut to the year; those who may be over 89 keep none; ages above 89 are 90."""
    today = date(2026, 11, 21)
    assert year_of("19900307081500") == "1990"
    assert birth_year("19900307", today) == "1990"
    assert birth_year("19370101", today) == "1937"
    assert birth_year("19361231", today) == ""
    assert birth_year("someday", today) == ""
    assert [cap_age(age) for age in ("42", "89", "90", "103", "97 years")] == [
        "42", "89", "90", "90", "90 years",
    ]  # fmt: skip


def test_arrival_time_has_the_site_s_zone() -> None:
    """MSH-7 is the arrival time at the site, to the second."""
    assert arrival_text(1_793_500_200.7, ZoneInfo("Asia/Shanghai")) == "20261101103000+0800"


@pytest.mark.parametrize(
    "spelled",
    ["1949-12-31", "1949/12/31", "31/12/1949", "12-31-1949", "1949年12月31日", "Dec 31, 1949",
     "31 December 1949", "December 31st 1949", "１９４９年１２月３１日", "1949.12.31"],
)  # fmt: skip
def test_the_spellings_of_a_birth_date_cover_how_people_write_it(spelled: str) -> None:
    """A birth date is recognised however a note writes it."""
    assert squeeze(fold(spelled)) in birth_spellings("19491231081500")


def test_short_spellings_need_their_separators() -> None:
    """5/1/1949 is looked for as it stands: without separators it would be any number."""
    assert {"5/1/1949", "1949-1-5", "01/05/49"} <= set(birth_literals("19490105"))
    assert birth_spellings("1949") == birth_literals("194912") == []
