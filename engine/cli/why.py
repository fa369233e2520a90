"""`medbus why`: one line per message: where it went, or what stopped it."""

from __future__ import annotations

import click

from engine.cli.connection import connect
from engine.cli.output import print_indented, short_time
from engine.cli.selection import filter_options
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.errors import Usage


@click.command("why", short_help="Why a receiver got a message, or did not.")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@filter_options
@click.option("--to", required=True, metavar="OUTBOUND", help="The receiver in question.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True)
@pass_settings
def why(
    settings: Settings, *, ids: tuple[str, ...], filters: dict[str, str], to: str, limit: int
) -> None:
    """
    Say for each message whether it went to a receiver, or which rule with which value stopped it;
    for one that waits or was taken out, what it waits for or who did it, and the next step.

    \b
    Examples:
      medbus why --patient 88001 --to lis
      medbus why --control-id C0001 --to lis
      medbus why 20261121-17 --to mpi
    """
    if not ids and not filters:
        raise Usage("why about which messages?", fix="give ids, --patient, --control-id or --since")
    with connect(settings) as call:
        told = call("why", {"ids": list(ids), "filters": filters, "to": to, "limit": limit})
    if settings.as_json:
        print_json(told)
        return
    if not told["items"]:
        click.echo("no message matches", err=True)
    for row in told["items"]:
        at = short_time(row["received_at"])
        click.echo(f"{row['message_id']}  {at}  {row['message_type']}  {row['control_id']}")
        print_indented(row["why"])
        if row["next_step"]:
            print_indented(f"next: {row['next_step']}")
