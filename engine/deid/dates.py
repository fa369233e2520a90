"""
Dates as HL7 writes them: shifted, cut to the year, capped, without inventing precision.

Rules of this file: what cannot be read as a date is emptied (fail closed); precision,
time of day, fraction and zone stay as they were; HL7 v2 forms only (YYYY[MM[DD[HH[MM…]]]]).
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, tzinfo
from functools import lru_cache

_FORM = re.compile(
    r"(\d{4})(?:(0[1-9]|1[0-2])(?:(0[1-9]|[12]\d|3[01])((?:\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?)?))?)?([+-]\d{4})?\Z"
)
#: ages above this are one group (45 CFR 164.514(b)(2)(i)(C))
OLDEST_AGE = 89


def shift_date(text: str, days: int) -> str:
    """Return *text* moved by whole days; only what has a day can move, the rest keeps its year."""
    found = _FORM.match(text)
    if not found:
        return ""
    year, month, day, clock, zone = found.groups()
    if not day:
        return _shift_coarse(year, month, days)
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}{clock}{zone or ''}"


def _shift_coarse(year: str, month: str | None, days: int) -> str:
    """Move the middle of the month or year, and keep the precision."""
    try:
        moved = date(int(year), int(month or "7"), 15) + timedelta(days=days)
    except (ValueError, OverflowError):
        return ""
    return f"{moved.year:04d}{moved.month:02d}" if month else f"{moved.year:04d}"


def is_date(text: str) -> bool:
    """Return whether *text* is an HL7 date or time stamp."""
    return _FORM.match(text) is not None


def year_of(text: str) -> str:
    """Return the year of an HL7 date, or empty where there is none."""
    return text[:4] if _FORM.match(text) else ""


def birth_year(text: str, now: date) -> str:
    """Return the year of birth, or empty for those who may be over 89 or where it is no date."""
    year = year_of(text)
    return year if year and now.year - int(year) <= OLDEST_AGE else ""


def cap_age(text: str) -> str:
    """Return an age in years, 90 for all above 89; units or signs around the digits stay."""
    return re.sub(r"\d+(?:\.\d+)?", lambda m: "90" if float(m[0]) > OLDEST_AGE else m[0], text)


def arrival_text(received_at: float, timezone: tzinfo) -> str:
    """Return the arrival time as MSH-7, to the second, with the site's zone."""
    return _second_text(int(received_at), timezone)


@lru_cache(maxsize=256)
def _second_text(received_at: int, timezone: tzinfo) -> str:
    return datetime.fromtimestamp(received_at, timezone).strftime("%Y%m%d%H%M%S%z")


def day_of(received_at: float, timezone: tzinfo) -> date:
    """Return the day of arrival at the site."""
    return _day(int(received_at), timezone)


@lru_cache(maxsize=256)
def _day(received_at: int, timezone: tzinfo) -> date:
    return datetime.fromtimestamp(received_at, timezone).date()


_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip


_HAN_DIGITS = "〇一二三四五六七八九"


def _han_number(number: int) -> str:
    """Return 1 to 31 in Chinese characters."""
    tens, ones = divmod(number, 10)
    if not tens:
        return _HAN_DIGITS[ones]
    return (_HAN_DIGITS[tens] if tens > 1 else "") + "十" + (_HAN_DIGITS[ones] if ones else "")


def birth_spellings(text: str) -> list[str]:
    """
    Return the squeezed spellings of a full date that a note may use.

    All lower case and without separators, as :func:`engine.deid.normalise.squeeze` leaves them:
    19491231, 31121949, 12311949, dec311949, 31dec1949, december311949, 1949年12月31日 …
    """
    found = _FORM.match(text)
    if not found or not found[3]:
        return []
    year, month, day = found[1], found[2], found[3]
    number = int(month)
    if not 1 <= number <= 12:
        return []
    name, m, d = _MONTHS[number - 1], str(number), str(int(day))
    spellings = [
        f"{year}{month}{day}", f"{day}{month}{year}", f"{month}{day}{year}",
        f"{year}年{m}月{d}日", f"{year}年{month}月{day}日",
        f"{year[2:]}年{m}月{d}日", f"{year[2:]}年{month}月{day}日",
    ]  # fmt: skip
    for zero in "〇零":
        spelled = "".join(zero if n == "0" else _HAN_DIGITS[int(n)] for n in year)
        spellings.append(f"{spelled}年{_han_number(int(month))}月{_han_number(int(day))}日")
    for word in (name, name[:3]):
        spellings += [f"{word}{d}{year}", f"{d}{word}{year}", f"{year}{word}{d}"]
        if len(day) > len(d):
            spellings += [f"{word}{day}{year}", f"{day}{word}{year}"]
        for s in ("st", "nd", "rd", "th"):
            spellings += [f"{word}{d}{s}{year}", f"{d}{s}of{word}{year}", f"{d}{s}{word}{year}"]
    return spellings


def birth_literals(text: str) -> list[str]:
    """Return the spellings that need their separators: 1949-1-5, 5/1/1949, 1/5/1949, 05.01.49."""
    found = _FORM.match(text)
    if not found or not found[3]:
        return []
    year, month, day = found[1], found[2], found[3]
    m, d = str(int(month)), str(int(day))
    forms = []
    for sep in "-/.":
        if m != month or d != day:
            forms += [
                f"{year}{sep}{m}{sep}{d}",
                f"{d}{sep}{m}{sep}{year}",
                f"{m}{sep}{d}{sep}{year}",
            ]
        short = year[2:]
        forms += [f"{month}{sep}{day}{sep}{short}", f"{day}{sep}{month}{sep}{short}"]
    return forms
