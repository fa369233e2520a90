"""Times as operators write and read them, in the site's zone."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta, tzinfo

from engine.model.errors import Usage

_AGO = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h|d|w)$")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CLOCK = re.compile(r"^(\d{1,2}):(\d{2})(?::(\d{2}))?$")
_DAYS_BACK = {"today": 0, "yesterday": 1}


def parse_when(text: str, *, now: float, zone: tzinfo) -> float:
    """
    Return the moment *text* means, as UTC seconds.

    ``2h`` (ago), ``yesterday 18:00``, ``today``, ``07:30`` (the latest past one),
    ``2026-11-20``, ``2026-11-20 18:00``, ISO 8601 with or without zone, ``now``.

    Raises:
        Usage: the text is none of these.
    """
    wanted = text.strip().lower()
    here = datetime.fromtimestamp(now, zone)
    if wanted == "now":
        return now
    if ago := _AGO.match(wanted):
        return now - float(ago[1]) * _UNIT_S[ago[2]]
    word, _, rest = wanted.partition(" ")
    if word in _DAYS_BACK:
        day = here.date() - timedelta(days=_DAYS_BACK[word])
        return _at(day.isoformat(), rest or "00:00", zone, text)
    if _CLOCK.match(wanted):
        moment = _at(here.date().isoformat(), wanted, zone, text)
        yesterday = (here.date() - timedelta(days=1)).isoformat()
        return moment if moment <= now else _at(yesterday, wanted, zone, text)
    try:
        parsed = datetime.fromisoformat(text.strip())
    except ValueError:
        raise _unreadable(text) from None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).timestamp()


def parse_later(text: str, *, now: float, zone: tzinfo) -> float:
    """
    Return the moment to come that *text* means: ``2h`` is in two hours, ``18:00`` the next one.

    Raises:
        Usage: the text is no time, or one that is past.
    """
    if ahead := _AGO.match(text.strip().lower()):
        return now + float(ahead[1]) * _UNIT_S[ahead[2]]
    moment = parse_when(text, now=now, zone=zone)
    if moment <= now and _CLOCK.match(text.strip()):
        moment += 86400.0
    if moment <= now:
        raise Usage(f"{text!r} is in the past", fix="give a time to come, such as 2h or 18:00")
    return moment


def _at(day: str, clock: str, zone: tzinfo, text: str) -> float:
    match = _CLOCK.match(clock.strip())
    if match is None:
        raise _unreadable(text)
    try:
        moment = time(int(match[1]), int(match[2]), int(match[3] or 0))
    except ValueError:
        raise _unreadable(text) from None
    return datetime.combine(datetime.fromisoformat(day).date(), moment, zone).timestamp()


def _unreadable(text: str) -> Usage:
    return Usage(
        f"{text!r} is no time medbus understands",
        fix="write 2h, 07:30, yesterday 18:00, 2026-11-20 or 2026-11-20 18:00",
    )


def show_at(at: float, zone: tzinfo) -> str | None:
    """Return ISO 8601 with zone, or None for "never" (0)."""
    if not at:
        return None
    return datetime.fromtimestamp(at, zone).isoformat(timespec="milliseconds")
