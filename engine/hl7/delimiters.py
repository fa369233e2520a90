"""The delimiters a message declares in its first line: used as declared, at any version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field as slot
from functools import lru_cache
from re import Match, Pattern

from engine.hl7.errors import Hl7Error

#: a pattern and what becomes of its matches
Substitution = tuple[Pattern[str], Callable[[Match[str]], str]]

HEADER_NAMES = frozenset({"MSH", "FHS", "BHS"})


@dataclass(frozen=True, slots=True)
class Delimiters:
    """The characters that cut a message; "" where the message declares none."""

    field: str = "|"
    component: str = "^"
    repetition: str = "~"
    escape: str = "\\"
    subcomponent: str = "&"
    truncation: str = ""
    #: repetition, component, sub-component, escape; where one is missing a CR, which no value holds
    cuts: tuple[str, str, str, str] = slot(init=False, repr=False, compare=False)
    #: what the letter of an escape sequence stands for
    letters: dict[str, str] = slot(init=False, repr=False, compare=False)
    #: what `escapes` compiled for these delimiters
    reader: Substitution | None = slot(default=None, init=False, repr=False, compare=False)
    writer: Substitution | None = slot(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        marks = (self.repetition, self.component, self.subcomponent, self.escape)
        repetition, component, subcomponent, escape = (mark or "\r" for mark in marks)
        object.__setattr__(self, "cuts", (repetition, component, subcomponent, escape))
        letters = {
            "F": self.field,
            "S": self.component,
            "T": self.subcomponent or "&",
            "R": self.repetition or "~",
            "E": self.escape,
            "P": self.truncation or "#",
        }
        object.__setattr__(self, "letters", letters)

    @property
    def encoding_characters(self) -> str:
        """MSH-2 as it would be written; the order of the standard, not of the levels."""
        return self.component + self.repetition + self.escape + self.subcomponent + self.truncation


DEFAULT_DELIMITERS = Delimiters()

_KNOWN: dict[str, Delimiters] = {
    "|^~\\&": DEFAULT_DELIMITERS,
    "|^~\\&#": Delimiters(truncation="#"),
    # A source-code literal that went out unread: the escape doubled, nothing else meant.
    "|^~\\\\&": DEFAULT_DELIMITERS,
}


def parse_delimiters(text: str) -> Delimiters:
    """
    Return what the line *text* (from its MSH, FHS or BHS on) declares.

    An empty MSH-2 means the usual set; ``^~&`` means that there is no escape character.

    Raises:
        Hl7Error: no header, or characters that cannot all be delimiters at once.
    """
    if text[:3] not in HEADER_NAMES:
        raise Hl7Error(
            "the message does not begin with MSH",
            code="HL7-001",
            where="MSH",
            fix="an HL7 v2 message begins with MSH and its field separator",
        )
    field = text[3:4]
    encoding = ""
    if field:
        line_end = min(_find(text, "\r"), _find(text, "\n"))
        encoding = text[4:line_end].split(field, 1)[0]
    known = _KNOWN.get(field + encoding)
    return known if known is not None else _declared(text[:3], field, encoding)


def _find(text: str, char: str) -> int:
    at = text.find(char)
    return at if at >= 0 else len(text)


@lru_cache(maxsize=256)
def _declared(name: str, field: str, encoding: str) -> Delimiters:
    where = f"{name}-2"
    if not field or field.isalnum() or field.isspace():
        raise Hl7Error(f"{name}-1 is no field separator", code="HL7-002", where=f"{name}-1")
    if not encoding:
        rest = [char for char in "^~\\&" if char != field]
        if len(rest) == 4:
            return Delimiters(field=field)
        raise Hl7Error(f"{where} is empty", code="HL7-003", where=where)
    if len(encoding) > 5:
        raise Hl7Error(
            f"{where} has {len(encoding)} characters, at most 5 are known",
            code="HL7-003",
            where=where,
        )
    characters = field + encoding
    if any(char.isalnum() or char.isspace() for char in characters):
        raise Hl7Error(f"{where} holds a letter, digit or space", code="HL7-003", where=where)
    if len(set(characters)) != len(characters):
        raise Hl7Error(f"{where} names one character twice", code="HL7-003", where=where)
    if len(encoding) == 3 and encoding[2] == "&":
        component, repetition, subcomponent = list(encoding)
        return Delimiters(field, component, repetition, "", subcomponent)
    padded = [*encoding, "", "", "", ""]
    return Delimiters(field, *padded[:5])
