"""Pseudonyms in the place of identifiers, by shape of datatype; what stands beside them stays."""

from __future__ import annotations

import re

from engine.deid import shapes
from engine.deid.actions import Treatment, clear, collected, join, repeated
from engine.deid.normalise import fold, squeeze
from engine.deid.pseudonyms import domain_of
from engine.deid.run import Run


def pseudonym(kind: str, datatype: str, slot: str) -> Treatment:
    """
    Return what puts pseudonyms in the place of identifiers.

    Args:
        slot: type of an identifier that names none (MR for PID-3, AN for PID-18, VN for PV1-19).
    """
    if datatype in shapes.PERSON:
        return repeated(collected(kind, datatype, _pseudonym_person))
    if datatype in shapes.STAFF:
        return repeated(collected(kind, datatype, _pseudonym_staff))
    if datatype in shapes.STAFF_NESTED:
        return repeated(collected(kind, datatype, _pseudonym_nested_staff))
    if datatype in shapes.NUMBER:
        return repeated(collected(kind, datatype, _pseudonym_number(slot)))
    if datatype in shapes.ENTITY:
        return repeated(collected(kind, datatype, _pseudonym_entity))
    if datatype in shapes.ENTITY_PAIR:
        return repeated(collected(kind, datatype, _pseudonym_pair))
    if datatype in shapes.DATE or datatype in shapes.DOCUMENT or datatype in shapes.PHONE:
        return clear(kind, datatype)
    if datatype in ("ED", "RP", "XAD", "AD"):
        return clear(kind, datatype)
    return repeated(collected(kind, datatype, _pseudonym_first(kind)))


def number_domain(parts: list[str], run: Run, slot: str) -> str:
    """Return the pseudonym domain of a CX from its type and authority."""
    type_code = run.text(parts[4].split(run.subcomponent)[0]) if len(parts) > 4 else ""
    authority = run.text(parts[3].split(run.subcomponent)[0]) if len(parts) > 3 else ""
    return domain_of(type_code or slot, authority)


def _pseudonym_number(slot: str) -> Treatment:
    def treat(value: str, run: Run) -> str:
        if value == '""':
            return value
        parts = value.split(run.component)
        if parts[0]:
            domain = number_domain(parts, run, slot)
            parts[0] = run.pseudonym(domain, run.text(parts[0]).strip())
        if len(parts) > 1:
            parts[1:3] = ["", ""][: len(parts) - 1]
        for place in range(6, len(parts)):
            parts[place] = ""
        return join(parts, run.component)

    return treat


_UID = re.compile(r"[0-2](?:\.[0-9]+){4,}\Z")


def pseudonym_of_entity(value: str, authority: str, run: Run) -> str:
    """Return the pseudonym of an order, document or visit number; a UID stays a UID."""
    if _UID.match(value):
        return run.uid(value)
    return run.pseudonym(domain_of("EI", authority), value.strip())


def _pseudonym_entity(value: str, run: Run) -> str:
    parts = value.split(run.component)
    if parts[0] and parts[0] != '""':
        # The namespace is left out of the domain: ORC and OBR often differ in it for one order.
        parts[0] = pseudonym_of_entity(run.text(parts[0]), "", run)
    return join(parts[:4], run.component)


def _pseudonym_pair(value: str, run: Run) -> str:
    halves = value.split(run.component)[:2]
    for place, half in enumerate(halves):
        inner = half.split(run.subcomponent)
        if inner[0]:
            inner[0] = pseudonym_of_entity(run.text(inner[0]), "", run)
        halves[place] = join(inner[:4], run.subcomponent)
    return join(halves, run.component)


def _pseudonym_first(kind: str) -> Treatment:
    domain = domain_of({"order_id": "EI", "message_id": "MSG"}.get(kind, kind), "")

    def treat(value: str, run: Run) -> str:
        parts = value.split(run.component)
        first = parts[0].split(run.subcomponent)[0]
        if not first or first == '""':
            return first
        text = run.text(first)
        return run.uid(text) if _UID.match(text) else run.pseudonym(domain, text.strip())

    return treat


def _pseudonym_person(value: str, run: Run) -> str:
    parts = value.split(run.component)
    name = squeeze(fold(run.text(parts[0]) + run.text(parts[1] if len(parts) > 1 else "")))
    kept = parts[6:8]
    family = run.pseudonym("name", name) if name else ""
    return join([family, "", "", "", "", "", *kept], run.component)


#: identifier types of the state: gone even where other numbers of staff get a pseudonym
STATE_TYPES = frozenset(
    {"SS", "NI", "NNCHN", "PPN", "DL", "DLN", "TAX", "MI", "CZ", "SIN", "PRC", "PC", "VS", "TCN"}
)


def _pseudonym_staff(value: str, run: Run) -> str:
    parts = value.split(run.component)
    number = run.text(parts[0]).strip()
    type_code = parts[12].split(run.subcomponent)[0] if len(parts) > 12 else ""
    if number == '""':
        return value if len(parts) == 1 else ""
    if not number or type_code.upper() in STATE_TYPES:
        number = squeeze(fold(run.text(run.component.join(parts[1:3])))) if len(parts) > 1 else ""
    made = run.pseudonym("staff", number) if number else ""
    authority = parts[8] if len(parts) > 8 else ""
    return join([made, "", "", "", "", "", "", "", authority], run.component)


def _pseudonym_nested_staff(value: str, run: Run) -> str:
    parts = value.split(run.component)
    inner = parts[0].split(run.subcomponent)
    number = run.text(inner[0]).strip() or squeeze(fold(run.text("".join(inner[1:3]))))
    made = run.pseudonym("staff", number) if number else ""
    places = {4: parts[3] if len(parts) > 3 else "", 7: parts[6] if len(parts) > 6 else ""}
    return join([made, "", "", places[4], "", "", places[7]], run.component)
