"""
Escape sequences: read at the leaf, written at the leaf.

Rules of this file: what is not understood stays as it is; formatting and locally defined
sequences (``\\H\\``, ``\\.sp\\``, ``\\Z..\\``) are left alone both ways, so a value that is
read and written again keeps its meaning, and ``unescape(escape(text)) == text`` for any text.
"""

from __future__ import annotations

import re

from engine.hl7.delimiters import Delimiters, Substitution
from engine.hl7.errors import Hl7Error

#: kept verbatim: highlighting, local and character-set sequences
_VERBATIM = r"[HN]|Z[A-Za-z0-9]*|[CM](?:[0-9A-Fa-f]{2}){2,3}"
#: and formatting commands, where neither point nor sign is a delimiter
_COMMANDS = r"|\.(?:sp|in|ti|sk|ce|fi|nf)[+-]?[0-9]*"


def unescape(text: str, delimiters: Delimiters) -> str:
    """Return *text* with its escape sequences resolved; never raises, unknown ones stay."""
    mark = delimiters.escape
    if not mark or mark not in text:
        return text
    parts = text.split(mark)
    letters = delimiters.letters
    if len(parts) == 3 and parts[1] in letters:
        # One sequence for one delimiter, as it is nearly always.
        return parts[0] + letters[parts[1]] + parts[2]
    pattern, replace = delimiters.reader or _reader(delimiters)
    return pattern.sub(replace, text)


def escape(text: str, delimiters: Delimiters) -> str:
    """
    Return *text* as it is written inside a leaf: no delimiter, no line end is left in it.

    Raises:
        Hl7Error: the text needs escaping and the message declares no escape character.
    """
    if text.isalnum():
        return text
    pattern, replace = delimiters.writer or _writer(delimiters)
    return pattern.sub(replace, text)


def translate(text: str, source: Delimiters, target: Delimiters) -> str:
    """
    Return the leaf *text*, written with *source*, as *target* writes it.

    Sequences stay sequences; anything else that would cut the leaf is escaped, so this is
    also how text of unknown origin is made safe (*source* equal to *target*).
    """
    if not source.escape or source.escape not in text:
        return escape(text, target)
    pattern, replace = source.reader or _reader(source)
    parts: list[str] = []
    position = 0
    for match in pattern.finditer(text):
        parts.append(escape(text[position : match.start()], target))
        if match.lastgroup in ("keep", "hex") and target.escape:
            parts.append(target.escape + match.group()[1:-1] + target.escape)
        else:
            parts.append(escape(replace(match), target))
        position = match.end()
    parts.append(escape(text[position:], target))
    return "".join(parts)


def _reader(delimiters: Delimiters) -> Substitution:
    """Compile, and keep with the delimiters, how their reader works."""
    mark, verbatim = re.escape(delimiters.escape), _verbatim(delimiters)
    pattern = re.compile(
        rf"{mark}(?:(?P<letter>[FSTREP])|X(?P<hex>(?:[0-9A-Fa-f]{{2}})+)|(?P<line>\.br)"
        rf"|(?P<keep>{verbatim})){mark}"
    )
    letters = delimiters.letters

    def replace(match: re.Match[str]) -> str:
        kind = match.lastgroup
        if kind == "letter":
            return letters[match["letter"]]
        if kind == "line":
            return "\n"
        if kind == "hex":
            return _from_hex(match["hex"]) or match.group()
        return match.group()

    object.__setattr__(delimiters, "reader", (pattern, replace))
    return pattern, replace


def _has_commands(delimiters: Delimiters) -> bool:
    marks = delimiters.field + delimiters.encoding_characters
    return not set(".+-") & set(marks)


def _verbatim(delimiters: Delimiters) -> str:
    return _VERBATIM + _COMMANDS if _has_commands(delimiters) else _VERBATIM


def _from_hex(digits: str) -> str:
    """Return the ASCII text, or "" where bytes above 7F need a character set nobody named."""
    found = bytes.fromhex(digits)
    return found.decode("ascii") if found.isascii() else ""


def _writer(delimiters: Delimiters) -> Substitution:
    """Compile, and keep with the delimiters, how their writer works."""
    mark = delimiters.escape
    table = {
        delimiters.field: "F",
        delimiters.component: "S",
        delimiters.subcomponent: "T",
        delimiters.repetition: "R",
        delimiters.escape: "E",
        # The truncation character is not escaped: most who declare it are below 2.7, where
        # nobody reads \P\, and inside a value it means itself.
        "\r\n": "X0D0A",
        "\r": "X0D",
        "\n": ".br" if _has_commands(delimiters) else "X0A",
    }
    table.pop("", None)
    alternatives = "|".join(re.escape(char) for char in sorted(table, key=len, reverse=True))
    if mark:
        sign = re.escape(mark)
        # An undecodable \X..\ stays verbatim when read, so it must when written.
        keep = rf"{sign}(?:{_verbatim(delimiters)}|X(?:[0-9A-Fa-f]{{2}})*[89A-Fa-f][0-9A-Fa-f]"
        alternatives = rf"(?P<keep>{keep}(?:[0-9A-Fa-f]{{2}})*){sign})|{alternatives}"
    pattern = re.compile(alternatives)

    def replace(match: re.Match[str]) -> str:
        found = match.group()
        if not mark:
            raise Hl7Error(
                "the text holds a delimiter and the message declares no escape character",
                code="HL7-012",
                where="MSH-2",
                fix="declare one in MSH-2 (a step may set it), or take the delimiter out",
            )
        letter = table.get(found)
        return found if letter is None else mark + letter + mark

    object.__setattr__(delimiters, "writer", (pattern, replace))
    return pattern, replace
