"""Which step wrote a value: found in the record of a run."""

from __future__ import annotations

from collections.abc import Sequence

from engine.hl7.errors import PathError
from engine.hl7.message import Message
from engine.hl7.path import Path, parse_path
from engine.pipeline.trace import StepRecord


def find_writer(
    records: Sequence[StepRecord], *, route: str, outbound: str, path: str, output: Message
) -> StepRecord | None:
    """
    Return the last step that brought *path* to what it is in *output*; None if it came so.

    Args:
        records: of the whole run, in the order the steps began; inner steps after outer ones.
    """
    try:
        place = parse_path(path)
    except PathError:
        return None
    final = _read(output, place)
    owners = {("route", route), ("outbound", outbound)}
    writer = None
    for record in records:
        if record.place != "inbound" and (record.place, record.owner) not in owners:
            continue
        if record.before is None or record.after is None:
            continue
        before, after = _read(record.before, place), _read(record.after, place)
        if before != after and after == final:
            writer = record
    return writer


def _read(message: Message, path: Path) -> str:
    if path.field is None:
        return str(len(message.select(path)))
    return message.raw_text(path)


def describe_writer(record: StepRecord) -> str:
    """Return which step it was, as an analyst would say it."""
    about = f" {record.about}" if record.about else ""
    return f"step {record.number} ({record.kind}{about}) of {record.place} {record.owner}"
