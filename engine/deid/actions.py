"""
What becomes of one field: each action on each shape of datatype.

Rules of this file: a treatment takes a field's structural text (never empty) and the run, and
returns structural text; what it takes away it first hands to the run's identifiers. An unknown
shape is emptied. ``treatment`` is called when a profile is compiled, treatments per message.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.deid import shapes
from engine.deid.chinese_id import is_citizen_number
from engine.deid.collect import collector
from engine.deid.dates import birth_year, cap_age, is_date, shift_date, year_of
from engine.deid.masks import mask_email, mask_name, mask_number, mask_phone
from engine.deid.normalise import fold, has_han, squeeze
from engine.deid.pseudonyms import domain_of
from engine.deid.run import Run

Treatment = Callable[[str, Run], str]

#: three-digit zip areas of 20,000 people or fewer, written 000
#: Source: HHS guidance on 45 CFR 164.514(b)(2)(i)(B), census of 2000
SMALL_ZIP_AREAS = frozenset(
    {
        "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878",
        "879", "884", "890", "893",
    }
)  # fmt: skip
_CODE = re.compile(r"[!-~]{1,20}\Z")
_NUMERIC = re.compile(r"[0-9.,+\-*/^&:%<>=() ]{1,40}\Z")


def repeated(treat: Treatment) -> Treatment:
    """Return *treat* for each repetition; emptied repetitions go."""

    def each(value: str, run: Run) -> str:
        mark = run.repetition
        if mark not in value:
            return treat(value, run)
        parts = [treat(part, run) for part in value.split(mark) if part]
        return mark.join([part for part in parts if part])

    return each


def in_place(treat: Treatment) -> Treatment:
    """Return *treat* for each repetition; each keeps its place."""

    def each(value: str, run: Run) -> str:
        mark = run.repetition
        if mark not in value:
            return treat(value, run)
        return mark.join([treat(part, run) if part else "" for part in value.split(mark)])

    return each


def both(first: Treatment, second: Treatment) -> Treatment:
    """Return the two treatments one after the other."""

    def treat(value: str, run: Run) -> str:
        changed = first(value, run)
        return second(changed, run) if changed else ""

    return treat


def join(parts: list[str], mark: str) -> str:
    """Return components as text, without empty ones at the end."""
    return mark.join(parts).rstrip(mark)


# -- clear and keep ---------------------------------------------------------------------------


def clear(kind: str, datatype: str) -> Treatment:
    """Return what empties a field and remembers what it held."""
    collect = collector(kind, datatype)
    if collect is None:
        return lambda value, run: ""

    def treat(value: str, run: Run) -> str:
        if run.identifiers.is_new(collect, value):
            mark = run.repetition
            for part in value.split(mark) if mark in value else (value,):
                collect(part, run)
        return ""

    return treat


def keep(kind: str, datatype: str) -> Treatment | None:
    """Return None (leave as it is) but for CWE.9, the original text behind a code."""
    if datatype in ("CWE", "CE", "CF", "CNE"):
        return in_place(_without_original_text)
    return None


def keep_date(datatype: str) -> Treatment:
    """Return what keeps dates as they are and searches what is no date."""
    if datatype not in shapes.DATE:
        return in_place(_scrub_leaves)

    def treat(value: str, run: Run) -> str:
        return value if is_date(value) else _scrub_leaves(value, run)

    return in_place(treat)


def _without_original_text(value: str, run: Run) -> str:
    parts = value.split(run.component)
    if len(parts) < 9 or not parts[8]:
        return value
    parts[8] = ""
    return join(parts, run.component)


# -- scrub and code ---------------------------------------------------------------------------


def scrub(kind: str, datatype: str) -> Treatment:
    """Return what takes identifiers out of text, leaf by leaf; codes stay codes."""
    if datatype in ("CE", "CWE", "CNE", "CF"):
        return in_place(_scrub_coded)
    if datatype in shapes.DATED:
        return in_place(_scrub_leaves)
    if datatype in ("ID", "IS"):
        return in_place(_scrub_code)
    if datatype in shapes.NUMERIC:
        return in_place(_scrub_number)
    return in_place(_scrub_leaves)


def _scrub_leaf(value: str, run: Run) -> str:
    return value if _CODE.match(value) and run.clean else run.scrub(value)


def _scrub_leaves(value: str, run: Run) -> str:
    if run.clean:
        return value
    marks = (run.component, run.subcomponent)
    for mark in marks:
        if mark in value:
            return mark.join([_scrub_leaves(part, run) for part in value.split(mark)])
    return run.scrub(value)


def search_rest(datatype: str) -> Treatment:
    """Return what searches the components beside a pseudonym: authorities, namespaces."""
    if datatype in shapes.ENTITY_PAIR:

        def treat_pair(value: str, run: Run) -> str:
            halves = value.split(run.component)
            return run.component.join([_rest(half, run.subcomponent, run) for half in halves])

        return in_place(treat_pair)
    return in_place(lambda value, run: _rest(value, run.component, run))


def _rest(value: str, mark: str, run: Run) -> str:
    if run.clean or mark not in value:
        return value
    first, *rest = value.split(mark)
    return mark.join([first, *[_scrub_leaves(part, run) for part in rest]])


def _scrub_code(value: str, run: Run) -> str:
    return value if run.clean else _scrub_leaves(value, run)


def _scrub_number(value: str, run: Run) -> str:
    return value if _NUMERIC.match(value) else _scrub_leaves(value, run)


def _scrub_coded(value: str, run: Run) -> str:
    value = _without_original_text(value, run)
    return value if run.clean else _scrub_leaves(value, run)


# -- pseudonym --------------------------------------------------------------------------------


def pseudonym(kind: str, datatype: str, slot: str) -> Treatment:
    """
    Return what puts pseudonyms in the place of identifiers.

    Args:
        slot: type of an identifier that names none (MR for PID-3, AN for PID-18, VN for PV1-19).
    """
    if datatype in shapes.PERSON:
        return repeated(_collected(kind, datatype, _pseudonym_person))
    if datatype in shapes.STAFF:
        return repeated(_collected(kind, datatype, _pseudonym_staff))
    if datatype in shapes.STAFF_NESTED:
        return repeated(_collected(kind, datatype, _pseudonym_nested_staff))
    if datatype in shapes.NUMBER:
        return repeated(_collected(kind, datatype, _pseudonym_number(slot)))
    if datatype in shapes.ENTITY:
        return repeated(_collected(kind, datatype, _pseudonym_entity))
    if datatype in shapes.ENTITY_PAIR:
        return repeated(_collected(kind, datatype, _pseudonym_pair))
    if datatype in shapes.DATE or datatype in shapes.DOCUMENT or datatype in shapes.PHONE:
        return clear(kind, datatype)
    if datatype in ("ED", "RP", "XAD", "AD"):
        return clear(kind, datatype)
    return repeated(_collected(kind, datatype, _pseudonym_first(kind)))


def _collected(kind: str, datatype: str, treat: Treatment) -> Treatment:
    collect = collector(kind, datatype)
    if collect is None:
        return treat

    def both(value: str, run: Run) -> str:
        if run.identifiers.is_new(collect, value):
            collect(value, run)
        return treat(value, run)

    return both


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
        return run.keys.uid(value)
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
        return run.keys.uid(text) if _UID.match(text) else run.pseudonym(domain, text.strip())

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


# -- dates ------------------------------------------------------------------------------------


def on_dates(kind: str, datatype: str, change: Callable[[str, Run], str]) -> Treatment:
    """Return what applies *change* to every date of the datatype; text beside it is scrubbed."""
    collect = (
        collector(kind, datatype) if kind in ("birth_date", "relative", "staff_private") else None
    )

    def one(value: str, run: Run) -> str:
        if value == '""':
            return value
        if collect is not None:
            collect(value, run)
        return change(run.text(value.split(run.component, 1)[0]), run)

    shape = shapes.DATED.get(datatype)
    if shape is None:
        return repeated(one)

    def several(value: str, run: Run) -> str:
        parts = value.split(run.component)
        for place, part in enumerate(parts, 1):
            if not part or place in shape.gone:
                parts[place - 1] = ""
            elif place in shape.dates:
                parts[place - 1] = change(run.text(part.split(run.subcomponent, 1)[0]), run)
            else:
                parts[place - 1] = _scrub_leaves(part, run)
        return join(parts, run.component)

    return repeated(several)


def shifted(text: str, run: Run) -> str:
    """Move a date by the patient's days."""
    return shift_date(text, run.days)


