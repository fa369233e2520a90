"""Ordinary words that are also names: found alone, they prove nothing."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from engine.deid.normalise import fold


def parse_words(text: str) -> frozenset[str]:
    """Return the words of a list: separated by white space, ``#`` begins a comment."""
    lines = (line.partition("#")[0] for line in text.splitlines())
    return frozenset(fold(word) for line in lines for word in line.split())


@cache
def built_in_words() -> frozenset[str]:
    """Return the lists that come with medbus, English and Chinese."""
    folder = files("engine.deid") / "words"
    return frozenset().union(
        *(parse_words((folder / name).read_text("utf-8")) for name in ("latin.txt", "han.txt"))
    )
