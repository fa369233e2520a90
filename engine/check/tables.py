"""Lookup tables: rows that contradict each other, and values that look alike but are not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from engine.check.walk import walk_site
from engine.config.models.site import Site
from engine.config.models.tables import DATE_COLUMNS, LookupTable
from engine.model.finding import Finding, Loc, Severity

_ALWAYS = (date.min, date.max)


def check_tables(site: Site) -> Iterator[Finding]:
    """Yield a finding for every row of a table that cannot be meant as it stands."""
    used = keys_used(site)
    for name, table in site.tables.items():
        spans, findings = _read_spans(table)
        yield from findings
        yield from _check_blanks(table)
        for keys in sorted(used.get(name, {(table.key_column,)})):
            if all(key in table.columns for key in keys):
                yield from _check_keys(table, keys, spans)


def keys_used(site: Site) -> dict[str, set[tuple[str, ...]]]:
    """Return per table the sets of key columns that lookups go by."""
    used: dict[str, set[tuple[str, ...]]] = {}
    for visit in walk_site(site):
        if visit.step.kind == "lookup":
            args = visit.step.args
            table = site.tables.get(args.table)
            if table is not None:
                keys = tuple(args.keys) if args.keys else (table.key_column,)
                used.setdefault(args.table, set()).add(keys)
    return used


def _read_spans(table: LookupTable) -> tuple[list[tuple[date, date]], list[Finding]]:
    """Return the span each row holds for, and what is wrong with its dates."""
    findings: list[Finding] = []
    spans: list[tuple[date, date]] = []
    places = [table.columns.index(name) if name in table.columns else None for name in DATE_COLUMNS]
    for i, row in enumerate(table.rows):
        ends: list[date] = []
        for place, default in zip(places, _ALWAYS, strict=True):
            text = row[place].strip() if place is not None else ""
            day = _parse_day(text) if text else default
            if day is None:
                what = f"{text!r} is no date"
                fix = "write it like 2026-11-01 or 20261101"
                findings.append(Finding("CFG-132", what, fix, loc=("tables", table.name, i)))
            ends.append(day or default)
        if ends[0] > ends[1]:
            what = "valid_from lies after valid_to, so the row never holds"
            loc: Loc = ("tables", table.name, i)
            findings.append(Finding("CFG-132", what, "swap the two", loc=loc))
        spans.append((ends[0], ends[1]))
    return spans, findings


def _parse_day(text: str) -> date | None:
    digits = "".join(char for char in text if char.isdecimal())
    if len(digits) != 8 or any(char not in "0123456789-/." for char in text):
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def _check_keys(
    table: LookupTable, keys: tuple[str, ...], spans: list[tuple[date, date]]
) -> Iterator[Finding]:
    places = [table.columns.index(key) for key in keys]
    by_key: dict[tuple[str, ...], list[int]] = {}
    for i, row in enumerate(table.rows):
        by_key.setdefault(tuple(row[place] for place in places), []).append(i)
    for rows in by_key.values():
        ordered = sorted(rows, key=lambda i: (spans[i], i))
        last = ordered[0]
        for i in ordered[1:]:
            if spans[i][0] <= spans[last][1]:
                first, second = sorted((last, i))
                yield _clash(table, keys, first, second)
            last = max(last, i, key=lambda row: spans[row][1])


def _clash(table: LookupTable, keys: tuple[str, ...], first: int, second: int) -> Finding:
    loc: Loc = ("tables", table.name, second)
    key = ", ".join(keys)
    line = table.lines[first]
    if not table.is_dated:
        what = f"the same {key} as in line {line}"
        return Finding("CFG-130", what, "keep one of the two rows", loc=loc)
    what = f"the same {key} as in line {line}, valid at the same time"
    return Finding("CFG-131", what, "let valid_to end the day before valid_from begins", loc=loc)


def _check_blanks(table: LookupTable) -> Iterator[Finding]:
    for i, row in enumerate(table.rows):
        for column, value in zip(table.columns, row, strict=True):
            if value != value.strip():
                yield Finding(
                    "CFG-133",
                    f"the value of {column} begins or ends with a blank",
                    "remove it; values are compared as they are",
                    Severity.WARNING,
                    loc=("tables", table.name, i),
                )
            elif not value and column == table.key_column:
                what = f"{column} is empty"
                fix = "an empty value is looked up only where the field is empty"
                loc: Loc = ("tables", table.name, i)
                yield Finding("CFG-133", what, fix, Severity.WARNING, loc=loc)