def year(text: str, run: Run) -> str:
    """Cut a date to its year."""
    return year_of(text)


def capped(text: str, run: Run) -> str:
    """Cut a birth date to its year, empty for those who may be over 89."""
    return birth_year(text, run.today)


def capped_age(value: str, run: Run) -> str:
    """Cap an age at 90."""
    return cap_age(value)


# -- places -----------------------------------------------------------------------------------


def zip3(value: str) -> str:
    """Return the part of a zip code that may stay: 3 digits (US), 2 digits (China)."""
    digits = value.strip()
    if re.fullmatch(r"[0-9]{5}(?:-?[0-9]{4})?", digits):
        return "000" if digits[:3] in SMALL_ZIP_AREAS else digits[:3]
    if re.fullmatch(r"[0-9]{6}", digits):
        return digits[:2]
    return ""


def region(kind: str, datatype: str, *, town: bool) -> Treatment:
    """Return what cuts an address: to state and zip3, or (town) to town, state and zip."""
    if datatype not in shapes.ADDRESS:
        return clear(kind, datatype)
    collect = collector(kind, datatype, towns=not town)

    def treat(value: str, run: Run) -> str:
        if collect is not None:
            collect(value, run)
        parts = (value.split(run.component) + [""] * 7)[:7]
        if town:
            return join(["", "", *parts[2:7]], run.component)
        return join(["", "", "", parts[3], zip3(parts[4]), parts[5], parts[6]], run.component)

    return repeated(treat)


