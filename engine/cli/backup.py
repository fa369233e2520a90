"""`medbus backup`: a consistent copy of the data folder, also while the engine runs."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli.connection import connect
from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of


@click.command("backup", short_help="Copy the data folder consistently, also while running.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--with-keys", is_flag=True, help="Also copy the master key; then guard the copy.")
@pass_settings
def backup(settings: Settings, folder: Path, *, with_keys: bool) -> None:
    """
    Write a consistent copy of the store to a new folder, also while the engine runs.

    The master key is not part of it unless asked for: without the key the copy cannot be read,
    with it anyone can read it. Keep the two apart.

    To restore: stop the engine, move its data folder away, copy the backup to its place, put
    master.key back into data/keys, and start. What the copy still owed is delivered again, each
    delivery flagged uncertain: it may have been delivered since.

    A day that is set aside or missing is named, and not in the copy; the command then ends with 1.

    A stop of the engine ends the backup and removes what there is of it. What a kill leaves holds
    a file `unfinished`, and no engine starts on it. Nothing is pruned meanwhile.

    \b
    Examples:
      medbus backup /backup/2026-11-21
      medbus stop; mv data data.old; cp -a /backup/2026-11-21 data
      cp -a data.old/keys/master.key data/keys/; medbus run
    """
    asked = {"folder": str(folder.absolute()), "with_keys": with_keys}
    with connect(settings) as call:
        told = call("backup", asked)
    if settings.as_json:
        print_json(told)
    else:
        files = count_of(told["count"], "file")
        click.echo(f"{files}, {told['bytes']:,} bytes in {told['folder']}")
        if not with_keys:
            click.echo("the master key is not in it; keep keys/master.key elsewhere")
        for what in told["left_out"]:
            click.echo(f"not in it: {what}", err=True)
    raise SystemExit(int(bool(told["left_out"])))
