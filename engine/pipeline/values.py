"""
The kinds of value an expression can hold, and what comparing them means.

Rules of this file: a value is text, a number (Decimal, int or Quantity), a yes or no, or a list
of those. Text and numbers never meet silently: the comparison says what to write instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from engine.pipeline.failures import StepFailed

Value = Any

#: longest text that is made
MOST_TEXT = 16_000_000


class Null(str):
    """The HL7 null: two double quotes. Falsy, prints as itself, so its meaning is passed on."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False


NULL = Null('""')


class Raw(str):
    """Text that is HL7 already, in the default delimiters: written without escaping."""

    __slots__ = ()


class Moment(str):
    """A point in time, printed as an HL7 time with zone; *at* is UTC seconds since the epoch."""

    __slots__ = ("at",)
    at: float


class Quantity:
    """A number with a comparator, as laboratories write it: ``<5`` or ``>=10.0``."""

    __slots__ = ("comparator", "number")

    def __init__(self, comparator: str, number: Decimal) -> None:
        self.comparator = comparator
        self.number = number

    def __str__(self) -> str:
        return f"{self.comparator}{self.number:f}"

    def __repr__(self) -> str:
        return f"Quantity({self})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Quantity)
            and self.comparator == other.comparator
            and self.number == other.number
        )

    def __hash__(self) -> int:
        return hash((self.comparator, self.number))

    def is_below(self, limit: Decimal | int) -> bool | None:
        """Return whether every number meant is below *limit*; None where some are, some not."""
        if self.comparator in ("<", "<="):
            if self.number < limit or (self.number == limit and self.comparator == "<"):
                return True
            return None
        if self.number >= limit:
            return False
        return None

    def is_above(self, limit: Decimal | int) -> bool | None:
        """Return whether every number meant is above *limit*; None where some are, some not."""
        if self.comparator in (">", ">="):
            if self.number > limit or (self.number == limit and self.comparator == ">"):
                return True
            return None
        if self.number <= limit:
            return False
        return None


def kind_of(value: Value) -> str:
    """Return the analyst's word for the kind of *value*."""
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "yes/no"
    if isinstance(value, Decimal | int | Quantity):
        return "a number"
    if isinstance(value, list | tuple):
        return "a list"
    return "nothing"


def text_of(value: Value) -> str:
    """Return *value* as it is written into a message."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, list | tuple):
        raise StepFailed("a list cannot be written as one value; add | join('~')")
    if value is None:
        return ""
    return str(value)


def is_equal(left: Value, right: Value) -> bool:
    """Return whether the two are the same; kinds that never meet are refused."""
    if isinstance(left, str) and isinstance(right, str):
        return str.__eq__(left, right)
    left_kind, right_kind = kind_of(left), kind_of(right)
    if left_kind != right_kind:
        _refuse_pair(left_kind, right_kind, "compared")
    return bool(left == right)


def is_different(left: Value, right: Value) -> bool:
    """Return the opposite of is_equal."""
    return not is_equal(left, right)


def is_member(left: Value, right: Value) -> bool:
    """Return whether *left* is in the list *right*; text on the right is refused."""
    if not isinstance(right, list | tuple):
        raise StepFailed(
            f"'in' needs a list on its right, not {kind_of(right)}; write in ['A', 'B']"
        )
    return any(is_equal(left, item) for item in right)


def is_no_member(left: Value, right: Value) -> bool:
    """Return the opposite of is_member."""
    return not is_member(left, right)


def is_less(left: Value, right: Value) -> bool:
    """Return whether left < right, for numbers."""
    return _order(left, right, "<")


def is_less_or_equal(left: Value, right: Value) -> bool:
    """Return whether left <= right, for numbers."""
    return _order(left, right, "<=")


def is_greater(left: Value, right: Value) -> bool:
    """Return whether left > right, for numbers."""
    return _order(left, right, ">")


def is_greater_or_equal(left: Value, right: Value) -> bool:
    """Return whether left >= right, for numbers."""
    return _order(left, right, ">=")


def _order(left: Value, right: Value, sign: str) -> bool:
    left_kind, right_kind = kind_of(left), kind_of(right)
    if left_kind != "a number" or right_kind != "a number":
        if left == "" or right == "":
            raise StepFailed("an empty value is not ordered; ask for it first: PATH and PATH | …")
        refuse_order(left_kind, right_kind)
    if isinstance(left, Quantity) or isinstance(right, Quantity):
        return _order_quantities(left, right, sign)
    if sign == "<":
        return bool(left < right)
    if sign == "<=":
        return bool(left <= right)
    if sign == ">":
        return bool(left > right)
    return bool(left >= right)


def _order_quantities(left: Value, right: Value, sign: str) -> bool:
    """Order `<5` against 6.5 where the answer is certain; refuse where it is not."""
    if not isinstance(left, Quantity):
        return _order_quantities(right, left, _MIRRORED[sign])
    if isinstance(right, Quantity):
        raise StepFailed("two values with < or > cannot be ordered")
    answer = left.is_below(right) if sign in ("<", ">=") else left.is_above(right)
    if answer is None:
        raise StepFailed("a value with < or > cannot be ordered against this number")
    return answer if sign in ("<", ">") else not answer


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


def refuse_order(left_kind: str, right_kind: str) -> None:
    """Say why two kinds are not ordered; raises StepFailed."""
    if "text" in (left_kind, right_kind):
        raise StepFailed(
            f"{left_kind} is not ordered against {right_kind}; turn text into a number first:"
            " VALUE | number"
        )
    raise StepFailed(f"{left_kind} is not ordered against {right_kind}")


def _refuse_pair(left_kind: str, right_kind: str, verb: str) -> None:
    if {left_kind, right_kind} == {"text", "a number"}:
        raise StepFailed(
            "text is not compared with a number; quote the number for a comparison as text,"
            " or write VALUE | number"
        )
    raise StepFailed(f"{left_kind} is not {verb} with {right_kind}")


def join_texts(values: Iterable[Value]) -> str:
    """Return the values one after the other as text (the ~ of expressions)."""
    texts = [text_of(value) for value in values]
    check_length(sum([len(text) for text in texts]))
    return "".join(texts)


def check_length(length: int) -> None:
    """Raise StepFailed where a text would grow beyond all measure; asked before it is made."""
    if length > MOST_TEXT:
        raise StepFailed(f"the result is longer than {MOST_TEXT:,} characters")
