"""
Where segments end and what they are called.

Rules of this file: if the text has any CR, only CR (and CR LF) ends a segment, else LF does;
a name is three letters or digits, whatever its case and indent; anything else is a stray line.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

_CR_ENDS = re.compile(r"\r\n?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2}")


class Lines(NamedTuple):
    """A text cut into lines, with what is needed to join it again exactly."""

    lines: list[str]
    #: what ends a line; of several kinds the first
    line_end: str
    #: the end of each line where they differ, else None
    ends: list[str] | None
    #: what stands behind the last line: its end, or "" where it has none
    tail: str


def cut_lines(text: str) -> Lines:
    """Return the lines of *text* by the policy above; joined again they are *text*."""
    if "\r" not in text:
        return _simple(text, "\n")
    if "\n" not in text:
        return _simple(text, "\r")
    pairs = text.count("\r\n")
    if pairs == 0:
        return _simple(text, "\r")
    if pairs == text.count("\r"):
        return _simple(text, "\r\n")
    lines = _CR_ENDS.split(text)
    ends = _CR_ENDS.findall(text)
    if lines[-1]:
        return Lines(lines, ends[0], [*ends, ""], "")
    lines.pop()
    return Lines(lines, ends[0], ends, ends[-1])


def _simple(text: str, end: str) -> Lines:
    lines = text.split(end)
    if len(lines) > 1 and not lines[-1]:
        lines.pop()
        return Lines(lines, end, None, end)
    return Lines(lines, end, None, "")


def cut_bytes(raw: bytes, ends_vary: bool, line_end: str) -> list[bytes]:
    """Return the bytes of each line; meets the cutting of the text line by line."""
    if ends_vary:
        return re.split(rb"\r\n?", raw)
    return raw.split(line_end.encode("ascii"))


class _Names(dict[str, str | None]):
    """First four characters of a line -> segment name; None where the whole line must be seen."""

    def __init__(self, separator: str) -> None:
        super().__init__()
        self._separator = separator

    def __missing__(self, start: str) -> str | None:
        if _NAME.match(start) and start[3:] in ("", self._separator):
            name: str | None = start[:3].upper()
            if len(self) < 4096:
                self[start] = name
            return name
        return None


@lru_cache(maxsize=64)
def _names(separator: str) -> _Names:
    return _Names(separator)


def names_of(lines: list[str], separator: str) -> list[str]:
    """Return the segment name of each line; "" for a stray or blank one."""
    known = _names(separator)
    names = [known[line[:4]] for line in lines]
    if None in names:
        return [
            _odd_name(line, separator) if name is None else name
            for name, line in zip(names, lines, strict=True)
        ]
    return names  # type: ignore[return-value]


def _odd_name(line: str, separator: str) -> str:
    """Return the name of an indented or otherwise oddly begun segment, "" for a stray line."""
    name = line.split(separator, 1)[0].strip()
    if len(name) == 3 and _NAME.fullmatch(name):
        return name.upper()
    return ""


def line_warnings(cut: Lines, names: list[str], separator: str) -> list[str]:
    """Return what is odd about the lines, each kind once."""
    found: list[str] = []
    if cut.ends is not None:
        found.append("mixed_line_ends")
    for name, line in zip(names, cut.lines, strict=True):
        if not name:
            found.append("stray_line" if line.strip() else "blank_line")
        elif not line.startswith(name):
            found.append("odd_segment_name")
    return list(dict.fromkeys(found))


def stray_lines(message_names: list[str], lines: list[str]) -> list[int]:
    """Return the numbers (from 1) of lines that are neither a segment nor blank."""
    return [
        number
        for number, (name, line) in enumerate(zip(message_names, lines, strict=True), 1)
        if not name and line.strip()
    ]
