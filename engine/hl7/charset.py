"""
Character sets: what MSH-18 says, which codec that is, how bytes are read without loss.

Rules of this file: the whole message is decoded before it is cut (second bytes of GBK, Big5
and Shift-JIS collide with delimiters); nothing is ever replaced by a question mark.
Text may hold lone surrogates for bytes that fit no character; `text_bytes` turns any such
text into bytes for hashing and storing.

Source: HL7 v2.5.1 table 0211.
"""

from __future__ import annotations

import codecs
import re
from functools import lru_cache

#: table 0211 and the spellings met in the field (letters and digits only) -> Python codec
_CODECS = {
    "ASCII": "ascii",
    "USASCII": "ascii",
    "ISOIR6": "ascii",
    **{f"8859{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "88591": "latin-1",
    **{f"ISO8859{part}": f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "ISO88591": "latin-1",
    "LATIN1": "latin-1",
    "WINDOWS1252": "cp1252",
    "CP1252": "cp1252",
    "ANSI": "cp1252",
    "WINDOWS1251": "cp1251",
    "CP1251": "cp1251",
    "WINDOWS1250": "cp1250",
    "CP1250": "cp1250",
    "UNICODEUTF8": "utf-8",
    "UTF8": "utf-8",
    "UNICODE": "utf-8",
    "GB180302000": "gb18030",
    "GB180302005": "gb18030",
    "GB18030": "gb18030",
    "GB2312": "gb18030",
    "GB231280": "gb18030",
    "GBK": "gb18030",
    "CP936": "gb18030",
    "EUCCN": "gb18030",
    "BIG5": "cp950",
    "CP950": "cp950",
    "KSX1001": "cp949",
    "KSC5601": "cp949",
    "EUCKR": "cp949",
    "CP949": "cp949",
    "ISOIR87": "iso2022_jp_ext",
    "ISOIR159": "iso2022_jp_ext",
    "ISOIR14": "iso2022_jp_ext",
    "ISOIR13": "shift_jis",
    "ISO2022JP": "iso2022_jp_ext",
    "JISX0208": "iso2022_jp_ext",
    "SHIFTJIS": "cp932",
    "SJIS": "cp932",
    "CP932": "cp932",
    "WINDOWS31J": "cp932",
    "EUCJP": "euc_jp",
    "TIS620": "tis-620",
    "KOI8R": "koi8-r",
}

#: how the standard spells a codec in MSH-18
_MSH18 = {
    "ascii": "ASCII",
    "latin-1": "8859/1",
    **{f"iso8859-{part}": f"8859/{part}" for part in (2, 3, 4, 5, 6, 7, 8, 9, 15)},
    "utf-8": "UNICODE UTF-8",
    "gb18030": "GB 18030-2000",
    "cp950": "BIG-5",
    "cp949": "KS X 1001",
    "iso2022_jp_ext": "ISO IR87",
    "cp932": "SHIFT_JIS",
    "shift_jis": "ISO IR13",
    "cp1252": "WINDOWS-1252",
    "cp1251": "WINDOWS-1251",
    "cp1250": "WINDOWS-1250",
    "euc_jp": "EUC-JP",
    "tis-620": "TIS-620",
    "koi8-r": "KOI8-R",
}

_SINGLE_BYTE = frozenset(
    {"latin-1", "cp1252", "cp1251", "cp1250", "tis-620", "koi8-r", "ascii"}
    | {f"iso8859-{part}" for part in range(2, 16)}
)


@lru_cache(maxsize=1024)
def codec_for(msh18: str) -> str | None:
    """
    Return the Python codec for a whole MSH-18 or one of its names; None when unknown.

    Repetitions (``~ISO IR87``) are the sets a message may switch to; the richest one decides.
    """
    found: str | None = None
    for name in msh18.split("~"):
        codec = _CODECS.get(re.sub(r"[^A-Z0-9]", "", name.upper()))
        if found in (None, "ascii") or codec == "iso2022_jp_ext":
            found = codec or found
    return found


@lru_cache(maxsize=1024)
def output_codec(name: str) -> str | None:
    """Return the codec for a name a site writes: HL7's spelling or Python's; None if unknown."""
    found = codec_for(name)
    if found is not None:
        return found
    try:
        wanted = codecs.lookup(name).name
    except LookupError:
        return None
    known = {codecs.lookup(codec).name: codec for codec in _MSH18}
    return known.get(wanted)


def msh18_for(codec: str) -> str:
    """Return how MSH-18 spells *codec* (a name from `codec_for`)."""
    return _MSH18[codec]


def charset_names() -> list[str]:
    """Return the names MSH-18 may be given, for messages to people."""
    return list(_MSH18.values())


def decode(
    raw: bytes, *, declared: str, default: str | None = None, force: str | None = None
) -> tuple[str, str, tuple[str, ...]]:
    """
    Return the text of *raw*, the codec that read it, and counted warnings; never raises.

    Order: *force*, what MSH-18 declares, the channel's *default*; where that does not fit
    the bytes, UTF-8 if they are UTF-8, else the same codec with its bad bytes kept as
    surrogates, else latin-1. The text encodes back to the same bytes wherever the codec
    itself is one-to-one.

    Args:
        raw: the message from MSH on.
        declared: MSH-18 with its repetitions, or "".
        default: codec name, used where MSH-18 is empty or unknown.
        force: codec name that overrules MSH-18.
    """
    warnings: list[str] = []
    codec = force
    if codec is None and declared.strip("~ "):
        codec = codec_for(declared)
        if codec is None:
            warnings.append("charset_unknown")
    codec = codec or default
    if codec is not None:
        text = _strictly(raw, codec)
        if text is not None:
            if codec in _SINGLE_BYTE and not force and _strictly(raw, "utf-8") is not None:
                warnings.append("charset_suspect")
            return text, codec, tuple(warnings)
    warnings.append("charset_fallback")
    text, codec = _fall_back(raw, codec)
    return text, codec, tuple(warnings)


def _strictly(raw: bytes, codec: str) -> str | None:
    try:
        text = raw.decode(codec)
    except UnicodeDecodeError:
        return None
    # The cutting of text and of bytes must meet: every line end has to be seen in both. In
    # UTF-8 a byte below 80 is never part of anything else.
    return text if codec == "utf-8" or text.count("\r") == raw.count(b"\r") else None


def _fall_back(raw: bytes, codec: str | None) -> tuple[str, str]:
    if codec != "utf-8":
        text = _strictly(raw, "utf-8")
        if text is not None:
            return text, "utf-8"
    if codec is None or codec in _SINGLE_BYTE or codec.startswith("iso2022"):
        return raw.decode("latin-1"), "latin-1"
    try:
        text = raw.decode(codec, "surrogateescape")
    except UnicodeDecodeError:
        return raw.decode("latin-1"), "latin-1"
    if text.count("\r") != raw.count(b"\r") or _only_surrogates(text):
        return raw.decode("latin-1"), "latin-1"
    return text, codec


def _only_surrogates(text: str) -> bool:
    """Return whether no byte above 7F was read as a character: the codec is simply wrong."""
    return not any(char >= "\x80" and not "\udc80" <= char <= "\udcff" for char in text)


def text_bytes(text: str) -> bytes:
    """Return UTF-8 for any text of a message, surrogates of unreadable bytes included."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
