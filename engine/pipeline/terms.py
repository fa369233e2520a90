"""
What a message can be found by: patient ids, visits, orders, names, its control id.

Rules of this file: read from the received message, segment by segment, only fields that hold such
things; null and empty are left out; every value is given once.
"""

from __future__ import annotations

from engine.hl7.delimiters import Delimiters
from engine.hl7.message import Message
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
    found: list[Term] = [Term("control_id", control_id)] if control_id else []
    marks = message.delimiters
    for name in dict.fromkeys(message.segment_names()):
        places = _IDS.get(name)
        if places is None:
            continue
        for segment in message.segments(name):
            fields = segment.fields()
            count = len(fields)
            for kind, number in places:
                if number < count and fields[number]:
                    _add_ids(found, kind, fields[number], marks)
            number = _NAMES.get(name, count)
            if number < count and fields[number]:
                _add_names(found, fields[number], marks)
    return tuple(dict.fromkeys(found))


def _add_ids(found: list[Term], kind: str, text: str, marks: Delimiters) -> None:
    """Note the first component of every repetition."""
    repetition, component, subcomponent = marks.repetition, marks.component, marks.subcomponent
    for value in text.split(repetition) if repetition and repetition in text else (text,):
        if component and component in value:
            value = value.partition(component)[0]
        if subcomponent and subcomponent in value:
            value = value.partition(subcomponent)[0]
        value = value.strip()
        if value and value != '""' and len(value) <= _LONGEST:
            found.append(Term(kind, value))


def _add_names(found: list[Term], text: str, marks: Delimiters) -> None:
    """Note the family name, and family and given name together."""
    repetition, component, subcomponent = marks.repetition, marks.component, marks.subcomponent
    for name in text.split(repetition) if repetition and repetition in text else (text,):
        parts = name.split(component, 2)[:2] if component else [name]
        if subcomponent and subcomponent in name:
            parts = [part.partition(subcomponent)[0] for part in parts]
        known = [part for raw in parts if (part := raw.strip()) and part != '""']
        if known and len(name) <= _LONGEST:
            found.append(Term("name", known[0]))
            if len(known) > 1:
                found.append(Term("name", " ".join(known)))
