"""`medbus prune`: delete what retention says may go."""

from __future__ import annotations

import click

from engine.cli.connection import connect
from engine.cli.output import print_table
from engine.cli.settings import Settings, pass_settings, print_json


@click.command("prune", short_help="Delete what retention says may go.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--clock-is-right",
    is_flag=True,
    help="Go on although the clock moved by more than a day since the last run.",
)
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def prune(settings: Settings, *, dry_run: bool, clock_is_right: bool, reason: str) -> None:
    """
    Delete bodies, then whole days, that are older than `retention`. A running engine does this
    by itself every night. A day that still owes deliveries is kept. One day at most goes in one
    run, and none when the clock moved by more than a day since the last run: that may be a clock
    that is wrong, and what is deleted does not come back.

    \b
    Example:
      medbus prune --dry-run
    """
    with connect(settings) as call:
        told = call(
            "prune", {"dry_run": dry_run, "clock_is_right": clock_is_right, "reason": reason}
        )
    is_stopped = bool(told["stopped"]) and not dry_run
    if settings.as_json:
        print_json(told)
        raise SystemExit(int(is_stopped))
    print_table(
        ("day", "action", "note"),
        [(row["day"], row["action"], row["note"]) for row in told["items"]],
    )
    is_done = any("deleted" in row["action"] for row in told["items"])
    click.echo("done" if is_done and not dry_run else "nothing was deleted")
    raise SystemExit(int(is_stopped))
