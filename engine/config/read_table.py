"""Read a lookup table from CSV: text in, text out, and a finding for what is not a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

from engine.config.models.tables import LookupTable
from engine.model.counting import count_of
from engine.model.finding import Finding, Mark, Severity

MAX_TABLE_BYTES = 50_000_000
_Find = Callable[..., None]


def read_table(name: str, file: str, raw: bytes) -> tuple[LookupTable | None, list[Finding]]:
    """Return the table, or None with the findings that say why it is none."""
    findings: list[Finding] = []

    def find(code: str, what: str, fix: str, line: int = 1, *, warn: bool = False) -> None:
        severity = Severity.WARNING if warn else Severity.ERROR
        findings.append(Finding(code, what, fix, severity, mark=Mark(file, line)))

    if len(raw) > MAX_TABLE_BYTES:
        find("CFG-030", "the table is larger than 50 MB", "keep fewer rows")
        return None, findings
    if raw.startswith(b"\xef\xbb\xbf"):
        find("CFG-031", "the table begins with a byte order mark", "save it without one", warn=True)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        find("CFG-032", _not_utf8(raw), "save it as UTF-8 (in Excel: CSV UTF-8)", line)
        return None, findings
    return _read_rows(name, file, text, find, findings)


def _not_utf8(raw: bytes) -> str:
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError:
        return "the table is not UTF-8"
    return "the table is not UTF-8; it looks like GBK"


def _read_rows(
    name: str, file: str, text: str, find: _Find, findings: list[Finding]
) -> tuple[LookupTable | None, list[Finding]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = []
    lines: list[int] = []
    start = 1
    try:
        for row in reader:
            line, start = start, reader.line_num + 1
            if not row or row == [""]:
                continue
            if not columns:
                columns = tuple(row)
                _check_header(columns, find, line)
            elif len(row) != len(columns):
                what = f"the row has {count_of(len(row), 'value')}, the header {len(columns)}"
                find("CFG-033", what, "quote a value that holds a comma", line)
            else:
                rows.append(tuple(row))
                lines.append(line)
    except csv.Error as error:
        find("CFG-033", f"this is not CSV: {error}", "check the quotes", start)
        return None, findings
    if not columns:
        find("CFG-034", "the table has no header row", "name the columns in the first line")
        return None, findings
    return LookupTable(name, file, columns, tuple(rows), tuple(lines)), findings


def _check_header(columns: tuple[str, ...], find: _Find, line: int) -> None:
    for i, column in enumerate(columns):
        if not column.strip():
            find("CFG-034", f"column {i + 1} has no name", "name it", line)
        elif column != column.strip():
            find("CFG-034", f"the column name {column!r} has blanks", "remove them", line)
        elif column in columns[:i]:
            find("CFG-034", f"two columns are named {column}", "rename one", line)
    if len(columns) < 2:
        find("CFG-034", "the table has one column only", "a key and a value need two", line)
