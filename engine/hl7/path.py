"""
Paths: ``PID-5.1``, ``PID-3[5='MR'].1``, ``OBX[3.1='8480-6']-5``; everything counts from 1.

Rules of this file: a path is parsed once and kept; it knows nothing of any message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from dataclasses import field as _slot
from functools import lru_cache

from engine.hl7.delimiters import HEADER_NAMES
from engine.hl7.errors import PathError


@dataclass(frozen=True, slots=True)
class First:
    """No index: the first."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class Index:
    """``[2]``: the second."""

    number: int

    def __str__(self) -> str:
        return f"[{self.number}]"


@dataclass(frozen=True, slots=True)
class Last:
    """``[-1]``."""

    def __str__(self) -> str:
        return "[-1]"


@dataclass(frozen=True, slots=True)
class All:
    """``[*]``: every one."""

    def __str__(self) -> str:
        return "[*]"


@dataclass(frozen=True, slots=True)
class Append:
    """``[+]``: a new one behind the others; for writing."""

    def __str__(self) -> str:
        return "[+]"


@dataclass(frozen=True, slots=True)
class Where:
    """``[5='MR']``: the first whose value at *position* is *value*."""

    #: "3.1" of a segment, "5" of a repetition
    position: str
    value: str
    #: the numbers of position
    numbers: tuple[int, ...] = _slot(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", tuple(int(n) for n in self.position.split(".")))

    def __str__(self) -> str:
        quoted = self.value.replace("'", "''")
        return f"[{self.position}='{quoted}']"


Selector = First | Index | Last | All | Append | Where

FIRST = First()
LAST = Last()
ALL = All()
APPEND = Append()


@dataclass(frozen=True, slots=True)
class Path:
    """One place, or with ``[*]`` many places, of a message."""

    #: three capitals or digits; "" in a path relative to a segment
    segment: str
    segment_selector: Selector = FIRST
    field: int | None = None
    repetition: Selector = FIRST
    component: int | None = None
    subcomponent: int | None = None
    #: whether it may mean more than one place
    has_all: bool = _slot(init=False, repr=False, compare=False)
    #: whether segment and repetition are both simply the first
    is_plain: bool = _slot(init=False, repr=False, compare=False)
    #: the field number where it is plain, and beyond the fields of a header that are never cut
    quick_field: int = _slot(init=False, repr=False, compare=False)
    #: whether it means a field with all its repetitions
    is_whole_field: bool = _slot(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        put = object.__setattr__
        # So that readers may ask `is FIRST`.
        if self.segment_selector == FIRST:
            put(self, "segment_selector", FIRST)
        if self.repetition == FIRST:
            put(self, "repetition", FIRST)
        repetition_is_first = self.repetition == FIRST
        put(self, "has_all", ALL in (self.segment_selector, self.repetition))
        plain = self.segment_selector == FIRST and repetition_is_first
        put(self, "is_plain", plain)
        # A path without a segment's name may be one of a header.
        first = 3 if self.segment in HEADER_NAMES or not self.segment else 1
        put(self, "quick_field", self.field if plain and (self.field or 0) >= first else 0)
        whole = self.field is not None and self.component is None and repetition_is_first
        put(self, "is_whole_field", whole)

    def __str__(self) -> str:
        text = f"{self.segment}{self.segment_selector}"
        if self.field is not None:
            text += f"-{self.field}" if text else f"{self.field}"
            text += f"{self.repetition}"
        if self.component is not None:
            text += f".{self.component}"
        if self.subcomponent is not None:
            text += f".{self.subcomponent}"
        return text

    def in_repetition(self, number: int) -> Path:
        """Return the same place in repetition *number* of its field."""
        return replace(self, repetition=Index(number))

    def in_segment(self, number: int) -> Path:
        """Return the same place in the segment that is *number* among its namesakes."""
        return replace(self, segment_selector=Index(number))


_SELECTOR = r"""\[\s*(?:(?P<{0}n>-?\d+)|(?P<{0}s>[*+])|(?P<{0}at>\d+(?:\.\d+)*)\s*==?\s*
    (?:'(?P<{0}single>(?:[^']|'')*)'|"(?P<{0}double>(?:[^"]|"")*)"))\s*\]"""
_FIELD = rf"""(?P<field>\d+)(?:{_SELECTOR.format("r")})?(?:\.(?P<component>\d+)
    (?:\.(?P<subcomponent>\d+))?)?"""
_PATH = re.compile(
    rf"(?P<segment>[A-Z][A-Z0-9]{{2}})(?:{_SELECTOR.format('g')})?(?:-{_FIELD})?",
    re.VERBOSE | re.ASCII,
)
_FIELD_PATH = re.compile(_FIELD, re.VERBOSE | re.ASCII)

#: a write makes what is missing; this keeps a slip of the key from making a million fields
_MOST = 10_000

_SHAPE = "write a path as PID-5.1, PID-3[2].1, PID-3[5='MR'].1 or OBX[*]-5"


@lru_cache(maxsize=8192)
def parse_path(text: str) -> Path:
    """
    Return the path written as *text*.

    Raises:
        PathError: it is not written as paths are; its fix shows the nearest right form.
    """
    match = _PATH.fullmatch(text.strip())
    if match is None:
        raise _explain(text)
    return _build(match, match["segment"], _selector(match, "g", text, depth=3), text)


@lru_cache(maxsize=8192)
def parse_field_path(text: str) -> Path:
    """
    Return a path relative to one segment: ``5.1`` or ``5[2]``; ``OBX-5.1`` is taken too.

    Raises:
        PathError: it is neither.
    """
    text = text.strip()
    match = _FIELD_PATH.fullmatch(text)
    if match is None:
        return parse_path(text)
    return _build(match, "", FIRST, text)


def _build(match: re.Match[str], segment: str, selector: Selector, text: str) -> Path:
    numbers = [
        int(match[name]) if match[name] else None for name in ("field", "component", "subcomponent")
    ]
    if any(number is not None and number > _MOST for number in numbers):
        raise PathError(f"{text!r} counts too far", f"numbers go up to {_MOST}")
    if 0 in numbers:
        raise PathError(f"{text!r} counts from 0", "fields, components and the rest count from 1")
    number, component, subcomponent = numbers
    repetition = FIRST if number is None else _selector(match, "r", text, depth=2)
    return Path(segment, selector, number, repetition, component, subcomponent)


def _selector(match: re.Match[str], kind: str, text: str, *, depth: int) -> Selector:
    if match[kind + "n"]:
        number = int(match[kind + "n"])
        if number == -1:
            return LAST
        if number < 1:
            raise PathError(f"{text!r}: there is no [{number}]", "write [1] and up, or [-1]")
        if number > _MOST:
            raise PathError(f"{text!r} counts too far", f"numbers go up to {_MOST}")
        return Index(number)
    if match[kind + "s"]:
        return ALL if match[kind + "s"] == "*" else APPEND
    position = match[kind + "at"]
    if position is None:
        return FIRST
    numbers = position.split(".")
    if len(numbers) > depth or any(int(number) == 0 for number in numbers):
        raise PathError(f"{text!r}: there is no position {position}", _SHAPE)
    single, double = match[kind + "single"], match[kind + "double"]
    value = single.replace("''", "'") if single is not None else double.replace('""', '"')
    return Where(".".join(str(int(number)) for number in numbers), value)


def _explain(text: str) -> PathError:
    """Return the error for *text*, with the spelling that was probably meant."""
    stripped = text.strip()
    candidates = [
        stripped.upper(),
        re.sub(r"^([A-Za-z][A-Za-z0-9]{2})[._ :](?=\d)", r"\1-", stripped).upper(),
        re.sub(r"-(?=\d+$)", ".", stripped[:4].join(["", stripped[4:]])),
        re.sub(r"\((\d+)\)", r"[\1]", stripped),
        stripped[:4] + stripped[4:].replace("-", "."),
    ]
    for candidate in candidates:
        if candidate != stripped and _PATH.fullmatch(candidate):
            return PathError(f"{text!r} is not a path", f"did you mean {candidate}?")
    return PathError(f"{text!r} is not a path", _SHAPE)