def unit(kind: str, datatype: str) -> Treatment:
    """Return what cuts a location to ward and facility."""
    if datatype not in shapes.PLACE:
        return in_place(_scrub_leaves)

    def treat(value: str, run: Run) -> str:
        parts = (value.split(run.component) + [""] * 6)[:6]
        parts[1] = parts[2] = ""
        return join(parts, run.component)

    return repeated(treat)


# -- mask -------------------------------------------------------------------------------------


def mask(kind: str, datatype: str) -> Treatment:
    """Return what hides the middle of a value, for screens."""
    if datatype in shapes.PERSON:
        return repeated(_collected(kind, datatype, _mask_person))
    if datatype in shapes.STAFF:
        return repeated(_collected(kind, datatype, _mask_staff))
    if datatype in shapes.PHONE:
        return repeated(_collected(kind, datatype, _mask_phone))
    if datatype in shapes.ADDRESS:
        return region(kind, datatype, town=False)
    if datatype in shapes.DATE or datatype in shapes.DATED:
        return on_dates(kind, datatype, year)
    if datatype in shapes.STAFF_NESTED or datatype in shapes.DOCUMENT:
        return clear(kind, datatype)
    return repeated(_collected(kind, datatype, _mask_first))


def _mask_person(value: str, run: Run) -> str:
    parts = value.split(run.component)
    family = mask_name(run.text(parts[0].split(run.subcomponent)[0]), is_family=True)
    given = mask_name(run.text(parts[1]), is_family=False) if len(parts) > 1 else ""
    return join([run.raw(family), run.raw(given), "", "", "", "", *parts[6:8]], run.component)


def _mask_staff(value: str, run: Run) -> str:
    parts = value.split(run.component)
    number = mask_number(run.text(parts[0]))
    names = _mask_person(run.component.join(parts[1:3]), run) if len(parts) > 1 else ""
    return join([run.raw(number), *names.split(run.component)[:2]], run.component)


