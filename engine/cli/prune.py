"""`medbus prune`: delete what retention says may go."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.connection import CallVerb, connect
from engine.cli.output import print_table
from engine.cli.selection import demand_consent
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of


@click.command("prune", short_help="Delete what retention says may go.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--clock-is-right",
    is_flag=True,
    help="Delete all that is past its time, also when the clock moved by more than a day.",
)
@click.option("--yes", type=int, metavar="N", help="With --clock-is-right: consent to N days.")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def prune(
    settings: Settings, *, dry_run: bool, clock_is_right: bool, yes: int | None, reason: str
) -> None:
    """
    Delete bodies, then whole days, that are older than `retention`. A running engine does this
    by itself every night. A day that still owes deliveries is kept.

    One run deletes one day that has become due, and one that was left before, in each stage;
    none when the clock moved by more than a day since the last run: that may be a clock that is
    wrong, and what is deleted does not come back. --clock-is-right shows all that is past its
    time, asks, and deletes it in one go.

    \b
    Examples:
      medbus prune --dry-run
      medbus prune --clock-is-right --yes 12 --reason "engine was off for ten days"
    """
    asked = {"dry_run": dry_run, "clock_is_right": clock_is_right, "reason": reason}
    with connect(settings) as call:
        if clock_is_right and not dry_run:
            _ask(settings, call, asked, yes)
        told = call("prune", asked)
    is_stopped = bool(told["stopped"]) and not dry_run
    if settings.as_json:
        print_json(told)
        raise SystemExit(int(is_stopped))
    _show(told)
    is_done = any("deleted" in row["action"] for row in told["items"])
    click.echo("done" if is_done and not dry_run else "nothing was deleted")
    raise SystemExit(int(is_stopped))


def _ask(settings: Settings, call: CallVerb, asked: dict[str, Any], yes: int | None) -> None:
    """Show what would go, and have a person consent to it."""
    would = call("prune", {**asked, "dry_run": True})
    actions = [row["action"] for row in would["items"]]
    bodies, days = actions.count("bodies deleted"), actions.count("deleted")
    if not bodies + days:
        return
    if yes is None and not settings.as_json:
        _show(would)
    counted = ((bodies, "the bodies of"), (days, "all of"))
    what = " and ".join(f"{part} {count_of(n, 'day')}" for n, part in counted if n)
    demand_consent("delete", bodies + days, what, yes)


def _show(told: dict[str, Any]) -> None:
    print_table(
        ("day", "action", "note"),
        [(row["day"], row["action"], row["note"]) for row in told["items"]],
    )
