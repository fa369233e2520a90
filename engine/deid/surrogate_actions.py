"""The stand-ins of test data on each shape of datatype."""

from __future__ import annotations

from engine.deid import shapes
from engine.deid.actions import Treatment, clear, collected, join, repeated
from engine.deid.chinese_id import is_citizen_number
from engine.deid.cuts import on_dates, shifted, zip3
from engine.deid.dates import shift_date
from engine.deid.normalise import fold, has_han, squeeze
from engine.deid.pseudonym_actions import number_domain, pseudonym
from engine.deid.run import Run


def surrogate(kind: str, datatype: str, slot: str) -> Treatment:
    """Return what puts a valid-looking stand-in in the place of a value."""
    if datatype in shapes.PERSON:
        return repeated(collected(kind, datatype, _surrogate_person))
    if datatype in shapes.STAFF:
        return repeated(collected(kind, datatype, _surrogate_staff))
    if datatype in shapes.PHONE:
        return repeated(collected(kind, datatype, _surrogate_phone))
    if datatype in shapes.ADDRESS:
        return repeated(collected(kind, datatype, _surrogate_address))
    if datatype in shapes.DATE or datatype in shapes.DATED:
        return on_dates(kind, datatype, shifted)
    if datatype in shapes.DOCUMENT or datatype in shapes.STAFF_NESTED:
        return pseudonym(kind, datatype, slot)
    if (
        datatype in shapes.NUMBER
        or datatype in shapes.ENTITY
        or datatype in ("ST", "NM", "SI", "ID")
    ):
        return repeated(collected(kind, datatype, _surrogate_number(slot)))
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
