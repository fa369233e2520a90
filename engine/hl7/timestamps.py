"""
HL7 times: precision, fraction and zone are kept as they were written.

Source: HL7 v2.5.1 ch. 2A, data type DTM: YYYY[MM[DD[HH[MM[SS[.S[S[S[S]]]]]]]]][+/-ZZZZ].
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from engine.hl7.errors import Hl7Error

_TIME = re.compile(
    r"(?P<year>\d{4})(?:(?P<month>\d\d)(?:(?P<day>\d\d)(?:(?P<hour>\d\d)"
    r"(?:(?P<minute>\d\d)(?:(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?)?)?)?)?"
    r"(?P<zone>[+-]\d{4})?",
    re.ASCII,
)
_PARTS = ("year", "month", "day", "hour", "minute", "second")
_FORMATS = ("%Y", "%Y%m", "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S")


@dataclass(frozen=True, slots=True)
class Timestamp:
    """A time as precise as it was written."""

    #: the missing parts stand at their lowest; with a zone only where one was written
    moment: datetime
    #: how many of year, month, day, hour, minute, second were written
    precision: int
    #: digits of the fraction as written, "" without
    fraction: str = ""
    #: "+0800" as written, "" without
    zone: str = ""

    def __str__(self) -> str:
        text = f"{self.moment.year:04d}" + self.moment.strftime("%m%d%H%M%S")
        text = text[: 2 + 2 * self.precision]
        return text + (f".{self.fraction}" if self.fraction else "") + self.zone

    @property
    def has_time(self) -> bool:
        """Whether an hour was written."""
        return self.precision >= 4

    def at(self, default_zone: tzinfo) -> float:
        """Return UTC seconds since the epoch; *default_zone* where none was written."""
        moment = self.moment if self.zone else self.moment.replace(tzinfo=default_zone)
        return moment.timestamp()

    def moved(self, by: timedelta) -> Timestamp:
        """Return the time *by* later, equally precise."""
        return Timestamp(self.moment + by, self.precision, self.fraction, self.zone)


def parse_timestamp(text: str) -> Timestamp:
    """
    Return the time in *text*, an HL7 DTM, DT or TS.

    Raises:
        Hl7Error: it is written otherwise, or no such day or hour exists.
    """
    found = find_timestamp(text)
    if found is None:
        raise Hl7Error(
            "this is no HL7 time",
            code="HL7-030",
            fix="HL7 writes YYYY[MM[DD[HH[MM[SS[.S]]]]]][+ZZZZ]; use to_hl7 for other forms",
        )
    return found


def find_timestamp(text: str) -> Timestamp | None:
    """Return the time in *text*, None where it is no HL7 time."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        return None
    parts = [int(match[name]) for name in _PARTS if match[name] is not None]
    fraction, zone = match["fraction"] or "", match["zone"] or ""
    full = parts + [1, 1, 0, 0, 0][len(parts) - 1 :]
    try:
        microsecond = int(fraction[:6].ljust(6, "0"))
        year, month, day, hour, minute, second = full
        # The zone follows below, where one was written.
        moment = datetime(year, month, day, hour, minute, second, microsecond)  # noqa: DTZ001
        offset = _offset(zone)
    except ValueError:
        return None
    return Timestamp(
        moment if offset is None else moment.replace(tzinfo=offset), len(parts), fraction, zone
    )


def _offset(zone: str) -> timezone | None:
    if not zone:
        return None
    minutes = int(zone[1:3]) * 60 + int(zone[3:])
    if int(zone[3:]) > 59:
        raise ValueError
    return timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes))


def format_timestamp(at: float, zone: tzinfo, *, precision: int = 6, with_zone: bool = True) -> str:
    """Return the HL7 time of *at* (UTC seconds) in *zone*, as many parts as *precision* says."""
    moment = datetime.fromtimestamp(at, UTC).astimezone(zone)
    text = moment.strftime(_FORMATS[precision - 1]).rjust(2 + 2 * precision, "0")
    return text + moment.strftime("%z")[:5] if with_zone else text
