"""The difference between two messages, field by field, for people."""

from __future__ import annotations

import difflib
from typing import Any

from engine.hl7.definitions import field_name
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.hl7.segment import Segment


def field_changes(before: bytes, after: bytes) -> list[dict[str, Any]]:
    """Return each field that differs: path, before, after; whole segments where they come or go."""
    if before == after:
        return []
    try:
        old, new = Message.parse(before), Message.parse(after)
    except Hl7Error:
        return [{"path": "", "before": f"{len(before)} bytes", "after": f"{len(after)} bytes"}]
    return message_changes(old, new)


def message_changes(old: Message, new: Message) -> list[dict[str, Any]]:
    """Return each field that differs between two parsed messages."""
    old_segments, new_segments = old.segments(), new.segments()
    matcher = difflib.SequenceMatcher(
        None, [s.name for s in old_segments], [s.name for s in new_segments], autojunk=False
    )
    changes: list[dict[str, Any]] = []
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if tag == "equal":
            for left, right in zip(old_segments[a0:a1], new_segments[b0:b1], strict=True):
                changes += _segment_changes(left, right, old_segments)
            continue
        changes += [
            {"path": _place(s, old_segments), "before": s.text, "after": "(gone)"}
            for s in old_segments[a0:a1]
        ]
        changes += [
            {"path": _place(s, new_segments), "before": "(new)", "after": s.text}
            for s in new_segments[b0:b1]
        ]
    return changes


def _place(segment: Segment, among: list[Segment]) -> str:
    same = [s for s in among if s.name == segment.name]
    return segment.name if len(same) == 1 else f"{segment.name}[{same.index(segment) + 1}]"


def _segment_changes(left: Segment, right: Segment, among: list[Segment]) -> list[dict[str, Any]]:
    old, new = list(left.fields()), list(right.fields())
    count = max(len(old), len(new))
    old, new = [*old, *[""] * (count - len(old))], [*new, *[""] * (count - len(new))]
    if old == new:
        return []
    place = _place(left, among)
    return [
        {
            "path": f"{place}-{number}",
            "name": field_name(left.name, number),
            "before": was,
            "after": now,
        }
        for number, (was, now) in enumerate(zip(old, new, strict=True))
        if was != now
    ]
