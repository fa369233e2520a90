"""
All filters, tests and functions of the language, declared with what they take and give.

Rules of this file: nothing else can be called from an expression; Jinja's own filters are gone.
"""

from __future__ import annotations

from typing import Any

from engine.pipeline import numbers, text_filters, time_filters
from engine.pipeline.failures import StepFailed
from engine.pipeline.filter_specs import FilterSpec, Kind
from engine.pipeline.numbers import find_number
from engine.pipeline.run import Run
from engine.pipeline.values import Null, Raw, Value, is_equal, text_of

_MISSING: Any = object()
_TEXT, _NUMBER, _LIST, _ANY = Kind.TEXT, Kind.NUMBER, Kind.LIST, Kind.ANY


def number(value: Value, **otherwise: Value) -> Value:
    """Return the text as a number; `else` is taken where it is none, else the step fails."""
    if not isinstance(value, str):
        return numbers.number_of(value, what="number")
    found = None if isinstance(value, Null) else find_number(value)
    if found is not None:
        return found
    if "else" in otherwise:
        return otherwise["else"]
    raise StepFailed(
        "number needs a number, this is " + ("text" if value else "empty")
        + "; number(else=…) says what to take instead"
    )  # fmt: skip


def lookup(
    run: Run, value: Value, table: str, column: str, *more: Value, **otherwise: Value
) -> str:
    """Return *column* of the row whose first columns hold the value (and *more*)."""
    if isinstance(value, Null):
        return value
    known = run.tables.get(table)
    if known is None or column not in known.columns:
        raise StepFailed(f"there is no table {table} with a column {column}")
    values = [text_of(part) for part in (value, *more)]
    row = known.find(known.columns[: len(values)], values)
    if row is not None:
        run.note_row(known, row)
        return known.cell(row, column)
    if "else" in otherwise:
        return text_of(otherwise["else"])
    raise StepFailed(f"the value is not in the table {table}")


def truncate_bytes(run: Run, value: Value, limit: Value) -> str:
    """Return as many whole characters as fit into *limit* bytes of the message's encoding."""
    if isinstance(value, Null):
        return value
    size = text_filters.whole(limit, "truncate_bytes")
    encoded = text_of(value).encode(run.message.charset, "replace")
    return encoded[:size].decode(run.message.charset, "ignore")


def length(value: Value) -> int:
    """Return how many characters a text, or how many values a list has."""
    return len(value) if isinstance(value, list | tuple) else len(text_of(value))


def first(value: Value) -> Value:
    """Return the first value of a list that is not empty, "" where there is none."""
    return next((item for item in _listed(value, "first") if item), "")


def last(value: Value) -> Value:
    """Return the last value of a list that is not empty, "" where there is none."""
    return next((item for item in reversed(_listed(value, "last")) if item), "")


def unique(value: Value) -> list[Value]:
    """Return the list without repeated values, order kept."""
    kept: list[Value] = []
    for item in _listed(value, "unique"):
        if not any(is_equal(item, known) for known in kept):
            kept.append(item)
    return kept


def sort(value: Value) -> list[Value]:
    """Return the list in the order of its texts."""
    return sorted(_listed(value, "sort"), key=text_of)


def _listed(value: Value, what: str) -> list[Value]:
    if not isinstance(value, list | tuple):
        raise StepFailed(f"{what} needs a list, such as OBX[*]-5")
    return list(value)


def _spec(name: str, function: Any, example: str, **rest: Any) -> FilterSpec:
    about = (function.__doc__ or "").strip()
    return FilterSpec(name, function, about, example, **rest)


_text, _time, _numbers = text_filters, time_filters, numbers

