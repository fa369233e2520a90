"""
Structural text moved between delimiter sets and between levels.

Rules of this file: what stands for structure stays structure as far down as the target
has levels; below that it is text and is escaped.
"""

from __future__ import annotations

from engine.hl7.delimiters import Delimiters
from engine.hl7.escapes import translate
from engine.hl7.path import FIRST, Path

#: how many levels of structure a place has below itself
FIELD, REPETITION, COMPONENT, SUBCOMPONENT = 3, 2, 1, 0


def level_of(path: Path) -> int:
    """Return which of the levels *path* (of a field or below) is on."""
    if path.subcomponent is not None:
        return SUBCOMPONENT
    if path.component is not None:
        return COMPONENT
    return FIELD if path.repetition == FIRST else REPETITION


def recode(text: str, level: int, source: Delimiters, target: Delimiters) -> str:
    """Return *text*, structure of *level* in *source*, in the delimiters *target*."""
    if marks(source) == marks(target) and not _cuts(text, level, target):
        return text
    return _recode(text, _separators(source, level), _separators(target, level), source, target)


def marks(delimiters: Delimiters) -> tuple[str, ...]:
    """Return the characters that cut or escape; the truncation character does neither."""
    return (
        delimiters.field,
        delimiters.repetition,
        delimiters.component,
        delimiters.subcomponent,
        delimiters.escape,
    )


def shift(text: str, source_level: int, target_level: int, delimiters: Delimiters) -> str:
    """
    Return *text* taken from one level for another, keeping its sub-structure.

    A component with sub-components becomes a field with components and the other way
    round; of a whole field only the first repetition fits below; what has no room is escaped.
    """
    if target_level < FIELD and source_level == FIELD and delimiters.repetition:
        text = text.split(delimiters.repetition, 1)[0]
    here = _separators(delimiters, min(source_level, REPETITION))
    there = _separators(delimiters, min(target_level, REPETITION))
    if len(here) == len(there):
        return text
    used = [separator for separator in here if separator and separator in text]
    if len(here) > len(there) and (len(used) > len(there) or not all(there)):
        return translate(text, delimiters, delimiters)
    for old, new in zip(used, there, strict=False):
        text = text.replace(old, new) if new else translate(text, delimiters, delimiters)
    return text


def _separators(delimiters: Delimiters, level: int) -> list[str]:
    all_three = [delimiters.repetition, delimiters.component, delimiters.subcomponent]
    return all_three[FIELD - level :]


def _cuts(text: str, level: int, delimiters: Delimiters) -> bool:
    """Return whether *text* holds what would end the place it is meant for."""
    above = [delimiters.repetition, delimiters.component, delimiters.subcomponent][: FIELD - level]
    return any(mark and mark in text for mark in (*above, delimiters.field, "\r", "\n"))


def _recode(
    text: str, here: list[str], there: list[str], source: Delimiters, target: Delimiters
) -> str:
    if not here:
        return translate(text, source, target)
    separator, wanted = here[0], there[0]
    if not separator or separator not in text:
        return _recode(text, here[1:], there[1:], source, target)
    if not wanted:
        # A level that the target cannot write becomes text.
        return translate(text, source, target)
    parts = text.split(separator)
    return wanted.join(_recode(part, here[1:], there[1:], source, target) for part in parts)
