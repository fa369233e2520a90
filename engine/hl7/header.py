"""
The facts of MSH, read without looking at the rest of the message.

Source: HL7 v2.5.1 ch. 2, segment MSH.
"""

from __future__ import annotations

import re

from engine.hl7.charset import codec_for
from engine.hl7.delimiters import DEFAULT_DELIMITERS, Delimiters, parse_delimiters
from engine.hl7.errors import Hl7Error
from engine.hl7.escapes import unescape

#: a byte order mark, white space, or a start of block in front of MSH
_LEAD = re.compile(rb"(?:\xef\xbb\xbf|[\s\x00])*")
_USUAL = b"MSH|^~\\&|"


class Header:
    """MSH as text, escapes resolved; what is absent reads as ""."""

    __slots__ = ("_codec", "_fields", "delimiters")

    def __init__(self, fields: list[str], delimiters: Delimiters, codec: str = "ascii") -> None:
        #: fields[9] is MSH-9
        self._fields = fields
        self._codec = codec
        self.delimiters = delimiters

    def __repr__(self) -> str:
        return f"<Header {self.message_type}>"

    @property
    def codec(self) -> str:
        """The Python codec MSH was read with."""
        return self._codec

    def field(self, number: int) -> str:
        """Return the structural text of MSH-*number*, all repetitions; "" when absent."""
        return self._fields[number] if number < len(self._fields) else ""

    def part(self, number: int, component: int) -> str:
        """Return one component of the first repetition as text."""
        value = self._fields[number] if number < len(self._fields) else ""
        if not value:
            return ""
        between_repetitions, between_components, _, sign = self.delimiters.cuts
        if between_repetitions in value:
            value = value.split(between_repetitions, 1)[0]
        if between_components in value:
            parts = value.split(between_components)
            value = parts[component - 1] if component <= len(parts) else ""
        elif component > 1:
            return ""
        return unescape(value, self.delimiters) if sign in value else value

    @property
    def sending_application(self) -> str:
        """MSH-3.1."""
        return self.part(3, 1)

    @property
    def sending_facility(self) -> str:
        """MSH-4.1."""
        return self.part(4, 1)

    @property
    def receiving_application(self) -> str:
        """MSH-5.1."""
        return self.part(5, 1)

    @property
    def receiving_facility(self) -> str:
        """MSH-6.1."""
        return self.part(6, 1)

    @property
    def message_code(self) -> str:
        """MSH-9.1: ADT."""
        return self.part(9, 1)

    @property
    def trigger(self) -> str:
        """MSH-9.2: A01."""
        return self.part(9, 2)

    @property
    def structure(self) -> str:
        """MSH-9.3: ADT_A01."""
        return self.part(9, 3)

    @property
    def message_type(self) -> str:
        """MSH-9.1^MSH-9.2, or only MSH-9.1 where there is no trigger."""
        fields = self._fields
        value = fields[9] if len(fields) > 9 else ""
        between_repetitions, between_components, _, sign = self.delimiters.cuts
        if between_repetitions in value or sign in value:
            code, trigger = self.part(9, 1), self.part(9, 2)
        else:
            code, _, rest = value.partition(between_components)
            trigger = rest.partition(between_components)[0]
        return f"{code}^{trigger}" if trigger else code

    @property
    def control_id(self) -> str:
        """MSH-10 as text."""
        value = self.field(10)
        return unescape(value, self.delimiters) if self.delimiters.cuts[3] in value else value

    @property
    def control_id_bytes(self) -> bytes:
        """MSH-10 byte for byte as it came."""
        value = self.field(10)
        try:
            return value.encode(self._codec, "surrogateescape")
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")

    @property
    def processing_id(self) -> str:
        """MSH-11.1: P, T or D."""
        return self.part(11, 1)

    @property
    def version(self) -> str:
        """MSH-12.1: 2.5.1."""
        return self.part(12, 1).strip()

    @property
    def accept_ack(self) -> str:
        """MSH-15: AL, NE, ER, SU or ""."""
        return self.part(15, 1)

    @property
    def application_ack(self) -> str:
        """MSH-16: AL, NE, ER, SU or ""."""
        return self.part(16, 1)

    @property
    def charset(self) -> str:
        """MSH-18 with its repetitions."""
        return self.field(18)


def find_start(raw: bytes) -> int:
    """
    Return where the header begins: behind a byte order mark, white space, a start of block.

    Raises:
        Hl7Error: there is no header.
    """
    match = _LEAD.match(raw)
    start = match.end() if match else 0
    if raw[start : start + 3] == b"MSH":
        return start
    if raw[start : start + 3] in (b"FHS", b"BHS"):
        raise Hl7Error(
            "this is a batch, not a message",
            code="HL7-004",
            where=raw[start : start + 3].decode("ascii"),
            fix="split it into its messages first",
        )
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or raw[:6] == b"M\0S\0H\0":
        raise Hl7Error("the bytes are UTF-16", code="HL7-005", fix="send UTF-8 over MLLP")
    raise Hl7Error(
        "the message does not begin with MSH" if raw.strip() else "the message is empty",
        code="HL7-001",
        where="MSH",
    )


def _line(raw: bytes, start: int) -> bytes:
    """Return the first segment; only where there is no CR at all does LF end it."""
    end = raw.find(b"\r", start)
    if end < 0:
        end = raw.find(b"\n", start)
    return raw[start:end] if end >= 0 else raw[start:]


def declared_charset(raw: bytes, start: int, separator: bytes) -> str:
    """Return MSH-18 as the bytes show it, before anything is decoded."""
    line = _line(raw, start)
    found, *beyond = _from_field_18(line.decode("latin-1"), separator.decode("latin-1"))
    if line.isascii() or codec_for(found) is not None or not any(map(codec_for, beyond)):
        return found
    # A second byte that looks like a separator moves the count: believe the set under which
    # MSH-18 names that very set.
    for codec in ("gb18030", "cp950", "cp932"):
        try:
            named = _from_field_18(line.decode(codec), separator.decode(codec))[0]
        except UnicodeDecodeError:
            continue
        if codec_for(named) == codec:
            return named
    return found


def _from_field_18(line: str, separator: str) -> list[str]:
    """Return MSH-18 and what stands behind it; one empty text where it is absent."""
    return line.split(separator)[17:] or [""]


def parse_header(
    raw: bytes, *, charset: str | None = None, force_charset: str | None = None
) -> Header:
    """
    Return the header of *raw* without touching the rest.

    Args:
        raw: the message, without the MLLP envelope.
        charset: codec used where MSH-18 is empty or unknown.
        force_charset: codec that overrules MSH-18.

    Raises:
        Hl7Error: no MSH, or its delimiters cannot be used.
    """
    start = 0 if raw.startswith(_USUAL) else find_start(raw)
    line = _line(raw, start)
    if line.isascii():
        text, codec = line.decode("ascii"), "ascii"
    else:
        text, codec = _decode_line(raw, start, line, charset, force_charset)
    delimiters = DEFAULT_DELIMITERS if text.startswith("MSH|^~\\&|") else parse_delimiters(text)
    fields = text.split(delimiters.field)
    fields.insert(1, delimiters.field)
    return Header(fields, delimiters, codec)


def _decode_line(
    raw: bytes, start: int, line: bytes, charset: str | None, force: str | None
) -> tuple[str, str]:
    codec = force or codec_for(declared_charset(raw, start, line[3:4])) or charset
    for candidate in (codec, "utf-8"):
        if candidate:
            try:
                return line.decode(candidate), candidate
            except UnicodeDecodeError:
                continue
    return line.decode("latin-1"), "latin-1"
