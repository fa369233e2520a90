"""
What each operator of the language does; used by closures and by Jinja alike.

Rules of this file: one function per operator; both ways of running call these, so that they agree.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Context, Decimal, DecimalException
from typing import Any

from engine.pipeline import values
from engine.pipeline.failures import StepFailed
from engine.pipeline.values import Quantity, Value, kind_of

#: exact as far as any measurement goes; never an endless computation
_EXACT = Context(prec=50)

COMPARISONS: dict[str, Callable[[Value, Value], bool]] = {
    "eq": values.is_equal,
    "ne": values.is_different,
    "lt": values.is_less,
    "lteq": values.is_less_or_equal,
    "gt": values.is_greater,
    "gteq": values.is_greater_or_equal,
    "in": values.is_member,
    "notin": values.is_no_member,
}

_OPERATIONS: dict[str, Callable[[Decimal, Decimal], Decimal]] = {
    "+": _EXACT.add,
    "-": _EXACT.subtract,
    "*": _EXACT.multiply,
    "/": _EXACT.divide,
    "//": _EXACT.divide_int,
    "%": _EXACT.remainder,
}


SIGNS = tuple(_OPERATIONS)


def calculate(sign: str) -> Callable[[Value, Value], Decimal]:
    """Return the function for an arithmetic *sign*."""
    operation = _OPERATIONS[sign]

    def run(left: Value, right: Value) -> Decimal:
        one, two = _number(left, sign), _number(right, sign)
        try:
            return operation(one, two)
        except DecimalException:
            raise StepFailed(f"{sign} has no result for these numbers") from None

    return run


def _number(value: Value, sign: str) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, Quantity):
        raise StepFailed(f"a value with {value.comparator} is not calculated with {sign}")
    raise StepFailed(f"{kind_of(value)} is not calculated with {sign}; write VALUE | number")


def negative(value: Value) -> Decimal:
    """Return the number with the other sign."""
    return operator.neg(_number(value, "-"))


def positive(value: Value) -> Decimal:
    """Return the number as it is."""
    return _number(value, "+")


def constant(value: Any) -> Value:
    """Return a literal as the language sees it: numbers with a point are exact."""
    return Decimal(repr(value)) if isinstance(value, float) else value
