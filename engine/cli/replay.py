"""`medbus replay`: deliver messages once more, as new records linked to the old."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import show_value
from engine.cli.selection import act, acting_options, print_left_out
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of
from engine.model.errors import Usage


@click.command("replay", short_help="Deliver messages once more, as new records.")
@acting_options
@click.option(
    "--as",
    "replay_as",
    type=click.Choice(["sent", "received"]),
    required=True,
    help="sent: the stored output bytes. received: the original through today's configuration.",
)
@click.option("--to", multiple=True, metavar="OUTBOUND", help="Only to these outbound channels.")
@pass_settings
def replay(
    settings: Settings, *, ids: tuple[str, ...], filters: dict[str, str], reason: str | None,
    yes: int | None, replay_as: str, to: tuple[str, ...], dry_run: bool,
) -> None:  # fmt: skip
    """
    Deliver messages once more. A replay is a new record, linked to the old one, at the tail.

    With --outbound and without --to it goes to that channel only. What a filter finds as original
    and as its replays is received once.

    --as sent repeats the stored output bytes with the same MSH-10. --as received runs the
    original through today's configuration, with its original id and arrival time.

    \b
    Examples:
      medbus replay 20261121-17 --as sent --to lis --reason "LIS lost its disk"
      medbus replay --inbound his_adt --since 2h --as received --dry-run
    """
    extra: dict[str, Any] = {"as": replay_as, "to": list(to)}
    if not dry_run:
        act(settings, "replay", ids=ids, filters=filters, reason=reason, yes=yes, **extra)
        return
    if not ids and not filters:
        raise Usage("replay of what?", fix="give message ids, or filters")
    with connect(settings) as call:
        told = call("replay_dry_run", {"ids": list(ids), "filters": filters, **extra})
    _show_dry_run(settings, told)
    if told["left_out"] or not told["count"]:
        click.get_current_context().exit(1)


def _show_dry_run(settings: Settings, told: dict[str, Any]) -> None:
    if settings.as_json:
        print_json(told)
        return
    messages = count_of(told["count"], "message")
    deliveries = count_of(told["deliveries"], "delivery", "deliveries")
    click.echo(f"replay: {messages}, {deliveries}; nothing was done")
    for item in told["items"]:
        newer = f", {item['newer_count']} newer delivered since" if item["newer_count"] else ""
        click.echo(f"{item['id']} -> {item['outbound']}{newer}")
        for change in item["changes"]:
            before, after = show_value(change["before"]), show_value(change["after"])
            click.echo(f"    {change['path']}: {before} -> {after}")
    if len(told["items"]) < told["deliveries"]:
        rest = count_of(told["deliveries"] - len(told["items"]), "delivery", "deliveries")
        click.echo(f"and {rest} more, not compared")
    print_left_out(told["left_out"])
