"""`medbus audit`: the record of who did what, when and why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import print_table, short_time
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of
from engine.model.errors import Usage


@click.group("audit", short_help="The record of who did what: list, verify, export.")
def audit() -> None:
    """The audit chain: every operator action, with who, when, what and why."""


@audit.command("list")
@click.option("--since", metavar="TIME", help="2h, yesterday 18:00, 2026-11-20…")
@click.option("--user", metavar="NAME", help="Only what this user did.")
@click.option("--verb", metavar="VERB", help="Only this verb, such as requeue or show.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@pass_settings
def list_(
    settings: Settings, *, since: str | None, user: str | None, verb: str | None, limit: int
) -> None:
    """
    List the latest records, newest first.

    \b
    Example:
      medbus audit list --since 24h --verb show
    """
    asked = {"since": since, "user": user, "verb": verb, "limit": limit}
    with connect(settings) as call:
        page = call("audit_list", asked)
    if settings.as_json:
        print_json(page)
        return
    print_table(
        ("record", "at", "user", "verb", "subject", "reason"),
        [
            (
                row["number"],
                short_time(row["at"]),
                row["user"],
                row["verb"],
                tell_subject(row),
                row["reason"],
            )
            for row in page["items"]
        ],
    )


def tell_subject(row: Mapping[str, Any]) -> str:
    """Return what a record is about; an action on a selection is about a number of things."""
    items = row["detail"].get("items", "")
    return row["subject"] or (count_of(int(items), "item") if items.isdigit() else "")


@audit.command("verify")
@pass_settings
def verify(settings: Settings) -> None:
    """
    Verify that no record was changed, taken out or put in. Exit code 1 when the chain is broken.
    """
    with connect(settings) as call:
        told = call("audit_verify", {})
    if settings.as_json:
        print_json(told)
    elif told["ok"]:
        click.echo(f"the chain of {count_of(told['count'], 'record')} is whole")
    else:
        click.echo(f"the chain is broken: {told['problem']}", err=True)
    if not told["ok"]:
        click.get_current_context().exit(1)


@audit.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--since", metavar="TIME", help="Only from then on.")
@pass_settings
def export(settings: Settings, file: Path, *, since: str | None) -> None:
    """
    Write the records to a file, one JSON object per line, newest first.

    \b
    Example:
      medbus audit export audit-2026-11.jsonl --since 2026-11-01
    """
    try:
        lines = file.open("x", encoding="utf-8")
    except OSError as error:
        raise Usage(f"{file} cannot be made: {error.strerror}", fix="name a new file") from None
    count, cursor = 0, ""
    with lines, connect(settings) as call:
        while True:
            page = call("audit_export", {"since": since, "cursor": cursor})
            for record in page["items"]:
                lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            count += len(page["items"])
            if not (cursor := page["next"]):
                break
    if settings.as_json:
        print_json({"count": count, "file": str(file)})
    else:
        click.echo(f"{count_of(count, 'record')} written to {file}")
