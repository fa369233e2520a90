"""
What a message can be found by: patient ids, visits, orders, names, its control id.

Rules of this file: read from the received message, segment by segment, only fields that hold such
things; null and empty are left out; every value is given once.
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.hl7.message import Message
from engine.hl7.segment import Segment
from engine.model.records import Term

#: segment -> (kind, field) whose first component is an id, in every repetition
_IDS: dict[str, tuple[tuple[str, int], ...]] = {
    "PID": (("patient", 2), ("patient", 3), ("patient", 4), ("visit", 18)),
    "PV1": (("visit", 19), ("visit", 50)),
    "MRG": (("patient", 1), ("patient", 2), ("patient", 4), ("visit", 3), ("visit", 5)),
    "ORC": (("order", 2), ("order", 3), ("order", 4)),
    "OBR": (("order", 2), ("order", 3)),
    "SCH": (("order", 1), ("order", 2)),
    "QPD": (("patient", 3),),
    "FT1": (("order", 23),),
    "TXA": (("order", 12), ("order", 14), ("order", 15)),
}
#: segment -> field that holds names
_NAMES = {"PID": 5, "MRG": 7}
_LONGEST = 200


def find_terms(message: Message, control_id: str) -> tuple[Term, ...]:
    """Return the terms of *message*."""
    terms: dict[Term, None] = {}
    if control_id:
        terms[Term("control_id", control_id)] = None
    names = message.segment_names()
    for name in dict.fromkeys(names):
        if name not in _IDS:
            continue
        for segment in message.segments(name):
            for term in _terms_of(segment, message):
                terms[term] = None
    return tuple(terms)


def _terms_of(segment: Segment, message: Message) -> Iterator[Term]:
    fields = segment.fields()
    count = len(fields)
    marks = message.delimiters
    for kind, number in _IDS[segment.name]:
        if number >= count or not fields[number]:
            continue
        for repetition in _cut(fields[number], marks.repetition):
            text = _cut(_cut(repetition, marks.component)[0], marks.subcomponent)[0].strip()
            if text and text != '""' and len(text) <= _LONGEST:
                yield Term(kind, text)
    number = _NAMES.get(segment.name, count)
    if number < count and fields[number]:
        for repetition in _cut(fields[number], marks.repetition):
            yield from _names_in(repetition, marks.component, marks.subcomponent)


def _names_in(name: str, component: str, subcomponent: str) -> Iterator[Term]:
    """Return the family name, and family and given name together."""
    parts = [_cut(part, subcomponent)[0].strip() for part in _cut(name, component)[:2]]
    known = [part for part in parts if part and part != '""']
    if known and len(" ".join(known)) <= _LONGEST:
        yield Term("name", known[0])
        if len(known) > 1:
            yield Term("name", " ".join(known))


def _cut(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator and separator in text else [text]
