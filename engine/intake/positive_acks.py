"""
Positive acks by the thousand: what is the same for one sender's messages is written once.

Rules of this file: byte for byte what `build_ack` gives; whatever is unusual is left to it.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import NamedTuple

from engine.hl7.ack import build_ack
from engine.hl7.delimiters import DEFAULT_DELIMITERS
from engine.hl7.header import Header
from engine.hl7.timestamps import format_timestamp

#: kinds of headers that are remembered; a sender has a handful
_MOST_TEMPLATES = 512
_ID = "@message-id@"
#: MSH fields that an ack repeats
_REPEATED = (3, 4, 5, 6, 9, 11, 12, 18)


class _Template(NamedTuple):
    #: up to MSH-7
    head: bytes
    #: from behind MSH-7 up to MSH-10
    middle: bytes
    #: from behind MSH-10 up to MSA-2
    end: bytes


class PositiveAcks:
    """The AA and CA acks of one channel."""

    def __init__(self, timezone: tzinfo) -> None:
        self._timezone = timezone
        self._templates: dict[tuple[str, ...], _Template | None] = {}
        self._second = -1
        self._stamp = b""

    def build(self, header: Header, code: str, message_id: str, at: float) -> bytes:
        """Return the ack *code* of the message with *header*; *message_id* is its own MSH-10."""
        if header.delimiters is not DEFAULT_DELIMITERS:
            return self._build(header, code, message_id, at)
        key = (code, header.codec, *[header.field(number) for number in _REPEATED])
        try:
            template = self._templates[key]
        except KeyError:
            template = self._learn(key, header, code, at)
        if template is None:
            return self._build(header, code, message_id, at)
        if int(at) != self._second:
            self._second = int(at)
            self._stamp = format_timestamp(at, self._timezone).encode()
        return b"".join(
            (
                template.head,
                self._stamp,
                template.middle,
                message_id.encode(),
                template.end,
                header.control_id_bytes,
                b"\r",
            )
        )

    def _learn(
        self, key: tuple[str, ...], header: Header, code: str, at: float
    ) -> _Template | None:
        """Cut an ack of this kind at its moving parts; None where they cannot be told apart."""
        if len(self._templates) >= _MOST_TEMPLATES:
            self._templates.clear()
        whole = self._build(header, code, _ID, at)
        tail = header.control_id_bytes + b"\r"
        stamp = b"|" + format_timestamp(at, self._timezone).encode() + b"|"
        template = None
        marks = (stamp, _ID.encode())
        if whole.endswith(tail) and all(whole.count(mark) == 1 for mark in marks):
            head, _, rest = whole[: -len(tail)].partition(stamp)
            middle, _, end = rest.partition(marks[1])
            template = _Template(head + b"|", b"|" + middle, end)
        self._templates[key] = template
        return template

    def _build(self, header: Header, code: str, message_id: str, at: float) -> bytes:
        return build_ack(header, code=code, control_id=message_id, at=at, timezone=self._timezone)
