"""
A message laid out for a person: every value with its path and name, and its character set.

Rules of this file: pure; the values are patient data, so this is for a terminal and never
for a log.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.hl7.charset import codec_for, msh18_for
from engine.hl7.definitions import Definitions, PartDefinition, definitions
from engine.hl7.delimiters import HEADER_NAMES
from engine.hl7.escapes import unescape
from engine.hl7.header import declared_charset, find_start
from engine.hl7.message import Message
from engine.hl7.segment import Segment
from engine.hl7.tables import segment_name
from engine.hl7.values import cut


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the layout."""

    #: "PID", "PID-3[2].4.1"
    path: str
    #: "Patient identification", "Assigning authority / Namespace id"
    name: str
    #: text, escapes resolved; "" for a segment's own line
    value: str
    #: 0 segment, 1 field, 2 component, 3 sub-component
    depth: int


def lay_out(message: Message) -> list[Row]:
    """Return every value that is there, in message order, under the name of its segment."""
    known = definitions(message.header.version)
    names = message.segment_names()
    rows: list[Row] = []
    seen: dict[str, int] = {}
    for segment in message.segments():
        if not segment.text.strip():
            continue
        name = segment.name
        if not name:
            rows.append(Row("?", "No segment", segment.text, 0))
            continue
        seen[name] = seen.get(name, 0) + 1
        label = f"{name}[{seen[name]}]" if names.count(name) > 1 else name
        rows.append(Row(label, segment_name(name), "", 0))
        rows.extend(_fields(segment, label, known, message))
    return rows


def _fields(segment: Segment, label: str, known: Definitions, message: Message) -> Iterator[Row]:
    marks = message.delimiters
    for number, value in enumerate(segment.fields()[1:], 1):
        if not value:
            continue
        part = known.field(segment.name, number)
        path = f"{label}-{number}"
        if number <= 2 and segment.name in HEADER_NAMES:
            yield Row(path, part.name if part else "", value, 1)
            continue
        repetitions = cut(value, marks.repetition)
        for at, repetition in enumerate(repetitions, 1):
            here = f"{path}[{at}]" if len(repetitions) > 1 else path
            yield from _levels(repetition, here, part, known, (message, 1))


def _levels(
    text: str,
    path: str,
    part: PartDefinition | None,
    known: Definitions,
    where: tuple[Message, int],
) -> Iterator[Row]:
    """Yield the parts of *text* where it has several, else its value."""
    message, depth = where
    marks = message.delimiters
    separator = (marks.component, marks.subcomponent, "")[depth - 1]
    name = part.name if part else ""
    parts = cut(text, separator)
    if len(parts) == 1:
        yield Row(path, name, unescape(text, marks), depth)
        return
    inside = known.components(part.datatype) if part else None
    yield Row(path, name, "", depth)
    for number, value in enumerate(parts, 1):
        if value:
            below = inside[number - 1] if inside and number <= len(inside) else None
            yield from _levels(value, f"{path}.{number}", below, known, (message, depth + 1))


# -- character sets ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """One character set the bytes may be in."""

    #: as MSH-18 spells it
    charset: str
    codec: str
    #: how much of what is above 7F looks like ordinary text, 0.0 to 1.0
    likelihood: float
    #: the first values with such characters, read this way
    samples: tuple[str, ...]
    #: whether MSH-18 names it
    is_declared: bool


_CANDIDATES = ("utf-8", "gb18030", "cp950", "cp932", "cp949", "iso2022_jp_ext", "latin-1", "cp1251")


def charset_candidates(raw: bytes) -> list[Candidate]:
    """
    Return the character sets that fit every byte of *raw*, the likeliest first.

    None for a message that is ASCII throughout: any set reads it the same.

    Raises:
        Hl7Error: *raw* holds no header.
    """
    start = find_start(raw)
    body = raw[start:]
    if body.isascii() and b"\x1b" not in body:
        return []
    declared = codec_for(declared_charset(body, 0, body[3:4]))
    wanted = list(dict.fromkeys([*([declared] if declared else []), *_CANDIDATES]))
    found = [_candidate(body, codec, declared) for codec in wanted]
    fitting = [candidate for candidate in found if candidate is not None]
    return sorted(fitting, key=lambda candidate: -candidate.likelihood)


