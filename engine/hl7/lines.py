"""
Where segments end and what they are called.

Rules of this file: if the text has any CR, only CR (and CR LF) ends a segment, else LF does;
a name is three letters or digits, whatever its case and indent; anything else is a stray line.
"""

from __future__ import annotations

import re

_CR_ENDS = re.compile(r"\r\n?")
_ADDED_AT_END = re.compile(r"(?<![\r\n])\n+\Z")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{2}")


#: lines, line end, the end of each, the tail
Lines = tuple[list[str], str, list[str] | None, str]


def cut_lines(text: str) -> Lines:
    """
    Return the lines of *text* by the policy above; joined again they are *text*.

    The line end is that of the first line; the ends of all lines come only where they
    differ; the tail is what stands behind the last line, "" where it has no end.
    """
    if "\r" in text and text.endswith("\n"):
        added = _ADDED_AT_END.search(text)
        if added is not None:
            # An editor's line end behind a message of CRs is no part of its last value.
            lines, end, ends, tail = cut_lines(text[: added.start()])
            return lines, end, ends, tail + added.group()
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


def cut_bytes(raw: bytes, line_end: str, ends: list[str] | None, tail: str) -> list[bytes]:
    """Return the bytes of each line of *raw*, whose text was cut with these results."""
    body = raw.removesuffix(tail.encode("ascii"))
    return re.split(rb"\r\n?", body) if ends is not None else body.split(line_end.encode("ascii"))


#: per separator: the first four characters of a line -> its name, for proper segments only
_KNOWN: dict[str, dict[str, str]] = {}


def names_of(lines: list[str], separator: str) -> list[str]:
    """Return the segment name of each line; "" for a stray or blank one."""
    known = _KNOWN.get(separator) or _KNOWN.setdefault(separator, {"": ""})
    found = list(map(known.get, [line[:4] for line in lines]))
    if None not in found:
        return found  # type: ignore[return-value]
    names = [_name(line, separator) for line in lines]
    for name, line in zip(names, lines, strict=True):
        # Bounded, for there is no end to what stray lines begin with.
        if name and line.startswith(name) and len(known) < 4096:
            known[line[:4]] = name
    return names


def _name(line: str, separator: str) -> str:
    """Return the name of a segment, also where it is indented or in small letters."""
    name = line.split(separator, 1)[0].strip()
    if len(name) != 3 or not _NAME.fullmatch(name):
        return ""
    return name.upper() if name.isupper() or name.islower() else ""


def line_warnings(text: str, separator: str) -> list[str]:
    """Return what is odd about the lines of *text*, each kind once."""
    lines, _, ends, _ = cut_lines(text)
    names = names_of(lines, separator)
    if ends is None and "" not in names and all(map(str.startswith, lines, names)):
        return []
    found = ["mixed_line_ends"] if ends is not None else []
    for name, line in zip(names, lines, strict=True):
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
