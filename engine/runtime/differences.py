"""The difference between two messages, field by field, as operations tell it."""

from __future__ import annotations

from typing import Any

from engine.hl7.diff import diff_messages
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.model.counting import count_of


def field_changes(before: bytes, after: bytes) -> list[dict[str, Any]]:
    """Return each field that differs: path, name, before, after."""
    if before == after:
        return []
    try:
        return message_changes(Message.parse(before), Message.parse(after))
    except Hl7Error:
        return [
            {
                "path": "",
                "name": "",
                "before": count_of(len(before), "byte"),
                "after": count_of(len(after), "byte"),
            }
        ]


def message_changes(before: Message, after: Message) -> list[dict[str, Any]]:
    """Return each field that differs between two parsed messages."""
    return [
        {"path": str(c.path), "name": c.name, "before": c.before, "after": c.after}
        for c in diff_messages(before, after)
    ]
