"""`medbus relink`: from a pseudonym back to what it stands for, for those entitled to it."""

from __future__ import annotations

import click

from engine.cli.connection import connect
from engine.cli.output import print_table
from engine.cli.settings import Settings, pass_settings, print_json


@click.command("relink", short_help="What a pseudonym stands for; audited with its purpose.")
@click.argument("pseudonyms", metavar="PSEUDONYM...", nargs=-1, required=True)
@click.option("--purpose", metavar="TEXT", required=True, help="Why; kept in the audit record.")
@pass_settings
def relink(settings: Settings, pseudonyms: tuple[str, ...], *, purpose: str) -> None:
    """
    Ask the vault what pseudonyms stand for.

    Only profiles with `vault: true` leave anything there, and only the OS users that
    medbus.yaml names under `roles: {relinker: [...]}` may ask. The audit record with the purpose
    is written before the answer is given. Exit code 1 when a pseudonym is not known.

    \b
    Example:
      medbus relink QK5TR2M7XWJ3ZC4A --purpose "incidental finding, ethics vote 2026-114"
    """
    with connect(settings) as call:
        told = call("relink", {"pseudonyms": list(pseudonyms), "purpose": purpose})
    rows = told["items"]
    if settings.as_json:
        print_json(told)
    else:
        print_table(
            ("pseudonym", "stands for", "type", "authority", "key"),
            [
                (
                    row["pseudonym"],
                    "(not known)" if row["original"] is None else row["original"],
                    row["type"],
                    row["authority"],
                    row["key"],
                )
                for row in rows
            ],
        )
    if any(row["original"] is None for row in rows):
        click.get_current_context().exit(1)
