"""
Filters that make text of text.

Rules of this file: HL7 null comes out as it went in; empty stays empty; lists are refused with the
word that helps; results are bounded.
"""

from __future__ import annotations

import re

from engine.pipeline.chinese_names import split_chinese_name
from engine.pipeline.failures import StepFailed
from engine.pipeline.numbers import plain_number_of
from engine.pipeline.regexes import compile_regex
from engine.pipeline.values import NULL, Null, Raw, Value, check_length, text_of

_MOST_PADDING = 10_000
_WORD = re.compile(r"[^\W\d_]+")


def upper(value: Value) -> str:
    """Return capitals."""
    return text_of(value).upper() if not isinstance(value, Null) else value


def lower(value: Value) -> str:
    """Return small letters."""
    return text_of(value).lower() if not isinstance(value, Null) else value


def trim(value: Value) -> str:
    """Return the text without blanks at both ends, full-width ones included."""
    return text_of(value).strip() if not isinstance(value, Null) else value


def pad(value: Value, width: Value, filler: Value = " ") -> str:
    """Return the text filled up on the left to *width* characters; empty stays empty."""
    text, wanted, sign = text_of(value), whole(width, "pad"), text_of(filler)
    if not text or isinstance(value, Null):
        return text
    if len(sign) != 1 or wanted > _MOST_PADDING:
        raise StepFailed(f"pad takes a width up to {_MOST_PADDING:,} and one character")
    return text.rjust(wanted, sign)


def digits(value: Value) -> str:
    """Return the digits 0-9 of the text, full-width ones turned into these."""
    if isinstance(value, Null):
        return value
    return "".join([str(int(char)) for char in text_of(value) if char.isdecimal()])


def left(value: Value, count: Value) -> str:
    """Return the first *count* characters."""
    return text_of(value)[: whole(count, "left")] if not isinstance(value, Null) else value


def right(value: Value, count: Value) -> str:
    """Return the last *count* characters."""
    if isinstance(value, Null):
        return value
    text = text_of(value)
    return text[max(len(text) - whole(count, "right"), 0) :]


def mid(value: Value, start: Value, count: Value | None = None) -> str:
    """Return *count* characters from place *start*, which counts from 1."""
    if isinstance(value, Null):
        return value
    first = whole(start, "mid")
    if first < 1:
        raise StepFailed("mid counts from 1")
    text = text_of(value)[first - 1 :]
    return text if count is None else text[: whole(count, "mid")]


def split_part(value: Value, separator: Value, number: Value) -> str:
    """Return part *number* (from 1, or -1 for the last) of the text cut at *separator*."""
    if isinstance(value, Null):
        return value
    mark = text_of(separator)
    if not mark:
        raise StepFailed("split_part needs a separator")
    parts = text_of(value).split(mark)
    wanted = whole(number, "split_part", least=-1)
    if wanted == 0:
        raise StepFailed("split_part counts from 1")
    index = wanted - 1 if wanted > 0 else len(parts) - 1
    return parts[index] if index < len(parts) else ""


def replace(value: Value, old: Value, new: Value) -> str:
    """Return the text with every *old* turned into *new*."""
    if isinstance(value, Null):
        return value
    text, sought, instead = text_of(value), text_of(old), text_of(new)
    if not sought:
        raise StepFailed("replace needs a text to look for")
    check_length(len(text) + text.count(sought) * len(instead))
    return text.replace(sought, instead)


def regex_replace(value: Value, pattern: Value, replacement: Value) -> str:
    """Return the text with every match of *pattern* replaced; ``\\1`` is the first group."""
    if isinstance(value, Null):
        return value
    return compile_regex(pattern).replace(text_of(value), text_of(replacement))


def matches(value: Value, pattern: Value) -> bool:
    """Return whether *pattern* is found in the text; ^ and $ tie it to the ends."""
    text = "" if isinstance(value, Null) else text_of(value)
    return compile_regex(pattern).search(text) is not None


def title_name(value: Value) -> str:
    """Return each word with a capital: ``o'brien-smith`` becomes ``O'Brien-Smith``."""
    if isinstance(value, Null):
        return value
    return _WORD.sub(lambda match: match.group().capitalize(), text_of(value))


def cn_family(value: Value) -> str:
    """Return the family name of a Chinese name written in one piece: 欧阳修 gives 欧阳."""
    return value if isinstance(value, Null) else split_chinese_name(text_of(value).strip())[0]


def cn_given(value: Value) -> str:
    """Return the given name of a Chinese name written in one piece: 欧阳修 gives 修."""
    return value if isinstance(value, Null) else split_chinese_name(text_of(value).strip())[1]


def join(value: Value, separator: Value = "") -> str:
    """Return the parts of a list as one text, empty ones left out."""
    if not isinstance(value, list | tuple):
        return text_of(value)
    mark = text_of(separator)
    texts = [text_of(item) for item in value if item]
    check_length(sum([len(text) for text in texts]) + len(mark) * len(texts))
    return mark.join(texts)


def default(value: Value, other: Value) -> Value:
    """Return *other* where the value is absent or empty; null stays null."""
    return other if value is None or (not isinstance(value, Null) and value == "") else value


def null(value: Value) -> str:
    """Return HL7 null where the value is empty, so that the receiver deletes its own."""
    text = text_of(value)
    return text if text else NULL


def raw(value: Value) -> Raw:
    """Return the text marked as HL7, which is written without escaping."""
    return Raw(text_of(value))


def whole(value: Value, what: str, *, least: int = 0) -> int:
    """Return *value* as a whole number of at least *least*."""
    number = plain_number_of(value, what=what)
    if number != int(number) or number < least:
        raise StepFailed(f"{what} needs a whole number from {least}")
    return int(number)