def _mask_phone(value: str, run: Run) -> str:
    parts = [run.text(part) for part in value.split(run.component)]
    shown = parts[0] or (parts[11] if len(parts) > 11 else "") or "".join(parts[5:7])
    mail = parts[3] if len(parts) > 3 else ""
    if "@" in shown:
        shown, mail = "", shown
    return join(
        [
            run.raw(mask_phone(shown)) if shown else "",
            "",
            "",
            run.raw(mask_email(mail)) if mail else "",
        ],
        run.component,
    )


def _mask_first(value: str, run: Run) -> str:
    parts = value.split(run.component)
    parts[0] = run.raw(mask_number(run.text(parts[0].split(run.subcomponent)[0])))
    return join([parts[0], "", "", *parts[3:6]], run.component)


# -- surrogate --------------------------------------------------------------------------------


def surrogate(kind: str, datatype: str, slot: str) -> Treatment:
    """Return what puts a valid-looking stand-in in the place of a value."""
    if datatype in shapes.PERSON:
        return repeated(_collected(kind, datatype, _surrogate_person))
    if datatype in shapes.STAFF:
        return repeated(_collected(kind, datatype, _surrogate_staff))
    if datatype in shapes.PHONE:
        return repeated(_collected(kind, datatype, _surrogate_phone))
    if datatype in shapes.ADDRESS:
        return repeated(_collected(kind, datatype, _surrogate_address))
    if datatype in shapes.DATE or datatype in shapes.DATED:
        return on_dates(kind, datatype, shifted)
    if datatype in shapes.DOCUMENT or datatype in shapes.STAFF_NESTED:
        return pseudonym(kind, datatype, slot)
    if (
        datatype in shapes.NUMBER
        or datatype in shapes.ENTITY
        or datatype in ("ST", "NM", "SI", "ID")
    ):
        return repeated(_collected(kind, datatype, _surrogate_number(slot)))
    return clear(kind, datatype)


def _surrogate_person(value: str, run: Run) -> str:
    parts = value.split(run.component)
    family = run.text(parts[0].split(run.subcomponent)[0])
    given = run.text(parts[1]) if len(parts) > 1 else ""
    last, first = run.surrogates.name(family, given)
    return join([last, first, "", "", "", "", *parts[6:8]], run.component)


def _surrogate_staff(value: str, run: Run) -> str:
    parts = value.split(run.component)
    number = run.surrogates.number("staff", run.text(parts[0])) if parts[0] else ""
    names = ["", ""]
    if len(parts) > 1:
        names = _surrogate_person(run.component.join(parts[1:3]), run).split(run.component)[:2]
    return join([run.raw(number), *names], run.component)


def _surrogate_phone(value: str, run: Run) -> str:
    shown = run.surrogates.phone(run.text(value))
    run.identifiers.surrogates.add(shown)
    return run.raw(shown)


def _surrogate_address(value: str, run: Run) -> str:
    parts = (value.split(run.component) + [""] * 7)[:7]
    street = run.surrogates.street(run.text(parts[0]))
    town = ("例市" if has_han(value) else "Quillbury") if parts[2] else ""
    return join(
        [
            street,
            "",
            town,
            parts[3],
            zip3(parts[4]) and zip3(parts[4]).ljust(len(parts[4].strip()[:6]), "0"),
            parts[5],
            parts[6],
        ],
        run.component,
    )


def _surrogate_number(slot: str) -> Treatment:
    def treat(value: str, run: Run) -> str:
        parts = value.split(run.component)
        text = run.text(parts[0].split(run.subcomponent)[0]).strip()
        if not text or text == '""':
            return text
        if is_citizen_number(squeeze(text)):
            birth = shift_date(squeeze(text)[6:14], run.days or -200)
            made = run.surrogates.citizen_number(text, birth)
        else:
            made = run.surrogates.number(number_domain(parts, run, slot), text)
        run.identifiers.surrogates.add(fold(made))
        kept = ["", "", *parts[3:6]] if len(parts) > 1 else []
        return join([run.raw(made), *kept], run.component)

    return treat
