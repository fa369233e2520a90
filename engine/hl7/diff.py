"""
The field diff of two messages: what a route, a step, a profile or a replay changes.

Rules of this file: values are compared by what they mean, down to the sub-component: other
delimiters, other escapes, trailing separators and line ends are no difference, and what is
empty is the same as what is absent. Values are patient data: the caller decides who sees them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from engine.hl7.definitions import path_name
from engine.hl7.delimiters import HEADER_NAMES, Delimiters
from engine.hl7.escapes import unescape
from engine.hl7.message import Message
from engine.hl7.path import All, Append, First, Index, Path
from engine.hl7.segment import Segment
from engine.hl7.tables import segment_name
from engine.hl7.values import cut


@dataclass(frozen=True, slots=True)
class Change:
    """One place that differs; a whole segment where *field* is 0."""

    #: as an analyst writes it: "PID-5.1", "OBX[2]-5", "NK1[2]"; "order" where segments moved
    path: str
    #: "Patient name / Family name"; "" when unknown
    name: str
    #: the text, of a segment its line; None where there is nothing
    before: str | None
    after: str | None
    segment: str
    #: which of its namesakes, from 1: in the later message, of a removed one in the earlier
    number: int
    field: int = 0
    repetition: int = 1
    component: int = 1
    subcomponent: int = 1

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}"


def _shown(text: str | None) -> str:
    return "absent" if text is None else f"'{text}'"


def diff_messages(before: Message, after: Message) -> list[Change]:
    """Return every place where *after* differs from *before*, segment name by segment name."""
    version = after.header.version or before.header.version
    same_marks = before.delimiters == after.delimiters
    old, new = _by_name(before), _by_name(after)
    changes: list[Change] = []
    for name in dict.fromkeys([*new, *old]):
        olds, news = old.get(name, []), new.get(name, [])
        for one, other, number in _pairs(olds, news, same_marks=same_marks):
            label = f"{name or '?'}[{number}]" if max(len(olds), len(news)) > 1 else name or "?"
            if one is None or other is None:
                gone = one.text if one is not None else None
                come = other.text if other is not None else None
                changes.append(Change(label, segment_name(name), gone, come, name, number))
            else:
                comparison = _Comparison(name, number, label, version)
                changes += comparison.changes(one, other, before.delimiters, after.delimiters)
    if all(change.field for change in changes):
        orders = _order(before), _order(after)
        if orders[0] != orders[1]:
            changes.append(Change("order", "Order of the segments", *orders, "", 0))
    return changes


def _filled(message: Message) -> list[Segment]:
    return [segment for segment in message.segments() if segment.text.strip()]


def _order(message: Message) -> str:
    return " ".join(segment.name or "?" for segment in _filled(message))


def _by_name(message: Message) -> dict[str, list[Segment]]:
    found: dict[str, list[Segment]] = {}
    for segment in _filled(message):
        found.setdefault(segment.name, []).append(segment)
    return found


def _pairs(
    old: Sequence[Segment], new: Sequence[Segment], *, same_marks: bool
) -> Iterator[tuple[Segment | None, Segment | None, int]]:
    """
    Yield namesakes that belong together and may differ, with their number.

    Equal ones find each other first, so that one that was put in or taken out does not make
    all behind it look changed; what stands between them goes in order.
    """
    matcher = SequenceMatcher(None, [s.text for s in old], [s.text for s in new], autojunk=False)
    for kind, start, stop, new_start, new_stop in matcher.get_opcodes():
        if kind == "equal" and same_marks:
            continue
        ones, others = old[start:stop], new[new_start:new_stop]
        for at, (one, other) in enumerate(zip_longest(ones, others)):
            yield one, other, (start if other is None else new_start) + at + 1


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What goes into the changes of one segment."""

    segment: str
    number: int
    label: str
    version: str

    def changes(
        self, old: Segment, new: Segment, old_marks: Delimiters, new_marks: Delimiters
    ) -> Iterator[Change]:
        """Yield what differs between two segments."""
        is_header = self.segment in HEADER_NAMES
        fields = zip_longest(old.fields()[1:], new.fields()[1:], fillvalue="")
        for field, (before, after) in enumerate(fields, 1):
            if before == after and (old_marks == new_marks or not before):
                continue
            if is_header and field <= 2:
                if before != after:
                    yield self._change((field, 1, 1, 1), f"{field}", before, after)
                continue
            leaves, others = _leaves(before, old_marks), _leaves(after, new_marks)
            yield from self._leaf_changes(field, leaves, others)

    def _leaf_changes(
        self, field: int, old: dict[_Place, str], new: dict[_Place, str]
    ) -> Iterator[Change]:
        places = sorted({**new, **old})
        # Sorted, so the last of a kind stays: how far the components and parts of each go.
        components = {place[0]: place[1] for place in places}
        parts = {place[:2]: place[2] for place in places}
        for place in places:
            before, after = old.get(place, ""), new.get(place, "")
            if before == after:
                continue
            repetition, component, subcomponent = place
            has_parts = parts[place[:2]] > 1
            has_components = has_parts or components[repetition] > 1
            text = f"{field}[{repetition}]" if places[-1][0] > 1 else f"{field}"
            text += f".{component}" if has_components else ""
            text += f".{subcomponent}" if has_parts else ""
            named = (component,) * has_components + (subcomponent,) * has_parts
            yield self._change((field, *place), text, before, after, named)

    def _change(
        self,
        place: tuple[int, int, int, int],
        text: str,
        before: str,
        after: str,
        named: tuple[int, ...] = (),
    ) -> Change:
        path = f"{self.label}-{text}"
        name = path_name(self.segment, (place[0], *named), self.version)
        return Change(path, name, before or None, after or None, self.segment, self.number, *place)


#: repetition, component, sub-component
_Place = tuple[int, int, int]


def _leaves(text: str, marks: Delimiters) -> dict[_Place, str]:
    """Return the text of every sub-component of one field."""
    return {
        (r, c, s): unescape(part, marks)
        for r, repetition in enumerate(cut(text, marks.repetition), 1)
        for c, component in enumerate(cut(repetition, marks.component), 1)
        for s, part in enumerate(cut(component, marks.subcomponent), 1)
    }


def covers(path: Path, change: Change, after: Message) -> bool:
    """Return whether *path*, read in the later message, means the place of *change*."""
    if path.segment != change.segment or not _is_number(path, change.number, after):
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


def _is_number(path: Path, number: int, after: Message) -> bool:
    """Return whether the segment selector of *path* means the namesake *number*."""
    selector = path.segment_selector
    if isinstance(selector, First):
        return number == 1
    if isinstance(selector, Index):
        return selector.number == number
    if isinstance(selector, All | Append):
        return True
    namesakes = _by_name(after).get(path.segment, [])
    return number <= len(namesakes) and namesakes[number - 1] in after.select(path)
