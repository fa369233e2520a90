"""
Segments back to bytes: received bytes where nobody wrote, loud where a character has no code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.hl7.errors import Hl7Error
from engine.hl7.lines import cut_bytes
from engine.hl7.segment import Segment


class Leaving(NamedTuple):
    """How a message leaves."""

    #: received bytes from MSH on, to take untouched lines from; None when all is encoded anew
    received: bytes | None
    #: what stood in front of MSH
    lead: bytes
    codec: str
    line_end: str
    #: the end of each received line where they differ
    ends: list[str] | None
    tail: str


def encode_lines(
    entries: Sequence[str | Segment], origins: Sequence[int], leaving: Leaving
) -> bytes:
    """
    Return the bytes of *entries*, each a segment or a received line nobody looked into.

    Args:
        entries: in the order they leave; all are segments where nothing leaves as received.
        origins: the number of each in the received message, -1 where it was made here.
        leaving: how they leave.

    Raises:
        Hl7Error: a character does not exist in the character set; where names the field.
    """
    lines: list[bytes] = []
    if leaving.received is not None:
        lines = cut_bytes(leaving.received, leaving.line_end, leaving.ends, leaving.tail)
    parts = [leaving.lead]
    last = len(entries) - 1
    for at, (entry, origin) in enumerate(zip(entries, origins, strict=True)):
        if isinstance(entry, str) or (lines and origin >= 0 and entry.line is not None):
            parts.append(lines[origin])
        else:
            surrogates = leaving.received is not None
            parts.append(encode_segment(entry, entry.text, leaving.codec, surrogates=surrogates))
        end = leaving.tail if at == last else _end(leaving, origin)
        parts.append(end.encode("ascii"))
    return b"".join(parts)


def _end(leaving: Leaving, origin: int) -> str:
    """Return what ends a line: its own end where it was received with one."""
    if leaving.ends is None or origin < 0:
        return leaving.line_end
    return leaving.ends[origin] or leaving.line_end


def find_line(raw: bytes, at: int, text: str, start: int) -> tuple[int, int]:
    """Return where in *raw* the line is that begins at *start* of *text*, decoded from *at* on."""
    end = "\r" if "\r" in text else "\n"
    mark = end.encode("ascii")
    for _ in range(text.count(end, 0, start)):
        at = raw.index(mark, at) + 1
    stop = raw.find(mark, at)
    return at, stop if stop >= 0 else len(raw)


def encode_segment(segment: Segment, text: str, codec: str, *, surrogates: bool) -> bytes:
    """Return the *text* of a segment; what were no characters goes back only where it came from."""
    try:
        return text.encode(codec, "surrogateescape" if surrogates else "strict")
    except UnicodeEncodeError:
        raise Hl7Error(
            f"a character cannot be written in {codec}",
            code="HL7-011",
            where=_place(segment, codec),
            fix="choose UNICODE UTF-8 or GB 18030-2000 for this outbound channel",
        ) from None


def _place(segment: Segment, codec: str) -> str:
    for number, field in enumerate(segment.fields()):
        try:
            field.encode(codec)
        except UnicodeEncodeError:
            return f"{segment.name}-{number}"
    return segment.name
