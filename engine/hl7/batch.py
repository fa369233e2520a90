"""
Batches and files of messages: FHS, BHS … BTS, FTS around them, MLLP envelopes, or bare lines.

Rules of this file: bytes in, exact bytes of each message out, in their order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from engine.hl7.errors import Hl7Error

_LEAD = re.compile(rb"(?:\xef\xbb\xbf|[\s\x00])*")
_ENVELOPES = (b"FHS", b"BHS", b"BTS", b"FTS")
#: a message begins at MSH at the start of a line, and its next byte is no letter or digit
_START = re.compile(
    rb"(?:(?<=[\r\n\x0b])|\A)[ \t]*"
    rb"(?=(?:MSH|FHS|BHS)[^A-Za-z0-9\s]|(?:BTS|FTS)(?:[^A-Za-z0-9]|\Z))"
)
#: an end of block whose start was lost
_END = re.compile(rb"\x1c[\r\n]*\Z")
_FRAME = re.compile(rb"\x0b(.*?)\x1c(?=\r|\n|\x0b|\x1c|\Z|\s)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Batch:
    """The parts of a batch; lines of the envelope in the order they came."""

    #: FHS and BHS lines in front of the first message
    header: tuple[bytes, ...]
    messages: tuple[bytes, ...]
    #: BTS and FTS lines behind the last message
    trailer: tuple[bytes, ...]

    @property
    def declared_count(self) -> int | None:
        """What BTS-1 says of the number of messages; None where it says nothing."""
        for line in self.trailer:
            if line.startswith(b"BTS"):
                digits = line[4:].split(line[3:4], 1)[0].strip()
                return int(digits) if digits.isdigit() else None
        return None


def has_batch_envelope(raw: bytes) -> bool:
    """Return whether *raw* begins with FHS or BHS."""
    match = _LEAD.match(raw)
    start = match.end() if match else 0
    return raw[start : start + 3] in (b"FHS", b"BHS")


def split_batch(raw: bytes) -> Batch:
    """
    Return the envelope and the messages of *raw*, each with its exact bytes.

    Raises:
        Hl7Error: there is no message in it.
    """
    header: list[bytes] = []
    messages: list[bytes] = []
    trailer: list[bytes] = []
    for piece in _pieces(raw):
        if not piece.startswith(_ENVELOPES):
            messages.append(piece)
        elif messages:
            trailer.append(piece.rstrip())
        else:
            header.append(piece.rstrip())
    if not messages:
        raise Hl7Error("there is no message in the batch", code="HL7-007", where="MSH")
    return Batch(tuple(header), tuple(messages), tuple(trailer))


def split_messages(raw: bytes) -> list[bytes]:
    """
    Return the messages in the bytes of a file, in order; envelopes are left out.

    Framed files (VT … FS) are cut at their frames, others at each line that begins with
    MSH. Bytes that belong to no message (a byte order mark, blank lines in front) are left
    out; a file without any message gives an empty list.
    """
    frames = _FRAME.findall(raw) if b"\x0b" in raw and b"\x1c" in raw else [raw]
    return [
        _END.sub(b"", piece)
        for frame in frames
        for piece in _pieces(frame)
        if not piece.startswith(_ENVELOPES)
    ]


def _pieces(raw: bytes) -> list[bytes]:
    body = raw[_lead(raw) :]
    bounds = [*(match.end() for match in _START.finditer(body)), len(body)]
    return [body[start:end] for start, end in pairwise(bounds)]


def _lead(raw: bytes) -> int:
    match = _LEAD.match(raw)
    return match.end() if match else 0
