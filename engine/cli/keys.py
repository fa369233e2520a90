"""`medbus keys`: the key ring that seals the store and names pseudonyms."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import print_table
from engine.cli.selection import demand_consent
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of
from engine.model.errors import Usage


@click.group("keys", short_help="The key ring: init, rotate, status, destroy.")
def keys() -> None:
    """The key ring in data/keys. Back it up apart from the data: without it nothing can be read."""


@keys.command("init")
@pass_settings
def init(settings: Settings) -> None:
    """Make the key ring, where there is none yet; `run` does so by itself."""
    with connect(settings) as call:
        _say(settings, call("keys_init", {}))


@keys.command("rotate")
@click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit record.")
@pass_settings
def rotate(settings: Settings, *, reason: str) -> None:
    """
    Make a new master key and wrap every day's keys anew; stored bodies stay as they are.

    Named keys of de-identification are never rotated: their pseudonyms must stay the same.
    """
    with connect(settings) as call:
        told = call("keys_rotate", {"reason": reason})
    _say(settings, told)
    if not settings.as_json:
        click.echo(
            f"the master key is new: back up {told['folder']}/master.key, apart from the data"
        )


@keys.command("status")
@pass_settings
def status(settings: Settings) -> None:
    """List the named keys and the days that have keys; never their bytes."""
    with connect(settings) as call:
        _say(settings, call("keys_status", {}))


@keys.command("destroy")
@click.argument("name", metavar="NAME")
@click.option("--reason", metavar="TEXT", help="Why; kept in the audit record.")
@click.option("--yes", type=int, metavar="N", help="Do not ask; refused unless N links go.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@pass_settings
def destroy(
    settings: Settings, name: str, *, reason: str | None, yes: int | None, dry_run: bool
) -> None:
    """
    Destroy a named key for good, and all that the vault keeps under it.

    Afterwards nobody can lead its pseudonyms back, nor make the same ones again; the name is
    never given to another key. A key that a profile in use names is not destroyed. Copies of the
    key ring and of the vault in backups are yours to destroy.

    \b
    Example:
      medbus keys destroy research --reason "study ended, ethics vote 2026-114"
    """
    with connect(settings) as call:
        told = call("keys_destroy", {"name": name, "dry_run": True})
        count = told["links"]
        if not dry_run:
            if not reason:
                raise Usage("this wants a reason", fix="say --reason TEXT")
            links = f"{count_of(count, 'link')} of the vault"
            demand_consent("destroy the key and", count, links, yes)
            told = call("keys_destroy", {"name": name, "reason": reason, "links": count})
    if settings.as_json:
        print_json(told)
        return
    word = "is destroyed" if told["destroyed"] else "would be destroyed"
    click.echo(f"the key {name} {word}, with {count_of(count, 'link')} of the vault")


def _say(settings: Settings, told: dict[str, Any]) -> None:
    if settings.as_json:
        print_json(told)
        return
    click.echo(f"key ring: {told['folder']}")
    print_table(("key", "purpose"), [(row["name"], row["purpose"]) for row in told["items"]])
