"""Tables and times for people: at most 100 columns, Chinese characters counted as two."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Sequence
from datetime import datetime

import click

WIDTH = 100
_LEAST, _LEAST_LAST = 8, 24


def width_of(text: str) -> int:
    """Return the columns *text* takes on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def cut(text: str, width: int) -> str:
    """Return *text* in at most *width* columns, ending in … where it was cut."""
    if width_of(text) <= width:
        return text
    kept, used = [], 1
    for character in text:
        used += width_of(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + "…"


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return *text* filled up to *width* columns."""
    room = " " * max(width - width_of(text), 0)
    return room + text if right else text + room


def format_table(
    headings: Sequence[str], rows: Sequence[Sequence[object]], *, width: int = WIDTH
) -> str:
    """
    Return a table within *width* columns; numbers stand at the right.

    Where it is too wide the columns move together; then the last is wrapped, then the widest cut.
    """
    texts = [[_shown(cell) for cell in row] for row in rows]
    count = len(headings)
    widths = [
        max([width_of(headings[i]), *(width_of(row[i]) for row in texts)]) for i in range(count)
    ]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(count)
    ]
    gap = 2 if sum(widths) + 2 * (count - 1) <= width else 1
    gaps = gap * (count - 1)
    while sum(widths) + gaps > width:
        spare = sum(widths) + gaps - width
        at = count - 1
        if widths[-1] <= _LEAST_LAST and count > 1:
            at = widths.index(max(widths[:-1]))
        least = _LEAST_LAST if at == count - 1 else _LEAST
        if widths[at] <= least:
            break
        widths[at] = max(widths[at] - spare, least)

    def line(cells: Sequence[str]) -> str:
        *firsts, last = cells
        lasts = wrap(last, widths[-1]) if not right[-1] else [last]
        shown = [
            pad(cut(c, w), w, right=r)
            for c, w, r in zip(firsts, widths[:-1], right[:-1], strict=True)
        ]
        lead = sum(widths[:-1]) + gaps
        end = pad(lasts[0], widths[-1], right=right[-1])
        whole = [(" " * gap).join([*shown, end]).rstrip()]
        return "\n".join([*whole, *(" " * lead + more for more in lasts[1:])])

    return "\n".join([line(headings), *(line(row) for row in texts)])


def wrap(text: str, width: int) -> list[str]:
    """Return *text* in lines of at most *width* columns, broken between words if they fit."""
    lines: list[str] = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer) <= width:
            lines[-1] = longer
            continue
        # A path, or Chinese, which has no blanks: nothing of it may get lost.
        first, *more = _pieces(word, width)
        lines[len(lines) if lines[-1] else -1 :] = [first, *more]
    return lines


def _pieces(word: str, width: int) -> list[str]:
    pieces = [""]
    for character in word:
        if width_of(pieces[-1]) + width_of(character) > width:
            pieces.append("")
        pieces[-1] += character
    return pieces


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table, as wide as the terminal; 100 columns where there is none."""
    width = max(shutil.get_terminal_size((WIDTH, 24)).columns, 60)
    click.echo(format_table(headings, rows, width=width))


def print_indented(text: str, indent: int = 4, *, fg: str | None = None) -> None:
    """Print a sentence below its heading, wrapped on a terminal, in one line for other programs."""
    lines = [text]
    if sys.stdout.isatty():
        width = max(shutil.get_terminal_size((WIDTH, 24)).columns, 60)
        lines = wrap(text, width - indent)
    for line in lines:
        click.secho(" " * indent + line, fg=fg)


def short_time(iso: str | None) -> str:
    """Return an ISO time as people read it in a list: date, time, no zone."""
    if not iso:
        return ""
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S")


def show_value(text: str | None) -> str:
    """Return a field's value, or in words that it has none."""
    return "(absent)" if text is None else text or "(empty)"


def short_age(seconds: float | None) -> str:
    """Return seconds as 12s, 5m, 3h20m or 2d4h."""
    if seconds is None:
        return ""
    s = int(seconds)
    if s < 60:
        return f"{s}s"
    if s < 3600:
        return f"{s // 60}m"
    if s < 86400:
        return f"{s // 3600}h{s % 3600 // 60:02}m"
    return f"{s // 86400}d{s % 86400 // 3600}h"


def _shown(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else ""
    if isinstance(cell, float):
        return f"{cell:.1f}"
    if isinstance(cell, int):
        return f"{cell:,}"
    return str(cell).replace("\n", " ")
