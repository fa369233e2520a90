"""One spelling for comparing: what the eye reads as the same becomes the same text."""

from __future__ import annotations

import re
import unicodedata

#: what people put between the digits of a number and between names
SEPARATORS = " \t-\u2010\u2011\u2012\u2013\u2014.()/_,;:'\u00b7\u2027\u3000\u00a0"
#: what is there and cannot be seen
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_SEPARATOR_SET = frozenset(SEPARATORS)
_STRIP = str.maketrans("", "", SEPARATORS)
#: letters whose lower case is longer than one character, or that are also written as two
_LONG_LOWER = {ord("İ"): "I", **_INVISIBLE}
#: a run of letters and digits
TOKEN = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """Return *text* with full-width and case differences gone (NFKC, lower case)."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", text).translate(_LONG_LOWER).lower()


def squeeze(folded: str) -> str:
    """Return folded text without separators; HL7's own delimiters stay."""
    return folded.translate(_STRIP)


def squeeze_with_map(folded: str) -> tuple[str, list[int]]:
    """Return the squeezed text and, per character, its index in *folded*."""
    kept = [index for index, char in enumerate(folded) if char not in _SEPARATOR_SET]
    return "".join(folded[index] for index in kept), kept


def compose_with_map(text: str) -> tuple[str, list[int]]:
    """
    Return *text* after NFKC and, for each character of it, the index in *text* it came from.

    Combining characters are composed with the character they sit on; one more index stands
    for the end.
    """
    composed: list[str] = []
    origin: list[int] = []
    start = 0
    while start < len(text):
        end = start + 1
        while end < len(text) and unicodedata.combining(text[end]):
            end += 1
        piece = unicodedata.normalize("NFKC", text[start:end]).translate(_LONG_LOWER)
        composed.append(piece)
        origin.extend([start] * len(piece))
        start = end
    origin.append(len(text))
    return "".join(composed), origin


_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")


def has_han(text: str) -> bool:
    """Return whether any character is a Chinese one."""
    return not text.isascii() and _HAN.search(text) is not None
