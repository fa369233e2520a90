"""
Where segments end and what they are called.

Rules of this file: if the text has any CR, only CR (and CR LF) ends a segment, else LF does;
a name is three letters or digits, whatever its case and indent; anything else is a stray line.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CR_ENDS = re.compile(r"\r\n?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2}")


#: lines, line end, the end of each, the tail
Lines = tuple[list[str], str, list[str] | None, str]


def cut_lines(text: str) -> Lines:
    """
    Return the lines of *text* by the policy above; joined again they are *text*.

    The line end is that of the first line; the ends of all lines come only where they
    differ; the tail is what stands behind the last line, "" where it has no end.
    """
    if "\n" not in text and "\r" in text:
        end = "\r"
    elif "\r" not in text:
        end = "\n"
    else:
        pairs = text.count("\r\n")
        if pairs and pairs != text.count("\r"):
            return _mixed(text)
        end = "\r\n" if pairs else "\r"
    lines = text.split(end)
    if lines[-1] or len(lines) == 1:
        return lines, end, None, ""
    lines.pop()
    return lines, end, None, end


def _mixed(text: str) -> Lines:
    lines = _CR_ENDS.split(text)
    ends = _CR_ENDS.findall(text)
    if lines[-1]:
        return lines, ends[0], [*ends, ""], ""
    lines.pop()
    return lines, ends[0], ends, ends[-1]


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


def line_warnings(text: str, separator: str) -> list[str]:
    """Return what is odd about the lines of *text*, each kind once."""
    lines, _, ends, _ = cut_lines(text)
    found = ["mixed_line_ends"] if ends is not None else []
    for name, line in zip(names_of(lines, separator), lines, strict=True):
        if not name:
            found.append("stray_line" if line.strip() else "blank_line")
        elif not line.startswith(name):
            found.append("odd_segment_name")
    return list(dict.fromkeys(found))


def stray_lines(text: str, separator: str) -> list[int]:
    """Return the numbers (from 1) of lines that are neither a segment nor blank."""
    lines = cut_lines(text)[0]
    return [
        number
        for number, (name, line) in enumerate(
            zip(names_of(lines, separator), lines, strict=True), 1
        )
        if not name and line.strip()
    ]
