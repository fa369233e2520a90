"""`medbus prune`: delete what retention says may go."""

from __future__ import annotations

import click

from engine.cli.connection import connect
from engine.cli.output import print_table
from engine.cli.settings import Settings, pass_settings, print_json


@click.command("prune", short_help="Delete what retention says may go.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def prune(settings: Settings, *, dry_run: bool, reason: str) -> None:
    """
    Delete bodies, then whole days, that are older than `retention`. A running engine does this
    by itself every night. A day that still owes deliveries is kept.

    \b
    Example:
      medbus prune --dry-run
    """
    with connect(settings) as call:
        told = call("prune", {"dry_run": dry_run, "reason": reason})
    if settings.as_json:
        print_json(told)
        return
    print_table(
        ("day", "action", "note"),
        [(row["day"], row["action"], row["note"]) for row in told["items"]],
    )
    click.echo("nothing was deleted" if dry_run or not told["items"] else "done")
