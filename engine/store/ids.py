"""Ids as people read them out, and the row numbers they stand for."""

from __future__ import annotations

from datetime import date, timedelta

from engine.model.errors import NotFound

#: bits of a row number that count the deliveries of one message
K_BITS = 16
K_MASK = (1 << K_BITS) - 1


def parse_message_id(message_id: str) -> tuple[str, int]:
    """Return day and N, or raise NotFound."""
    day, _, number = message_id.partition("-")
    if len(day) != 8 or not (day + number).isascii() or not (day + number).isdecimal():
        raise NotFound(f"{message_id!r} is no message id", fix="ids look like 20261121-1")
    return day, int(number)


def parse_delivery_id(delivery_id: str) -> tuple[str, int]:
    """Return day and row number, or raise NotFound."""
    message_id, _, number = delivery_id.partition(".")
    if not (number.isascii() and number.isdecimal()) or int(number) > K_MASK:
        raise NotFound(f"{delivery_id!r} is no delivery id", fix="ids look like 20261121-1.1")
    day, n = parse_message_id(message_id)
    return day, n << K_BITS | int(number)


def delivery_id(day: str, row: int) -> str:
    """Return the id of a delivery's row."""
    return f"{day}-{row >> K_BITS}.{row & K_MASK}"


def day_after(day: str) -> str:
    """Return the next day as YYYYMMDD."""
    return (_date_of(day) + timedelta(days=1)).strftime("%Y%m%d")


def days_between(first: str, second: str) -> int:
    """Return how many days *second* is after *first*."""
    return (_date_of(second) - _date_of(first)).days


def _date_of(day: str) -> date:
    return date(int(day[:4]), int(day[4:6]), int(day[6:8]))
