"""
The message: decoded whole, cut where it is touched, leaving as it came where it is not.

Rules of this file: a line is a plain string until somebody looks into it, then it is a
`Segment`; an edit marks the message; the bytes of a segment nobody touched are the received
ones. Every text may hold patient data: never log one.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from engine.hl7.charset import codec_for, decode, msh18_for, output_codec
from engine.hl7.delimiters import DEFAULT_DELIMITERS, Delimiters, parse_delimiters
from engine.hl7.encoding import Leaving, encode_lines, encode_segment, find_line
from engine.hl7.errors import Hl7Error, PathError
from engine.hl7.escapes import escape
from engine.hl7.header import Header, declared_charset, find_start
from engine.hl7.lines import line_warnings, stray_lines
from engine.hl7.path import Path, parse_path
from engine.hl7.segment import Segment
from engine.hl7.structure import FIELD, level_of, recode
from engine.hl7.tree import SegmentTree

#: begins a shift of ISO 2022: such bytes only look like ASCII
_ESCAPE = 0x1B
_USUAL = b"MSH|^~\\&|"


class Message(SegmentTree):
    """
    One HL7 v2 message, lazy and lossless.

    Paths count from 1. Reading gives text with escapes resolved ("" when absent or empty,
    ``""`` for HL7 null); writing makes what is missing and rewrites only what it names.
    """

    #: the bytes as they were received
    raw: bytes
    #: where MSH begins in raw
    _start = 0
    #: whether raw is ASCII throughout
    _is_ascii = True
    #: None until asked for, in a message that is ASCII throughout
    _codec: str | None = None
    _default_codec: str | None = None
    _output_codec: str | None = None
    _notes: tuple[str, ...] = ()

    @classmethod
    def parse(
        cls, raw: bytes, *, charset: str | None = None, force_charset: str | None = None
    ) -> Message:
        """
        Return the message in *raw*.

        Args:
            raw: bytes without the MLLP envelope; kept as they are.
            charset: used where MSH-18 is empty or unknown; HL7's spelling or Python's.
            force_charset: used whatever MSH-18 says.

        Raises:
            Hl7Error: no MSH, or delimiters that cannot be used.
        """
        self = cls.__new__(cls)
        self.raw = raw
        is_usual = raw.startswith(_USUAL)
        if not is_usual:
            self._start = find_start(raw)
            raw = raw[self._start :]
        if charset is not None:
            self._default_codec = _codec(charset)
        if force_charset is not None:
            self._codec = _codec(force_charset)
        if raw.isascii() and _ESCAPE not in raw:
            # Which codec an edit would need is asked when an edit brings such characters.
            self._text = raw.decode("ascii")
        else:
            self._is_ascii = False
            declared = declared_charset(raw, 0, raw[3:4])
            self._text, self._codec, self._notes = decode(
                raw, declared=declared, default=self._default_codec, force=self._codec
            )
            is_usual = self._text.startswith("MSH|^~\\&|")
        self.delimiters = DEFAULT_DELIMITERS if is_usual else parse_delimiters(self._text)
        self._found = {}
        return self

    def __repr__(self) -> str:
        return f"<Message {self.header.message_type}, {len(self.raw)} bytes>"

    # -- facts -----------------------------------------------------------------------------

    @property
    def header(self) -> Header:
        """The facts of MSH as they are now."""
        first = self._found["MSH"][0] if "MSH" in self._found else self.first("MSH")
        assert first is not None
        return Header(first.fields(), self.delimiters, self._codec or "ascii")

    @property
    def charset(self) -> str:
        """The Python codec the message was read with, and leaves in unless told otherwise."""
        if self._codec is None:
            declared = codec_for(self.declared_charset)
            self._codec = declared or self._default_codec or "ascii"
        return self._codec

    @property
    def declared_charset(self) -> str:
        """MSH-18 with its repetitions, "" when absent."""
        return self.header.charset

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was odd about the received bytes, by stable names; each once."""
        found = list(self._notes)
        lead = self.raw[: self._start]
        if lead.startswith(b"\xef\xbb\xbf"):
            found.insert(0, "bom")
        if lead.strip(b"\xef\xbb\xbf"):
            found.append("leading_white_space")
        return tuple(found + line_warnings(self._text, self.delimiters.field))

    def stray_lines(self) -> list[int]:
        """Return the numbers (from 1) of received lines that are no segment."""
        return stray_lines(self._text, self.delimiters.field)

    # -- reading ---------------------------------------------------------------------------

    def get(self, path: str | Path) -> str:
        """Return the first value at *path* as text; "" when absent or empty."""
        if isinstance(path, str):
            path = parse_path(path)
        if path.quick_field:
            name = path.segment
            first = self._found[name][0] if name in self._found else self.first(name)
            return "" if first is None else first.get_quickly(path)
        for segment in self.select(path):
            found = segment.find_all(path)
            if found:
                return segment.as_text(path, found[0])
        return ""

    def get_all(self, path: str | Path) -> list[str]:
        """Return every value at *path* as text; only ``[*]`` can give more than one."""
        path = parse_path(path) if isinstance(path, str) else path
        return [value for segment in self.select(path) for value in segment.get_all(path)]

    def find(self, path: str | Path) -> str | None:
        """Return the structural text at *path*, escapes as they are; None when absent."""
        path = parse_path(path) if isinstance(path, str) else path
        for segment in self.select(path):
            for value in segment.find_all(path):
                return value
        return None

    def raw_text(self, path: str | Path) -> str:
        """Return the structural text at *path* in the message's own delimiters; "" absent."""
        return self.find(path) or ""

    # -- writing ---------------------------------------------------------------------------

    def set(self, path: str | Path, text: str) -> None:
        """Write literal *text* at *path*, escaped; what is missing is made."""
        if isinstance(path, str):
            path = parse_path(path)
        if path.quick_field:
            first = self.first(path.segment) or self._writable(path)[0]
            first.write(path, escape(text, self.delimiters))
            return
        for segment in self._writable(path):
            segment.set(path, text)

    def set_hl7(
        self, path: str | Path, hl7_text: str, delimiters: Delimiters = DEFAULT_DELIMITERS
    ) -> None:
        """
        Write HL7 structure at *path*, re-encoded to the message's own delimiters.

        Args:
            path: a field or below, or a segment (then *hl7_text* begins with its name).
            hl7_text: structure as deep as the place allows; what is deeper is text.
            delimiters: those *hl7_text* is written in.
        """
        path = parse_path(path) if isinstance(path, str) else path
        if path.field is not None:
            for segment in self._writable(path):
                segment.set_hl7(path, hl7_text, delimiters)
            return
        name, *fields = hl7_text.split(delimiters.field)
        if name != path.segment:
            raise PathError(f"the text for {path} begins with another segment's name")
        own = self.delimiters
        recoded = [recode(field, FIELD, delimiters, own) for field in fields]
        for segment in self._writable(path):
            segment.replace_text(own.field.join([name, *recoded]))

    def clear(self, path: str | Path) -> None:
        """Make what *path* names empty; what is absent stays absent."""
        path = parse_path(path) if isinstance(path, str) else path
        for segment in self.select(path):
            if any(segment.find_all(path)):
                segment.put(path, "", level=level_of(path))

    def nullify(self, path: str | Path) -> None:
        """Write HL7 null (two quotes) at *path*: the receiver is told to delete its value."""
        self.set(path, '""')

    def copy_value(self, source: str | Path, target: str | Path) -> None:
        """Write what is at *source* to *target*, keeping its sub-structure; empty if absent."""
        source = parse_path(source) if isinstance(source, str) else source
        target = parse_path(target) if isinstance(target, str) else target
        value = self.find(source)
        if not value:
            self.clear(target)
            return
        for segment in self._writable(target):
            segment.put(target, value, level=level_of(source))

    # -- leaving ---------------------------------------------------------------------------

    def set_charset(self, name: str) -> None:
        """
        Let the message leave in *name* and say so in MSH-18.

        Raises:
            Hl7Error: no such character set is known.
        """
        codec = _codec(name)
        if codec_for(self.declared_charset) != codec:
            self.set("MSH-18", msh18_for(codec))
            if self.find("MSH-20"):
                self.set("MSH-20", "")
        if codec != self.charset:
            self.is_edited = True
        self._output_codec = codec

    def encode(self, charset: str | None = None) -> bytes:
        """
        Return the message as it leaves: the received bytes where nobody edited.

        Args:
            charset: another character set to leave in; MSH-18 says so in the result.

        Raises:
            Hl7Error: a character does not exist in the character set; where names the field.
        """
        if charset is not None:
            leaving = self.copy()
            leaving.set_charset(charset)
            return leaving.encode()
        if not self.is_edited:
            return self.raw
        if self._entries is None and self._output_codec in (None, self._codec):
            return self._spliced()
        text = self._whole_text()
        if text is not None and text.isascii():
            encoded = text.encode("ascii")
            return self.raw[: self._start] + encoded if self._start else encoded
        entries: Sequence[str | Segment] = self._entries or self._load()
        how = self._leaving()
        if how.received is None:
            entries = self._all()
        return encode_lines(entries, self._origins, how)

    def _spliced(self) -> bytes:
        """Return the received bytes with only those lines replaced that were written to."""
        raw = self.raw
        written = [found for found in self._found.values() if found[0].line is None]
        if len(written) > 1:
            # From the end on, so that what was not yet replaced keeps its place.
            written.sort(key=itemgetter(1), reverse=True)
        for segment, start, stop in written:
            text = segment.text
            if self._is_ascii:
                start, stop = start + self._start, stop + self._start
            else:
                start, stop = find_line(raw, self._start, self._text, start)
            if text.isascii():
                line = text.encode("ascii")
            else:
                line = encode_segment(segment, text, self.charset, surrogates=True)
            raw = raw[:start] + line + raw[stop:]
        return raw

    def _whole_text(self) -> str | None:
        """Return what leaves, where its bytes follow from the text alone."""
        if not self._is_ascii and self._output_codec is None:
            return None
        entries = self._entries or self._load()
        if self._ends is not None:
            return None
        texts = [entry if isinstance(entry, str) else entry.text for entry in entries]
        return self._line_end.join(texts) + self._tail

    def _leaving(self) -> Leaving:
        codec = self._output_codec or self.charset
        same = codec == self.charset
        lead = self.raw[: self._start]
        return Leaving(
            received=self.raw[self._start :] if same else None,
            lead=lead if same else lead.replace(b"\xef\xbb\xbf", b""),
            codec=codec,
            line_end=self._line_end,
            ends=self._ends,
            tail=self._tail,
        )

    def copy(self) -> Message:
        """Return an independent message; lines nobody looked into are shared."""
        copied = Message.__new__(Message)
        copied.__dict__.update(self.__dict__)
        entries = self._entries
        if entries is None:
            copied._found = {
                name: (segment.clone(copied), start, stop)
                for name, (segment, start, stop) in self._found.items()
            }
        else:
            copied._found = {}
            copied._names = self._names.copy()
            copied._entries = [
                entry if isinstance(entry, str) else entry.clone(copied) for entry in entries
            ]
        return copied

    def as_python_hl7(self) -> Any:
        """Return the message as python-hl7 sees it, for steps that want that API."""
        import hl7

        return hl7.parse("\r".join(segment.text for segment in self._all() if segment.text))


def _codec(name: str) -> str:
    codec = output_codec(name)
    if codec is None:
        raise Hl7Error(
            f"there is no character set {name}",
            code="HL7-006",
            where="MSH-18",
            fix="use a name of table 0211, such as UNICODE UTF-8, GB 18030-2000 or 8859/1",
        )
    return codec
