"""`medbus init`: a new site with a commented example."""

from __future__ import annotations

import re
from pathlib import Path

import click

from engine.cli.settings import Settings, pass_settings, print_json
from engine.cli.starter import starter_files
from engine.model.errors import Conflict


@click.command(
    epilog="""\b
Examples:
  medbus init myhospital           a new folder with a site in it
  cd myhospital
  medbus check && medbus test      both pass
  medbus run
"""
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@pass_settings
def init(settings: Settings, directory: Path) -> None:
    """Make a new site in DIRECTORY; nothing that is there is overwritten."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", directory.resolve().name).strip("_") or "site"
    files = starter_files(name)
    there = [path for path in files if (directory / path).exists()]
    if there:
        raise Conflict(
            f"{directory / there[0]} is already there",
            code="RUN-042",
            fix="choose an empty or new folder",
        )
    for path, content in files.items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    if settings.as_json:
        print_json({"directory": str(directory), "files": sorted(files)})
        return
    for path in sorted(files):
        click.echo(f"  {directory / path}")
    click.echo(f"Next: cd {directory}, then medbus check, medbus test, medbus run.")
