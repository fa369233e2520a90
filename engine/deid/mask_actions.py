"""The masks on each shape of datatype; for screens only."""

from __future__ import annotations

from engine.deid import shapes
from engine.deid.actions import Treatment, clear, collected, join, repeated
from engine.deid.cuts import on_dates, region, year
from engine.deid.masks import mask_email, mask_name, mask_number, mask_phone
from engine.deid.run import Run


def mask(kind: str, datatype: str) -> Treatment:
    """Return what hides the middle of a value, for screens."""
    if datatype in shapes.PERSON:
        return repeated(collected(kind, datatype, _mask_person))
    if datatype in shapes.STAFF:
        return repeated(collected(kind, datatype, _mask_staff))
    if datatype in shapes.PHONE:
        return repeated(collected(kind, datatype, _mask_phone))
    if datatype in shapes.ADDRESS:
        return region(kind, datatype, town=False)
    if datatype in shapes.DATE or datatype in shapes.DATED:
        return on_dates(kind, datatype, year)
    if datatype in shapes.STAFF_NESTED or datatype in shapes.DOCUMENT:
        return clear(kind, datatype)
    return repeated(collected(kind, datatype, _mask_first))


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
