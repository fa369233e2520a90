"""
What differs between two messages, field by field, down to the sub-component.

Rules of this file: delimiters and escapes are compared by what they mean; absent and empty are the
same place with nothing in it; texts may be patient data, so callers show them only to people who
may see bodies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from engine.hl7.delimiters import HEADER_NAMES, Delimiters
from engine.hl7.escapes import unescape
from engine.hl7.message import Message
from engine.hl7.path import All, Append, First, Index, Path
from engine.hl7.segment import Segment


@dataclass(frozen=True, slots=True)
class Change:
    """One place that differs; a whole segment where *field* is 0."""

    segment: str
    #: which of its namesakes, from 1: in the later message, of a removed one in the earlier
    number: int
    field: int = 0
    repetition: int = 1
    component: int = 1
    subcomponent: int = 1
    #: None where it was not there
    before: str | None = None
    #: None where it is not there any more
    after: str | None = None
    #: the place as an analyst writes it
    path: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def _shown(text: str | None) -> str:
    return "absent" if text is None else f"'{text}'"


def find_changes(before: Message, after: Message) -> list[Change]:
    """Return every place in which *after* differs from *before*, in the order of *after*."""
    old, new = _by_name(before), _by_name(after)
    changes: list[Change] = []
    for name in dict.fromkeys([*new, *old]):
        olds, news = old.get(name, []), new.get(name, [])
        for one, other, number in _pairs(olds, news):
            many = max(len(olds), len(news)) > 1
            label = f"{name}[{number}]" if many else name
            if one is None or other is None:
                gone = one.text if one is not None else None
                come = other.text if other is not None else None
                changes.append(Change(name, number, before=gone, after=come, path=label))
            else:
                changes.extend(
                    _in_segment(one, other, before.delimiters, after.delimiters, number, label)
                )
    if not any(change.field == 0 for change in changes) and _order(before) != _order(after):
        changes.append(Change("", 0, before=_order(before), after=_order(after), path="order"))
    return changes


def _order(message: Message) -> str:
    return " ".join(message.segment_names())


def _by_name(message: Message) -> dict[str, list[Segment]]:
    found: dict[str, list[Segment]] = {}
    for segment in message.segments():
        found.setdefault(segment.name, []).append(segment)
    return found


def _pairs(
    old: Sequence[Segment], new: Sequence[Segment]
) -> Iterator[tuple[Segment | None, Segment | None, int]]:
    """Pair namesakes: equal ones first, what stands between them in order."""
    matcher = SequenceMatcher(None, [s.text for s in old], [s.text for s in new], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        for i in range(max(b - a, d - c)):
            one = old[a + i] if a + i < b else None
            other = new[c + i] if c + i < d else None
            yield one, other, (c + i if other is not None else a + i) + 1


def _in_segment(
    old: Segment, new: Segment, a: Delimiters, b: Delimiters, number: int, label: str
) -> Iterator[Change]:
    first = 3 if new.name in HEADER_NAMES else 1
    fields = zip_longest(old.fields()[1:], new.fields()[1:], fillvalue="")
    for field, (before, after) in enumerate(fields, 1):
        if before == after and (a == b or not before):
            continue
        place = f"{label}-{field}"
        if field < first:
            yield Change(new.name, number, field, before=before, after=after, path=place)
            continue
        yield from _in_field(before, after, a, b, (new.name, number, field), place)


def _in_field(
    old: str, new: str, a: Delimiters, b: Delimiters, place: tuple[str, int, int], label: str
) -> Iterator[Change]:
    leaves_old, leaves_new = _leaves(old, a), _leaves(new, b)
    every = {**leaves_new, **leaves_old}
    repetitions = max(key[0] for key in every)
    for r, c, s in sorted(every):
        before, after = leaves_old.get((r, c, s), ""), leaves_new.get((r, c, s), "")
        if before == after:
            continue
        path = label if repetitions == 1 else f"{label}[{r}]"
        has_components = any(key[0] == r and key[1] > 1 for key in every)
        has_parts = any(key[:2] == (r, c) and key[2] > 1 for key in every)
        path += f".{c}" if has_components or has_parts else ""
        path += f".{s}" if has_parts else ""
        yield Change(*place, r, c, s, before or None, after or None, path)


def _leaves(text: str, marks: Delimiters) -> dict[tuple[int, int, int], str]:
    """Return (repetition, component, sub-component) -> text of one field."""
    leaves: dict[tuple[int, int, int], str] = {}
    for r, repetition in enumerate(_split(text, marks.repetition), 1):
        for c, component in enumerate(_split(repetition, marks.component), 1):
            for s, part in enumerate(_split(component, marks.subcomponent), 1):
                leaves[r, c, s] = unescape(part, marks)
    return leaves


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if separator else [text]


def covers(path: Path, change: Change, message: Message) -> bool:
    """Return whether *path*, read in *message* (the later one), means the place of *change*."""
    if path.segment != change.segment or not _is_number(path, change.number, message):
        return False
    if path.field is None:
        return True
    if path.field != change.field:
        return False
    if isinstance(path.repetition, Index) and path.repetition.number != change.repetition:
        return False
    if isinstance(path.repetition, First) and path.component and change.repetition != 1:
        return False
    if path.component is not None and path.component != change.component:
        return False
    return path.subcomponent is None or path.subcomponent == change.subcomponent


def _is_number(path: Path, number: int, message: Message) -> bool:
    selector = path.segment_selector
    if isinstance(selector, First):
        return number == 1
    if isinstance(selector, Index):
        return selector.number == number
    if isinstance(selector, All | Append):
        return True
    chosen = {segment.index for segment in message.select(path)}
    namesakes = [segment.index for segment in message.segments(path.segment)]
    return number <= len(namesakes) and namesakes[number - 1] in chosen
