"""
The field diff of two messages: what a route, a step or a replay changes.

Rules of this file: segments are matched by content first and by name second, so that one
that was put in or taken out does not make all behind it look changed. Values are patient
data: the caller decides who sees them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest

from engine.hl7.definitions import path_name
from engine.hl7.delimiters import HEADER_NAMES, Delimiters
from engine.hl7.message import Message
from engine.hl7.segment import Segment
from engine.hl7.tables import segment_name


@dataclass(frozen=True, slots=True)
class Change:
    """One place that differs; structural text, None where it is absent."""

    #: "PID-5.1", "OBX[2]-5", or "NK1[2]" where the whole segment came or went
    path: str
    #: "Patient name / Family name"; "" when unknown
    name: str
    before: str | None
    after: str | None


def diff_messages(before: Message, after: Message) -> list[Change]:
    """
    Return what differs between two messages, in message order.

    Line ends, character sets and trailing empty fields are no difference. Where the
    delimiters differ, values are compared as the *after* message writes them.
    """
    changes: list[Change] = []
    if before.delimiters != after.delimiters:
        changes += _declared(before.delimiters, after.delimiters)
        before = before.copy()
        before.set_delimiters(after.delimiters)
    version = after.header.version or before.header.version
    ours, theirs = _filled(before), _filled(after)
    names_before, names_after = _Labels(ours), _Labels(theirs)
    for one, other in _pairs(ours, theirs):
        if one is None and other is not None:
            label = names_after.label(other)
            changes.append(Change(label, segment_name(other.name), None, other.text))
        elif other is None and one is not None:
            label = names_before.label(one)
            changes.append(Change(label, segment_name(one.name), one.text, None))
        elif one is not None and other is not None:
            label = names_after.label(other)
            changes += _segment_changes(one, other, label, version, after.delimiters)
    return changes


def _declared(before: Delimiters, after: Delimiters) -> list[Change]:
    found = (
        ("MSH-1", "Field separator", before.field, after.field),
        ("MSH-2", "Encoding characters", before.encoding_characters, after.encoding_characters),
    )
    return [Change(*change) for change in found if change[2] != change[3]]


def _filled(message: Message) -> list[Segment]:
    return [segment for segment in message.segments() if segment.text.strip()]


class _Labels:
    """What the segments of a message are called: PV1, but OBX[2] where there are several."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        totals = Counter(segment.name for segment in segments)
        seen: Counter[str] = Counter()
        self._labels: dict[Segment, str] = {}
        for segment in segments:
            seen[segment.name] += 1
            number = f"[{seen[segment.name]}]" if totals[segment.name] > 1 else ""
            self._labels[segment] = f"{segment.name or '?'}{number}"

    def label(self, segment: Segment) -> str:
        """Return the path of *segment*."""
        return self._labels[segment]


def _pairs(
    before: Sequence[Segment], after: Sequence[Segment]
) -> Iterator[tuple[Segment | None, Segment | None]]:
    """Yield the segments that belong together; None on the side where one is missing."""
    if [segment.name for segment in before] == [segment.name for segment in after]:
        yield from zip(before, after, strict=True)
        return
    matcher = SequenceMatcher(
        None, [segment.text for segment in before], [segment.text for segment in after], False
    )
    for kind, start, stop, new_start, new_stop in matcher.get_opcodes():
        if kind != "equal":
            yield from _by_name(before[start:stop], after[new_start:new_stop])


def _by_name(
    before: Sequence[Segment], after: Sequence[Segment]
) -> Iterator[tuple[Segment | None, Segment | None]]:
    matcher = SequenceMatcher(
        None, [segment.name for segment in before], [segment.name for segment in after], False
    )
    for kind, start, stop, new_start, new_stop in matcher.get_opcodes():
        if kind == "equal":
            yield from zip(before[start:stop], after[new_start:new_stop], strict=True)
        else:
            yield from ((segment, None) for segment in before[start:stop])
            yield from ((None, segment) for segment in after[new_start:new_stop])


def _segment_changes(
    before: Segment, after: Segment, label: str, version: str, marks: Delimiters
) -> Iterator[Change]:
    first = 3 if after.name in HEADER_NAMES else 1
    fields = zip_longest(before.fields()[first:], after.fields()[first:])
    for number, (old, new) in enumerate(fields, first):
        if (old or "") != (new or ""):
            yield from _field_changes(after.name, label, number, (old, new), version, marks)


def _field_changes(
    segment: str,
    label: str,
    number: int,
    values: tuple[str | None, str | None],
    version: str,
    marks: Delimiters,
) -> Iterator[Change]:
    """Yield the components that differ; the repetition where their number differs."""
    old, new = values
    path = f"{label}-{number}"
    one, other = _cut(old, marks.repetition), _cut(new, marks.repetition)
    several = max(len(one), len(other)) > 1
    for at, (before, after) in enumerate(zip_longest(one, other), 1):
        if before == after:
            continue
        place = f"{path}[{at}]" if several else path
        parts, others = _cut(before, marks.component), _cut(after, marks.component)
        if before is None or after is None or max(len(parts), len(others)) == 1:
            yield Change(place, path_name(segment, (number,), version), before, after)
            continue
        for component, (part, another) in enumerate(zip_longest(parts, others), 1):
            if (part or "") != (another or ""):
                name = path_name(segment, (number, component), version)
                yield Change(f"{place}.{component}", name, part, another)


def _cut(value: str | None, separator: str) -> list[str]:
    if value is None:
        return []
    return value.split(separator) if separator else [value]
