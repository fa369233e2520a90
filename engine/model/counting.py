"""Numbers with their nouns, as people read them."""

from __future__ import annotations


def count_of(number: int, one: str, many: str = "") -> str:
    """Return ``1 delivery`` or ``1,400 deliveries``; *many* where it is not *one* with an s."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
