"""
Handing what a field held to the identifiers: which component is a name, a number, a phone.

Collectors take one repetition. Where a field's kind identifies nobody there is no collector.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.deid import shapes
from engine.deid.run import Run

Collector = Callable[[str, Run], None]

#: kinds whose text leaves are numbers that find somebody
_NUMBERS = frozenset(
    {"patient_id", "government_id", "insurance_id", "order_id", "message_id", "device"}
)
#: kinds about persons, collected by datatype
_PERSONAL = frozenset(
    {"patient_name", "relative", "staff", "staff_private", "address", "contact", "birth_date"}
)
#: kinds that only matter as traces: an id that is a time is no proof of a leak
_TRACES = frozenset({"order_id", "message_id", "device"})
_TIME = re.compile(r"(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9.]*\Z")


def collector(kind: str, datatype: str, *, towns: bool = True) -> Collector | None:
    """Return what remembers a value of this kind and datatype, None where nothing is to be."""
    if kind in _NUMBERS:
        if datatype in shapes.ENTITY_PAIR:
            return _pair
        return _trace if kind in _TRACES else _number
    if kind == "query":
        return _staff if datatype in shapes.STAFF else _query
    if kind not in _PERSONAL:
        return None
    if datatype in shapes.DATE:
        return _birth if kind in ("birth_date", "relative", "staff_private") else None
    if datatype in shapes.ADDRESS:
        return _address if towns else _street
    return _BY_DATATYPE.get(datatype)


def _person(value: str, run: Run) -> None:
    parts = value.split(run.component)
    family = parts[0].split(run.subcomponent) if parts[0] else [""]
    given = run.text(parts[1]) if len(parts) > 1 else ""
    more = [run.text(part) for part in (*family[1:], *parts[2:3]) if part]
    run.identifiers.add_name(run.text(family[0]), given, more)


def _staff(value: str, run: Run) -> None:
    parts = value.split(run.component)
    if parts[0]:
        run.identifiers.add_id(run.text(parts[0]))
    if len(parts) > 1:
        _person(run.component.join(parts[1:4]), run)


def _nested_staff(value: str, run: Run) -> None:
    inner = value.split(run.component, 1)[0].split(run.subcomponent)
    if inner[0]:
        run.identifiers.add_id(run.text(inner[0]))
    if len(inner) > 1:
        texts = [run.text(part) for part in inner[1:4]] + ["", ""]
        run.identifiers.add_name(texts[0], texts[1], [text for text in texts[2:3] if text])


def _number(value: str, run: Run) -> None:
    first = value.split(run.component, 1)[0].split(run.subcomponent, 1)[0]
    if first:
        run.identifiers.add_id(run.text(first))


def _trace(value: str, run: Run) -> None:
    first = value.split(run.component, 1)[0].split(run.subcomponent, 1)[0]
    if first and not _TIME.match(first):
        run.identifiers.add_id(run.text(first))


def _pair(value: str, run: Run) -> None:
    for half in value.split(run.component)[:2]:
        _trace(half.split(run.subcomponent, 1)[0], run)


def _query(value: str, run: Run) -> None:
    """Numbers of a query, and the name behind @PID.5.1."""
    before = ""
    for part in re.split("[" + re.escape(run.component + run.subcomponent) + "]", value):
        text = run.text(part)
        if before.lstrip("@").startswith("PID.5"):
            run.identifiers.add_name(text, "")
        elif len(text) >= 4 and any(char.isdigit() for char in text) and not _TIME.match(text):
            run.identifiers.add_id(text)
        before = text


def _address(value: str, run: Run) -> None:
    _street(value, run)
    parts = value.split(run.component)
    for place in (2, 4, 8):
        if len(parts) > place and parts[place]:
            run.identifiers.add_town(run.text(parts[place]))


def _street(value: str, run: Run) -> None:
    for part in value.split(run.component)[:2]:
        inner = part.split(run.subcomponent)
        for piece in inner[:2]:
            run.identifiers.add_address(run.text(piece))


def _phone(value: str, run: Run) -> None:
    parts = value.split(run.component)
    texts = [run.text(part) for part in parts]
    if "@" in texts[0]:
        run.identifiers.add_email(texts[0])
    else:
        run.identifiers.add_phone(texts[0])
    if len(texts) > 3 and texts[3]:
        run.identifiers.add_email(texts[3])
    if len(texts) > 6:
        run.identifiers.add_phone(texts[5] + texts[6])
    if len(texts) > 8 and texts[8] and not texts[8].isdigit():
        run.identifiers.add_email(texts[8])
    if len(texts) > 11:
        run.identifiers.add_phone(texts[11])


def _birth(value: str, run: Run) -> None:
    run.identifiers.add_birth(run.text(value.split(run.component, 1)[0]))


def _organisation(value: str, run: Run) -> None:
    run.identifiers.add_town(run.text(value.split(run.component, 1)[0]))


def _text(value: str, run: Run) -> None:
    text = run.text(value)
    if any(char.isdigit() for char in text):
        run.identifiers.add_id(text)
    else:
        run.identifiers.add_town(text)


_BY_DATATYPE: dict[str, Collector] = {
    **dict.fromkeys(shapes.PERSON, _person),
    **dict.fromkeys(shapes.STAFF, _staff),
    **dict.fromkeys(shapes.STAFF_NESTED, _nested_staff),
    **dict.fromkeys((*shapes.NUMBER, *shapes.ENTITY, "PLN", "DLN"), _number),
    **dict.fromkeys(shapes.PHONE, _phone),
    "XON": _organisation,
    "ST": _text,
}
