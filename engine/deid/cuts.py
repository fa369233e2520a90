"""Dates and places made coarser: shifted, cut to the year, to the region, to the ward."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.deid import shapes
from engine.deid.actions import Treatment, clear, in_place, join, repeated, scrub_leaves
from engine.deid.collect import collector
from engine.deid.dates import birth_year, cap_age, shift_date, year_of
from engine.deid.identifiers import ADDRESS, NOBODY, View
from engine.deid.run import Run

#: three-digit zip areas of 20,000 people or fewer, written 000
#: Source: HHS guidance on 45 CFR 164.514(b)(2)(i)(B), census of 2000
SMALL_ZIP_AREAS = frozenset(
    {
        "036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878",
        "879", "884", "890", "893",
    }
)  # fmt: skip


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
                parts[place - 1] = scrub_leaves(part, run)
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


def without_identifiers(value: str, run: Run) -> str:
    """Empty what of an address is no address: an account number in the zip code, a name."""
    if run.clean or run.present is NOBODY:
        return value
    parts = value.split(run.repetition)
    for number, part in enumerate(parts):
        pieces = part.split(run.component)
        parts[number] = join(["" if _is_foreign(p, run) else p for p in pieces], run.component)
    return run.repetition.join(parts)


def _is_foreign(piece: str, run: Run) -> bool:
    hits = run.present.hard.find(View(run.text(piece))) if piece else []
    return any(kind != ADDRESS for _, _, kind in hits)


def unit(kind: str, datatype: str) -> Treatment:
    """Return what cuts a location to ward and facility."""
    if datatype not in shapes.PLACE:
        return in_place(scrub_leaves)

    def treat(value: str, run: Run) -> str:
        parts = (value.split(run.component) + [""] * 6)[:6]
        parts[1] = parts[2] = ""
        return join(parts, run.component)

    return repeated(treat)
