"""`medbus reload` and `rollback`: another configuration, without stopping."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.connection import connect_running
from engine.cli.settings import Settings, pass_settings, print_json


@click.command("reload", short_help="Let the running engine take over the changed site.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def reload(settings: Settings, *, dry_run: bool, reason: str) -> None:
    """
    Check the site's files and switch the running engine to them.

    A changed channel finishes its exchange first; an unchanged one notices nothing. A site with
    errors changes nothing. Removing a channel that still owes deliveries keeps its queue.

    \b
    Examples:
      medbus reload --dry-run
      medbus reload --reason "new LIS address"
    """
    with connect_running(settings) as call:
        _say(settings, call("reload", {"dry_run": dry_run, "reason": reason}))


@click.command("rollback", short_help="Go back to the configuration before this one.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def rollback(settings: Settings, *, reason: str) -> None:
    """
    Go back to the configuration that ran before the last reload.

    The files of the site are left as they are; the next reload or start takes them again.

    \b
    Example:
      medbus rollback --reason "wards report wrong beds"
    """
    with connect_running(settings) as call:
        _say(settings, call("rollback", {"reason": reason}))


def tell_change(change: dict[str, Any]) -> str:
    """Return one change in a line, with what the channel's queue holds."""
    owed = f"; {change['owed']} in its queue" if change["owed"] else ""
    return f"{change['kind']} {change['name']}: {change['change']}{owed}"


def _say(settings: Settings, told: dict[str, Any]) -> None:
    if settings.as_json:
        print_json(told)
    else:
        for finding in told["findings"]:
            click.echo(finding["text"], err=True)
        for change in told["changes"]:
            click.echo(tell_change(change))
        if not told["changes"] and told["ok"]:
            click.echo("nothing changes" if not told["applied"] else "nothing has changed")
        if not told["ok"]:
            click.echo("the running configuration is untouched", err=True)
        elif told["applied"]:
            click.echo(f"now running configuration {told['snapshot_id'][:12]}")
    if not told["ok"]:
        click.get_current_context().exit(1)
