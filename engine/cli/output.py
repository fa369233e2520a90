"""Tables and times for people: at most 100 columns, Chinese characters counted as two."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from datetime import datetime

import click

WIDTH = 100


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


def format_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """
    Return a table within 100 columns; the last column gives way first, then the widest.

    Numbers stand at the right.
    """
    texts = [[_shown(cell) for cell in row] for row in rows]
    count = len(headings)
    widths = [
        max([width_of(headings[i]), *(width_of(row[i]) for row in texts)]) for i in range(count)
    ]
    right = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(count)
    ]
    while sum(widths) + 2 * (count - 1) > WIDTH:
        spare = sum(widths) + 2 * (count - 1) - WIDTH
        at = count - 1 if widths[-1] > 20 else widths.index(max(widths))
        widths[at] = max(widths[at] - spare, 8 if at < count - 1 else 20)
        if max(widths) <= 20:
            break

    def line(cells: Sequence[str]) -> str:
        shown = [pad(cut(c, w), w, right=r) for c, w, r in zip(cells, widths, right, strict=True)]
        return "  ".join(shown).rstrip()

    return "\n".join([line(headings), *(line(row) for row in texts)])


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    click.echo(format_table(headings, rows))


def short_time(iso: str | None) -> str:
    """Return an ISO time as people read it in a list: date, time, no zone."""
    if not iso:
        return ""
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M:%S")


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
