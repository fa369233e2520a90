"""Numbers as laboratories write them: exact decimals, ``<`` and ``>`` kept, never an exponent."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Context, Decimal

from engine.pipeline.failures import StepFailed
from engine.pipeline.values import Quantity, Value, kind_of

_NUMBER = re.compile(r"\s*([<>]=?)?\s*([+-]?(?:[0-9]{1,24}(?:\.[0-9]{0,24})?|\.[0-9]{1,24}))\s*")

#: enough digits for every number the grammar above lets in, so that rounding never fails
_WIDE = Context(prec=80)

#: more digits after the point than any measurement has
_MOST_DECIMALS = 24


def find_number(text: str) -> Decimal | Quantity | None:
    """Return the number *text* is, or None where it is no number."""
    match = _NUMBER.fullmatch(text)
    if match is None or not match[0].isascii():
        return None
    number = Decimal(match[2])
    return Quantity(match[1], number) if match[1] else number


def number_of(value: Value, *, what: str) -> Decimal | Quantity:
    """Return *value* as a number; raises StepFailed naming *what* was asked of it."""
    if isinstance(value, Decimal | Quantity):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, str):
        number = find_number(value)
        if number is not None:
            return number
        raise StepFailed(f"{what} needs a number, this is {'text' if value else 'empty'}")
    raise StepFailed(f"{what} needs a number, this is {kind_of(value)}")


def plain_number_of(value: Value, *, what: str) -> Decimal:
    """Return *value* as a Decimal; refuses a comparator as well."""
    number = number_of(value, what=what)
    if isinstance(number, Quantity):
        raise StepFailed(f"{what} needs a plain number, this one has {number.comparator}")
    return number


def times(value: Value, factor: Value) -> Decimal | Quantity:
    """Multiply; a comparator is kept (and turned round by a negative factor)."""
    number, by = number_of(value, what="times"), plain_number_of(factor, what="times")
    if isinstance(number, Quantity):
        comparator = number.comparator if by >= 0 else number.comparator.translate(_TURNED)
        return Quantity(comparator, _WIDE.multiply(number.number, by))
    return _WIDE.multiply(number, by)


def plus(value: Value, addend: Value) -> Decimal | Quantity:
    """Add; a comparator is kept."""
    number, more = number_of(value, what="plus"), plain_number_of(addend, what="plus")
    if isinstance(number, Quantity):
        return Quantity(number.comparator, _WIDE.add(number.number, more))
    return _WIDE.add(number, more)


def round_to(value: Value, decimals: Value) -> Decimal | Quantity:
    """Round half up to *decimals* digits after the point, zeros written."""
    number = number_of(value, what="decimals")
    if isinstance(number, Quantity):
        return Quantity(number.comparator, _quantize(number.number, decimals))
    return _quantize(number, decimals)


def _quantize(number: Decimal, decimals: Value) -> Decimal:
    digits = int(plain_number_of(decimals, what="decimals"))
    if not 0 <= digits <= _MOST_DECIMALS:
        raise StepFailed(f"decimals takes 0 to {_MOST_DECIMALS} digits")
    return number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_UP, context=_WIDE)


_TURNED = str.maketrans("<>", "><")
