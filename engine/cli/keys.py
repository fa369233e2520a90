"""`medbus keys`: the key ring that seals the store and names pseudonyms."""

from __future__ import annotations

from typing import Any

import click

from engine.cli.connection import connect
from engine.cli.output import print_table
from engine.cli.settings import Settings, pass_settings, print_json


@click.group("keys", short_help="The key ring: init, rotate, status.")
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
        _say(settings, call("keys_rotate", {"reason": reason}))


@keys.command("status")
@pass_settings
def status(settings: Settings) -> None:
    """List the named keys and the days that have keys; never their bytes."""
    with connect(settings) as call:
        _say(settings, call("keys_status", {}))


def _say(settings: Settings, told: dict[str, Any]) -> None:
    if settings.as_json:
        print_json(told)
        return
    click.echo(f"key ring: {told['folder']}")
    print_table(("key", "purpose"), [(row["name"], row["purpose"]) for row in told["items"]])
