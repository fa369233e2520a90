"""`medbus handover`: what the next shift needs to know, on one page."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.audit import tell_subject
from engine.cli.connection import connect
from engine.cli.output import print_table, short_age, short_time
from engine.cli.settings import Settings, pass_settings, print_json
from engine.cli.status import print_alarms, print_ledger


@click.command("handover", short_help="What the next shift needs to know.")
@click.option("--since", metavar="TIME", default="8h", show_default=True)
@pass_settings
def handover(settings: Settings, *, since: str) -> None:
    """
    Alarms, what is parked and waiting, what is paused and by whom, what was done, the ledger.

    \b
    Example:
      medbus handover --since 8h
    """
    with connect(settings) as call:
        told = call("handover", {"since": since})
    if settings.as_json:
        print_json(told)
    else:
        _print(told)


def _print(told: dict[str, Any]) -> None:
    click.echo(f"{told['site']}: handover since {short_time(told['since'])}, {told['state']}")
    print_alarms(told["alarms"])
    _section("waiting for a person", ("outbound", "code", "count", "oldest"), [
        (row["outbound"], row["park_code"], row["count"], short_age(row["oldest_age_s"]))
        for row in told["parked"]
    ])  # fmt: skip
    _section("queues", ("outbound", "pending", "held", "oldest"), [
        (row["name"], row["pending"], row["held"], short_age(row["oldest_age_s"]))
        for row in told["queues"]
    ])  # fmt: skip
    _section("paused", ("channel", "by", "since", "until", "reason"), [
        (
            row["channel"],
            row["user"],
            short_time(row["at"]),
            short_time(row["until"]),
            row["reason"],
        )
        for row in told["paused"]
    ])  # fmt: skip
    _section("done", ("at", "user", "verb", "subject", "reason"), [
        (short_time(row["at"]), row["user"], row["verb"], tell_subject(row), row["reason"])
        for row in told["actions"]
    ])  # fmt: skip
    print_ledger(told["ledger"])


def _section(title: str, headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    click.echo(f"\n{title}: {'nothing' if not rows else ''}".rstrip())
    if rows:
        print_table(headings, rows)