FILTERS: dict[str, FilterSpec] = {
    spec.name: spec
    for spec in (
        _spec("upper", _text.upper, "PID-5.1 | upper"),
        _spec("lower", _text.lower, "PID-5.1 | lower"),
        _spec("trim", _text.trim, "OBX-5 | trim"),
        _spec("pad", _text.pad, "PID-3.1 | pad(10, '0')", arguments=(_NUMBER, _TEXT), required=1),
        _spec("digits", _text.digits, "PID-13.1 | digits"),
        _spec("left", _text.left, "PID-7 | left(8)", arguments=(_NUMBER,), required=1),
        _spec("right", _text.right, "PID-3.1 | right(4)", arguments=(_NUMBER,), required=1),
        _spec("mid", _text.mid, "PID-3.1 | mid(2, 3)", arguments=(_NUMBER, _NUMBER), required=1),
        _spec("split_part", _text.split_part, "PV1-3.1 | split_part('-', 1)",
              arguments=(_TEXT, _NUMBER), required=2),
        _spec("replace", _text.replace, "OBX-5 | replace(',', '.')",
              arguments=(_TEXT, _TEXT), required=2),
        _spec("regex_replace", _text.regex_replace, r"PID-13.1 | regex_replace('\D', '')",
              arguments=(_TEXT, _TEXT), required=2),
        _spec("matches", _text.matches, r"PID-3.1 | matches('^\d{8}$')", arguments=(_TEXT,),
              required=1, gives=Kind.YES_NO),
        _spec("join", _text.join, "NTE[*]-3 | join(' ')", takes=_LIST, arguments=(_TEXT,)),
        _spec("title_name", _text.title_name, "PID-5.2 | title_name"),
        _spec("cn_family", _text.cn_family, "PID-5.1 | cn_family"),
        _spec("cn_given", _text.cn_given, "PID-5.1 | cn_given"),
        _spec("default", _text.default, "PID-8 | default('U')", arguments=(_ANY,), required=1,
              takes=_ANY, gives=_ANY),
        _spec("null", _text.null, "PID-13 | null"),
        _spec("raw", _text.raw, "PID-11 | raw"),
        _spec("hl7_date", _time.hl7_date, "PID-7 | hl7_date('%Y-%m-%d')", arguments=(_TEXT,),
              required=1),
        _spec("to_hl7", _time.to_hl7, "ZPI-3 | to_hl7('%d/%m/%Y')", arguments=(_TEXT,),
              required=1),
        _spec("date", _time.date_of, "received_at | date('%Y%m%d')", arguments=(_TEXT,),
              required=1, takes=Kind.MOMENT),
        _spec("add_days", _time.add_days, "EVN-2 | add_days(7)", arguments=(_NUMBER,),
              required=1),
        _spec("date_diff", _time.date_diff, "PV1-45 | date_diff(PV1-44, 'days')",
              arguments=(_TEXT, _TEXT), required=1, gives=_NUMBER),
        _spec("age", _time.age, "PID-7 | age(PV1-44)", arguments=(_TEXT,), gives=_NUMBER,
              needs_run=True),
        _spec("truncate_bytes", truncate_bytes, "PID-5.1 | truncate_bytes(30)",
              arguments=(_NUMBER,), required=1, needs_run=True),
        _spec("number", number, "OBX-5 | number(else=0)", takes=_ANY, gives=_NUMBER,
              named=("else",)),
        _spec("times", _numbers.times, "OBX-5 | times(18.016)", takes=_ANY, gives=_NUMBER,
              arguments=(_ANY,), required=1),
        _spec("plus", _numbers.plus, "OBX-5 | plus(273.15)", takes=_ANY, gives=_NUMBER,
              arguments=(_ANY,), required=1),
        _spec("decimals", _numbers.round_to, "OBX-5 | times(0.0555) | decimals(2)", takes=_ANY,
              gives=_NUMBER, arguments=(_NUMBER,), required=1),
        _spec("lookup", lookup, "PID-8 | lookup('sex', 'lis', else='9')", needs_run=True,
              arguments=(_TEXT, _TEXT), required=2, more=_TEXT, named=("else",)),
        _spec("length", length, "PID-5.1 | length", takes=_ANY, gives=_NUMBER),
        _spec("first", first, "PID-3[*].1 | first", takes=_LIST),
        _spec("last", last, "PID-3[*].1 | last", takes=_LIST),
        _spec("unique", unique, "OBX[*]-3.1 | unique", takes=_LIST, gives=_LIST),
        _spec("sort", sort, "OBX[*]-3.1 | sort", takes=_LIST, gives=_LIST),
    )
}  # fmt: skip

#: Jinja filters that mislead here, with what to write instead
GONE = {
    "float": "write VALUE | number, which is exact and fails on text",
    "int": "write VALUE | number, which is exact and fails on text",
    "round": "write VALUE | decimals(2), which rounds half up",
    "abs": "write VALUE | number and compare",
    "format": "write the text around {{ }}",
    "e": "values are escaped by themselves; VALUE | raw opts out",
    "escape": "values are escaped by themselves; VALUE | raw opts out",
    "safe": "write VALUE | raw for text that is HL7 already",
    "title": "write VALUE | title_name",
    "capitalize": "write VALUE | title_name",
    "truncate": "write VALUE | left(20) or truncate_bytes(20)",
    "string": "a path is text already",
    "d": "write VALUE | default('…')",
    "count": "write VALUE | length",
    "strip": "write VALUE | trim",
}


def is_null(value: Value) -> bool:
    """Return whether the value is HL7 null."""
    return isinstance(value, Null)


def is_empty(value: Value) -> bool:
    """Return whether the value is absent or empty; HL7 null is not."""
    return value is None or (isinstance(value, str | list) and not len(value))


def is_number(value: Value) -> bool:
    """Return whether the value is a number, or text that is one."""
    if isinstance(value, str):
        return find_number(value) is not None
    return not isinstance(value, bool | list | tuple) and value is not None


TESTS = {"null": is_null, "empty": is_empty, "number": is_number}


def raw_path(run: Run, path: Any) -> Raw:
    """Return what a path holds as HL7 structure: what `PATH | raw` means."""
    return Raw(run.read_raw(path))