def _candidate(body: bytes, codec: str, declared: str | None) -> Candidate | None:
    if (codec == "iso2022_jp_ext") != (b"\x1b" in body) and codec != declared:
        return None
    try:
        text = body.decode(codec)
    except UnicodeDecodeError:
        return None
    beyond = [char for char in text if char > "\x7f"]
    if not beyond and codec != declared:
        return None
    share = sum(map(_is_ordinary(codec), beyond)) / len(beyond) if beyond else 1.0
    likelihood = share * _trust(codec, len(beyond))
    samples = _samples(text)
    return Candidate(msh18_for(codec), codec, round(likelihood, 3), samples, codec == declared)


def _trust(codec: str, count: int) -> float:
    """Return how much it says that *count* characters read well in *codec*."""
    if codec in ("utf-8", "iso2022_jp_ext"):
        # Text of another set almost never is valid UTF-8 or has the shifts of ISO 2022.
        return 1.0
    if codec == "cp949":
        # Chinese reads as Hangul too, but hardly ever from beginning to end.
        return 0.96 if count >= 6 else 0.9
    return 0.95


class _is_ordinary:
    """Whether a character is one that people write often in the languages of a codec."""

    def __init__(self, codec: str) -> None:
        self._codec = codec

    def __call__(self, char: str) -> bool:
        code = ord(char)
        if self._codec == "utf-8":
            return code < 0xE000 or code > 0xF8FF
        if self._codec == "gb18030":
            return _lead_byte(char, "gb2312") in range(0xA1, 0xD8)
        if self._codec == "cp950":
            return _lead_byte(char, "big5") in range(0xA1, 0xC7)
        if self._codec in ("cp932", "iso2022_jp_ext"):
            return 0x3040 <= code < 0x3100 or _lead_byte(char, "shift_jis") in range(0x81, 0x98)
        if self._codec == "cp949":
            return 0xAC00 <= code <= 0xD7A3
        if self._codec == "cp1251":
            return 0x410 <= code <= 0x44F
        return char.isalpha() and code >= 0xC0


def _lead_byte(char: str, codec: str) -> int:
    """Return the first byte of *char*; 0 where the common part of the set lacks it."""
    try:
        found = char.encode(codec)
    except UnicodeEncodeError:
        return 0
    return found[0] if len(found) == 2 else 0


def _samples(text: str) -> tuple[str, ...]:
    """Return up to three values that are not ASCII."""
    separators = text[3:4] + text[4:8].split(text[3:4])[0]
    found: list[str] = []
    for line in text.replace("\n", "\r").split("\r"):
        for mark in separators:
            line = line.replace(mark, "\0")
        for value in line.split("\0"):
            if not value.isascii() and value not in found:
                found.append(value)
                if len(found) == 3:
                    return tuple(found)
    return tuple(found)


def line_to_paste(candidates: list[Candidate], declared: str) -> tuple[str, str]:
    """
    Return the line an inbound channel needs, "" for none, and why in a sentence.

    Args:
        candidates: from `charset_candidates`.
        declared: MSH-18 as it stands in the message.
    """
    if not candidates:
        return "", "all bytes are ASCII: every character set reads this message alike"
    best = candidates[0]
    name = {"utf-8": "UTF-8", "gb18030": "GB18030"}.get(best.codec, best.charset)
    stated = next((candidate for candidate in candidates if candidate.is_declared), None)
    if not declared.strip("~ "):
        return f"charset: {name}", f"MSH-18 is empty and the bytes read best as {name}"
    if codec_for(declared) is None:
        return f"charset: {name}", f"MSH-18 names an unknown set and the bytes read best as {name}"
    if stated is None:
        return f"charset: {{force: {name}}}", "the bytes do not fit what MSH-18 declares"
    if best.likelihood - stated.likelihood > 0.3:
        return (
            f"charset: {{force: {name}}}",
            f"MSH-18 declares another set, but {name} reads better",
        )
    return "", "MSH-18 declares a set that reads this message well"
