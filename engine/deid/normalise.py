"""One spelling for comparing: what the eye reads as the same becomes the same text."""

from __future__ import annotations

import re
import unicodedata

#: what people put between the digits of a number and between names
SEPARATORS = " \t\n#*+\u2022\u3001-\u2010\u2011\u2012\u2013\u2014.()/_,;:'\u00b7\u2027\u3000\u00a0"
#: what is there and cannot be seen
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))
_SEPARATOR_SET = frozenset(SEPARATORS)
_STRIP = str.maketrans("", "", SEPARATORS)
#: digits of other scripts: Arabic, Persian, Devanagari, Bengali, Thai
_DIGITS = {start + n: str(n) for start in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50) for n in range(10)}
#: letters whose lower case is longer than one character, that no form of Unicode takes apart
_LONG_LOWER = {
    ord("İ"): "I", ord("ı"): "i", ord("ø"): "o", ord("Ø"): "O", ord("đ"): "d", ord("Đ"): "D",
    ord("ł"): "l", ord("Ł"): "L", **_DIGITS, **_INVISIBLE,
}  # fmt: skip
#: Latin letters with a mark, composed or not: Müller is also written Muller, Nànà is Nana
_MARKED = re.compile("[\u00c0-\u00d6\u00d9-\u00f6\u00f9-\u024f\u1e00-\u1eff\u0300-\u036f]")
_MARK = re.compile("(?<=[A-Za-z])[\u0300-\u036f]+")
_WRITTEN_AS_TWO = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "å": "aa", "ø": "oe", "æ": "ae", "ñ": "ny"}
)
#: a run of letters and digits
TOKEN = re.compile(r"[^\W_]+")
#: a run of letters
LETTERS = re.compile(r"[^\W\d_]+")
#: from this length on a name is one also with digits beside it: rutherford1949, %20rutherford
LONG_WORD = 5


def fold(text: str) -> str:
    """Return *text* with full-width and case differences gone (NFKC, lower case)."""
    if text.isascii():
        return text.lower()
    return _without_marks(unicodedata.normalize("NFKC", text).translate(_LONG_LOWER)).lower()


def _without_marks(text: str) -> str:
    if _MARKED.search(text) is None:
        return text
    return unicodedata.normalize("NFC", _MARK.sub("", unicodedata.normalize("NFD", text)))


def written_as_two(text: str) -> str:
    """Return *text* as those write it who have no umlauts: Mueller for Müller."""
    return fold(unicodedata.normalize("NFC", text).lower().translate(_WRITTEN_AS_TWO))


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
        piece = text[start:end]
        if not piece.isascii():
            piece = _without_marks(unicodedata.normalize("NFKC", piece).translate(_LONG_LOWER))
        composed.append(piece)
        origin.extend([start] * len(piece))
        start = end
    origin.append(len(text))
    return "".join(composed), origin


_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")


def has_han(text: str) -> bool:
    """Return whether any character is a Chinese one."""
    return not text.isascii() and _HAN.search(text) is not None
