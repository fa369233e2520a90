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
from engine.deid.collect import collector
from engine.deid.dates import is_date
from engine.deid.run import Run

Treatment = Callable[[str, Run], str]

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
        return in_place(scrub_leaves)

    def treat(value: str, run: Run) -> str:
        return value if is_date(value) else scrub_leaves(value, run)

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
        return in_place(scrub_leaves)
    if datatype in ("ID", "IS"):
        return in_place(_scrub_code)
    if datatype in shapes.NUMERIC:
        return in_place(_scrub_number)
    return in_place(scrub_leaves)


def _scrub_leaf(value: str, run: Run) -> str:
    return value if _CODE.match(value) and run.clean else run.scrub(value)


def scrub_leaves(value: str, run: Run) -> str:
    """Search every leaf of a component or repetition."""
    if run.clean:
        return value
    marks = (run.component, run.subcomponent)
    for mark in marks:
        if mark in value:
            return mark.join([scrub_leaves(part, run) for part in value.split(mark)])
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
    return mark.join([first, *[scrub_leaves(part, run) for part in rest]])


def _scrub_code(value: str, run: Run) -> str:
    return value if run.clean else scrub_leaves(value, run)


def _scrub_number(value: str, run: Run) -> str:
    return value if _NUMERIC.match(value) else scrub_leaves(value, run)


def _scrub_coded(value: str, run: Run) -> str:
    value = _without_original_text(value, run)
    return value if run.clean else scrub_leaves(value, run)


def collected(kind: str, datatype: str, treat: Treatment) -> Treatment:
    """Return *treat*, remembering first what the field held."""
    collect = collector(kind, datatype)
    if collect is None:
        return treat

    def both(value: str, run: Run) -> str:
        if run.identifiers.is_new(collect, value):
            collect(value, run)
        return treat(value, run)

    return both
