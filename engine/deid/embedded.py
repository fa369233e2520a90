"""
Texts hidden in a text: base64, hexadecimal, compressed streams inside them (PDF, gzip).

Decoding is bounded in depth and size, so that a crafted message cannot make it expensive.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator

#: shorter runs hold no name worth the false alarms
SHORTEST_RUN = 24
_RUN = re.compile(rf"[A-Za-z0-9+/_\-]{{{SHORTEST_RUN},}}+={{0,2}}")
_SPACE = re.compile(r"[ \t\r\n]+")
#: a line of base64 is at least this long before it is broken
_LINE = re.compile(r"[A-Za-z0-9+/]{40}")
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){12,}\Z")
_PRINTABLE = re.compile(rb"[\x09\x20-\x7e]{4,}")
_STREAM = re.compile(rb"stream\r?\n(.*?)endstream", re.DOTALL)
_MOST_BYTES = 20_000_000
_MOST_DEPTH = 2


def has_long_run(text: str) -> bool:
    """Return whether *text* may hold an encoded text; False is certain."""
    return _RUN.search(text) is not None


def decoded_texts(text: str, depth: int = 0) -> Iterator[str]:
    """Yield what the encoded runs of *text* say, as every text they can be read as."""
    if depth >= _MOST_DEPTH:
        return
    for match in _RUN.finditer(_joined_lines(text)):
        for decoded in _decode(match[0]):
            for piece in (decoded, *_unpacked(decoded)):
                for reading in _readings(piece):
                    yield reading
                    yield from decoded_texts(reading, depth + 1)


def _joined_lines(text: str) -> str:
    """Return *text* with the lines of broken base64 joined."""
    parts: list[str] = []
    start = 0
    for space in _SPACE.finditer(text):
        at = space.start()
        if at >= 40 and _LINE.fullmatch(text, at - 40, at):
            parts.append(text[start:at])
            start = space.end()
    return "".join([*parts, text[start:]]) if parts else text


def _decode(run: str) -> Iterator[bytes]:
    if _HEX.match(run):
        yield bytes.fromhex(run)
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    plain = plain[: len(plain) - 1] if len(plain) % 4 == 1 else plain
    try:
        yield base64.b64decode(plain + "=" * (-len(plain) % 4))
    except (binascii.Error, ValueError):
        return


def _unpacked(packed: bytes) -> Iterator[bytes]:
    """Yield what gzip, zlib and PDF streams hold."""
    candidates = [packed] if packed[:2] in (b"\x1f\x8b", b"x\x9c", b"x\xda", b"x\x01") else []
    candidates += _STREAM.findall(packed)
    left = _MOST_BYTES
    for candidate in candidates:
        try:
            plain = zlib.decompressobj(wbits=47).decompress(candidate.lstrip(b"\r\n"), left)
        except zlib.error:
            continue
        left -= len(plain)
        yield plain
        if left <= 0:
            return


def _readings(raw: bytes) -> Iterator[str]:
    """Yield *raw* as text: its printable ASCII, and as Unicode and Chinese encodings."""
    printable = b"\n".join(_PRINTABLE.findall(raw))
    if printable:
        yield printable.decode("ascii")
    if raw.isascii() and b"\x00" not in raw:
        return
    for codec in ("utf-8", "gb18030", "utf-16-le", "utf-16-be"):
        yield raw.decode(codec, "ignore")
