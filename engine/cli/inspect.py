"""`medbus inspect`: what a message file holds, field by field, and its character set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from engine.cli.output import cut, pad, print_table
from engine.cli.settings import Settings, pass_settings
from engine.model.counting import count_of


@click.command(
    epilog="""\b
Examples:
  medbus inspect sample_messages/adt_a01.hl7
  medbus inspect --charset GB18030 dump.hl7     read it that way, whatever MSH-18 says
  medbus inspect --json batch.hl7               for scripts; one item per message

The file is read here and now: nothing of it goes to the store, and nothing is audited.
"""
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--charset", help="Read the values in this character set.")
@pass_settings
def inspect(settings: Settings, file: Path, charset: str | None) -> None:
    """Show a message file with field names, character sets and a line to paste."""
    from engine.hl7.batch import split_messages
    from engine.hl7.errors import Hl7Error
    from engine.model.errors import MedbusError

    pieces = split_messages(file.read_bytes())
    if not pieces:
        raise MedbusError(
            "there is no HL7 message in the file",
            code="HL7-001",
            where=str(file),
            fix="a message begins with MSH at the start of a line",
        )
    try:
        items = [_describe(raw, charset) for raw in pieces]
    except Hl7Error as error:
        where = f"{file}: {error.where}"
        raise MedbusError(error.what, code=error.code, where=where, fix=error.fix) from None
    if settings.as_json:
        click.echo(json.dumps({"items": items, "next": ""}, ensure_ascii=False))
        return
    for number, item in enumerate(items, 1):
        if len(items) > 1:
            click.echo(f"{'' if number == 1 else chr(10)}=== message {number} of {len(items)}")
        _print(item)


def _describe(raw: bytes, charset: str | None) -> dict[str, Any]:
    """Return everything there is to say about one message."""
    from dataclasses import asdict

    from engine.hl7.definitions import is_known_version, nearest_version
    from engine.hl7.inspect import charset_candidates, lay_out, line_to_paste
    from engine.hl7.message import Message

    candidates = charset_candidates(raw)
    declared = Message.parse(raw).declared_charset
    line, why = line_to_paste(candidates, declared)
    best = candidates[0].codec if line and candidates else None
    message = Message.parse(raw, force_charset=charset or best)
    header = message.header
    marks = message.delimiters
    return {
        "message_type": header.message_type,
        "structure": header.structure,
        "version": header.version,
        "definitions": nearest_version(header.version),
        "is_known_version": is_known_version(header.version),
        "control_id": header.control_id,
        "size_bytes": len(raw),
        "segments": len([name for name in message.segment_names() if name]),
        "delimiters": marks.field + marks.encoding_characters,
        "warnings": list(Message.parse(raw).warnings),
        "stray_lines": message.stray_lines(),
        "charset": {
            "declared": declared,
            "read_as": message.charset,
            "candidates": [asdict(candidate) for candidate in candidates],
            "line": line,
            "why": why,
        },
        "rows": [asdict(row) for row in lay_out(message)],
    }


def _print(item: dict[str, Any]) -> None:
    kind = item["message_type"] or "(no message type)"
    structure = f" ({item['structure']})" if item["structure"] else ""
    version = f"version {item['version']}" if item["version"] else "no version"
    if not item["is_known_version"]:
        version += f", read as {item['definitions']}"
    size = f"{count_of(item['segments'], 'segment')}, {item['size_bytes']:,} bytes"
    click.echo(f"{kind}{structure}, {version}, {size}, delimiters {item['delimiters']}")
    from engine.model.message_warnings import tell_warning

    for warning in item["warnings"]:
        lines = ", ".join(map(str, item["stray_lines"])) if warning == "stray_line" else ""
        click.echo(f"warning: {tell_warning(warning)}{f' (line {lines})' if lines else ''}")
    click.echo()
    for row in item["rows"]:
        _print_row(row)
    _print_charset(item["charset"])


def _print_row(row: dict[str, Any]) -> None:
    if row["depth"] == 0:
        text = f"{row['path']}  {row['name']}".rstrip()
        click.echo(text + (f"  {cut(row['value'], 70)}" if row["value"] else ""))
        return
    path = pad("  " * row["depth"] + row["path"], 20)
    name = pad(cut(row["name"], 34), 34)
    value = "".join(char if char.isprintable() else " " for char in row["value"])
    click.echo(f"{path} {name} {cut(value, 44)}".rstrip())


def _print_charset(found: dict[str, Any]) -> None:
    click.echo(f"\nCharacter set: MSH-18 says {found['declared'] or 'nothing'}; {found['why']}.")
    if found["candidates"]:
        rows = [
            [one["charset"], f"{one['likelihood']:.0%}", "  ".join(one["samples"])]
            for one in found["candidates"]
        ]
        print_table(["set", "likely", "reads as"], rows)
    if found["line"]:
        click.echo("\nLine for the inbound channel:\n")
        click.echo(f"    {found['line']}")
