"""
Filters for HL7 times and foreign ones.

Rules of this file: precision and zone are kept; a missing month or day is never invented, a missing
time of day counts as midnight; names of months are English whatever the machine's language is.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta, timezone
from typing import NamedTuple

from engine.pipeline.failures import StepFailed
from engine.pipeline.run import Run
from engine.pipeline.text_filters import whole
from engine.pipeline.values import Moment, Null, Value, text_of

_HL7_TIME = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)(?:(?P<minute>\d\d)"
    r"(?:(?P<second>\d\d)(?P<fraction>\.\d{1,6})?)?)?)?)?)?(?P<zone>[+-]\d{4})?",
    re.ASCII,
)
_SECONDS = {"days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
_NEEDS_DAY = re.compile(r"%(?:[^%]*)[dejuwaAUWVxcD]")
_DIRECTIVES = frozenset("YmdHIMSpybBjaAfzZ%eTFD")
_MONTHS = "January February March April May June July August September October November December"
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"


class Hl7Time(NamedTuple):
    """A time as HL7 writes it, with how much of it was written."""

    moment: datetime
    #: characters of YYYYMMDDHHMMSS that were given: 4, 6, 8, 10, 12 or 14
    precision: int
    #: as written, with its point, or ""
    fraction: str
    #: as written, such as +0800, or ""
    zone: str

    def written(self, moment: datetime) -> str:
        """Return *moment* with the precision, fraction and zone of this time."""
        digits = f"{moment:%Y%m%d%H%M%S}".rjust(14, "0")[: self.precision]
        return f"{digits}{self.fraction}{self.zone}"


def parse_time(text: str, what: str) -> Hl7Time:
    """Return the HL7 time *text*; raises StepFailed naming *what* needed it."""
    match = _HL7_TIME.fullmatch(text.strip())
    if match is None:
        raise StepFailed(f"{what} needs an HL7 time such as 20261101083000, this is none")
    zone = match["zone"] or ""
    try:
        moment = datetime(
            int(match["year"]), int(match["month"] or 1), int(match["day"] or 1),
            int(match["hour"] or 0), int(match["minute"] or 0), int(match["second"] or 0),
            int((match["fraction"] or ".0")[1:].ljust(6, "0")),
            tzinfo=_zone(zone) if zone else None,
        )  # fmt: skip
    except ValueError:
        raise StepFailed(f"{what} needs an HL7 time, this one is not in the calendar") from None
    names = ("second", "minute", "hour", "day", "month")
    precision = next((14 - 2 * at for at, name in enumerate(names) if match[name]), 4)
    return Hl7Time(moment, precision, match["fraction"] or "", zone)


def _zone(text: str) -> timezone:
    minutes = int(text[1:3]) * 60 + int(text[3:5])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def hl7_date(value: Value, form: Value) -> str:
    """Return the HL7 time in strftime *form*; empty stays empty, null stays null."""
    text = text_of(value)
    if not text or isinstance(value, Null):
        return text
    time = parse_time(text, "hl7_date")
    wanted = text_of(form)
    if time.precision < 8:
        _refuse_invention(wanted, time.precision)
    return format_time(time.moment, wanted)


def _refuse_invention(form: str, precision: int) -> None:
    asked = set(re.findall(r"%(.)", form))
    if asked - set("Yy%" if precision == 4 else "Yymb%B"):
        missing = "month" if precision == 4 else "day"
        raise StepFailed(f"hl7_date: the time has no {missing}, which {form} asks for")


def format_time(moment: datetime, form: str) -> str:
    """Return *moment* in strftime *form*, with English names whatever the locale."""

    def write(match: re.Match[str]) -> str:
        letter = match[1]
        if letter in "bB":
            name = _MONTHS.split()[moment.month - 1]
            return name if letter == "B" else name[:3]
        if letter in "aA":
            name = _DAYS.split()[moment.weekday()]
            return name if letter == "A" else name[:3]
        if letter == "Y":
            return f"{moment.year:04d}"
        if letter == "p":
            return "AM" if moment.hour < 12 else "PM"
        return moment.strftime(match[0])

    return re.sub(r"%(.)", write, form)


def check_form(form: str) -> str:
    """Return what is wrong with a strftime *form*, or ""."""
    for letter in re.findall(r"%(.?)", form):
        if letter not in _DIRECTIVES or not letter:
            return f"%{letter} is no part of a time; known are %Y %m %d %H %M %S %y %j %b %B %p"
    return ""


def to_hl7(value: Value, form: Value) -> str:
    """Return foreign text, written in strptime *form*, as an HL7 time of the same precision."""
    text, given = text_of(value).strip(), text_of(form)
    if not text or isinstance(value, Null):
        return text_of(value) if isinstance(value, Null) else text
    try:
        moment = datetime.strptime(text, given)  # noqa: DTZ007 - the zone comes from the text
    except ValueError:
        raise StepFailed(f"to_hl7: the text is not written as {given}") from None
    asked = set(re.findall(r"%(.)", given))
    steps = (("ST", 14), ("M", 12), ("HI", 10), ("djDF", 8), ("mbB", 6))
    precision = next((size for letters, size in steps if asked & set(letters)), 4)
    zone = moment.strftime("%z") if moment.tzinfo else ""
    return f"{moment:%Y%m%d%H%M%S}".rjust(14, "0")[:precision] + zone


def date_of(value: Value, form: Value) -> str:
    """Return a point in time (received_at) in strftime *form*, in the site's zone."""
    if not isinstance(value, Moment):
        raise StepFailed("date is for received_at; for an HL7 time write hl7_date(…)")
    return hl7_date(value, form)


def add_days(value: Value, days: Value) -> str:
    """Return the HL7 time so many days later (or earlier), precision and zone kept."""
    text = text_of(value)
    if not text or isinstance(value, Null):
        return text
    time = parse_time(text, "add_days")
    if time.precision < 8:
        raise StepFailed("add_days needs a time with a day")
    try:
        return time.written(time.moment + timedelta(days=whole(days, "add_days", least=-(10**6))))
    except OverflowError:
        raise StepFailed("add_days leaves the calendar") from None


def date_diff(value: Value, other: Value, unit: Value = "days") -> int | str:
    """Return how many whole units the value is after *other*; "" where one is empty."""
    first, second = text_of(value), text_of(other)
    if not first or not second or isinstance(value, Null) or isinstance(other, Null):
        return ""
    seconds = _SECONDS.get(text_of(unit))
    if seconds is None:
        raise StepFailed("date_diff knows days, hours, minutes and seconds")
    one, two = parse_time(first, "date_diff"), parse_time(second, "date_diff")
    if unit == "days":
        return (one.moment.date() - two.moment.date()).days
    if bool(one.zone) != bool(two.zone):
        raise StepFailed("date_diff: one of the times has a zone and the other has none")
    return int((one.moment - two.moment).total_seconds() // seconds)


def age(run: Run, value: Value, at: Value = None) -> int | str:
    """Return the full years since the birth date *value*, at arrival or *at* another time."""
    text = text_of(value)
    if not text or isinstance(value, Null):
        return ""
    born = parse_time(text, "age").moment.date()
    when = text_of(at) if at is not None else run.received_at
    if not when:
        return ""
    return _years_between(born, parse_time(when, "age").moment.date())


def _years_between(born: date, day: date) -> int:
    return day.year - born.year - ((day.month, day.day) < (born.month, born.day))
