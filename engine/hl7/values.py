"""
One field's text: finding a place in it and writing to it, nothing else rewritten.

Rules of this file: pure functions on structural text in the message's own delimiters;
None is absent, "" is empty; every number counts from 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.hl7.delimiters import Delimiters
from engine.hl7.errors import PathError
from engine.hl7.escapes import escape, unescape
from engine.hl7.path import FIRST, All, Append, First, Index, Last, Path, Selector, Where


def cut(text: str, separator: str) -> list[str]:
    """Return the parts of *text*; the whole where the message declares no such separator."""
    return text.split(separator) if separator else [text]


def part_of(text: str, separator: str, number: int | None) -> str | None:
    """Return part *number*; None stands for all of it and for nothing found."""
    if number is None:
        return text
    parts = cut(text, separator)
    return parts[number - 1] if number <= len(parts) else None


def inner(text: str, path: Path, delimiters: Delimiters) -> str | None:
    """Return the component or sub-component of one repetition that *path* names."""
    found = part_of(text, delimiters.component, path.component)
    if found is None or path.subcomponent is None:
        return found
    return part_of(found, delimiters.subcomponent, path.subcomponent)


def matches(text: str, where: Where, delimiters: Delimiters) -> bool:
    """Return whether the repetition *text* has the value *where* asks for."""
    _, between, _, sign = delimiters.cuts
    numbers = where.numbers
    parts = text.split(between)
    if numbers[0] > len(parts):
        return False
    found: str | None = parts[numbers[0] - 1]
    if len(numbers) > 1:
        found = part_of(found or "", delimiters.subcomponent, numbers[1])
    if found is not None and sign in found:
        found = unescape(found, delimiters)
    return found == where.value


def selected(count: int, selector: Selector) -> Sequence[int]:
    """Return the positions (from 0) *selector* means among *count*; `Where` is not for this."""
    if isinstance(selector, First):
        return range(min(count, 1))
    if isinstance(selector, Index):
        return range(selector.number - 1, min(count, selector.number))
    if isinstance(selector, Last):
        return range(max(count - 1, 0), count)
    return range(count) if isinstance(selector, All) else ()


def find_in_field(text: str, path: Path, delimiters: Delimiters) -> list[str]:
    """Return every value *path* means in the field *text*."""
    if path.is_whole_field:
        return [text]
    repetitions = text.split(delimiters.cuts[0])
    selector = path.repetition
    texts: Sequence[str]
    if isinstance(selector, Where):
        for one in repetitions:
            if matches(one, selector, delimiters):
                value = inner(one, path, delimiters)
                return [] if value is None else [value]
        return []
    if selector is FIRST:
        texts = repetitions[:1]
    else:
        texts = [repetitions[at] for at in selected(len(repetitions), selector)]
    found = (inner(repetition, path, delimiters) for repetition in texts)
    return [value for value in found if value is not None]


def write_in_field(text: str, path: Path, new: str, delimiters: Delimiters) -> str:
    """
    Return the field *text* with *new* (structural text) at *path*; what is missing is made.

    Raises:
        PathError: the message declares no delimiter for a level the path needs.
    """
    if path.is_whole_field:
        return new
    separator = delimiters.repetition
    if path.repetition is FIRST:
        first, mark, others = text.partition(delimiters.cuts[0])
        return _write_inner(first, path, new, delimiters) + mark + others
    repetitions = cut(text, separator)
    for position in _writable(repetitions, path.repetition, delimiters):
        while len(repetitions) <= position:
            repetitions.append("")
        before = repetitions[position]
        repetitions[position] = _write_inner(before, path, new, delimiters)
    return _join(repetitions, separator, "repetition")


def _writable(repetitions: list[str], selector: Selector, delimiters: Delimiters) -> Sequence[int]:
    """Return where to write; a repetition that `Where` asks for is appended when missing."""
    if isinstance(selector, Index):
        return (selector.number - 1,)
    if isinstance(selector, Append):
        return (0,) if repetitions == [""] else (len(repetitions),)
    if not isinstance(selector, Where):
        return selected(len(repetitions), selector)
    for position, repetition in enumerate(repetitions):
        if matches(repetition, selector, delimiters):
            return (position,)
    fresh = write_at("", selector.numbers, escape(selector.value, delimiters), delimiters)
    if repetitions == [""]:
        repetitions[0] = fresh
    else:
        repetitions.append(fresh)
    return (len(repetitions) - 1,)


def _write_inner(text: str, path: Path, new: str, delimiters: Delimiters) -> str:
    if path.component is None:
        return new
    numbers = (path.component,) + (() if path.subcomponent is None else (path.subcomponent,))
    return write_at(text, numbers, new, delimiters)


def write_at(text: str, numbers: Sequence[int], new: str, delimiters: Delimiters) -> str:
    """Return the repetition *text* with *new* as component *numbers*[0] (.sub-component)."""
    components = cut(text, delimiters.component)
    at = numbers[0] - 1
    components.extend([""] * (at + 1 - len(components)))
    if len(numbers) == 1:
        components[at] = new
    else:
        parts = cut(components[at], delimiters.subcomponent)
        sub = numbers[1] - 1
        parts.extend([""] * (sub + 1 - len(parts)))
        parts[sub] = new
        components[at] = _join(parts, delimiters.subcomponent, "sub-component")
    return _join(components, delimiters.component, "component")


def _join(parts: list[str], separator: str, level: str) -> str:
    if len(parts) > 1 and not separator:
        raise PathError(
            f"the message declares no {level} separator", "set MSH-2 first", where="MSH-2"
        )
    return separator.join(parts)
