"""`medbus schema`: the JSON Schema of the site's files, for editors."""

from __future__ import annotations

import json
from pathlib import Path

import click

KINDS = ("site", "environment", "channels", "tests", "transforms", "profiles")


@click.command(
    epilog="""\b
Examples:
  medbus schema                    one schema that fits every file of a site
  medbus schema channels           the schema of channels/*.yaml
  medbus schema --out .schemas     one file per kind, and how to tell VS Code
"""
)
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write one file per kind into this folder.",
)
def schema(kind: str | None, out: Path | None) -> None:
    """Print the JSON Schema of the YAML, for editors."""
    from engine.config.schema import FILE_KINDS, build_schema

    if out is None:
        click.echo(_text(build_schema(kind)))
        return
    out.mkdir(parents=True, exist_ok=True)
    settings: dict[str, list[str]] = {}
    for name in [kind] if kind else list(FILE_KINDS):
        path = out / f"{name}.schema.json"
        path.write_text(_text(build_schema(name)) + "\n", "utf-8")
        settings[path.as_posix()] = list(FILE_KINDS[name][1])
    click.echo("For VS Code with the YAML extension, in .vscode/settings.json:")
    click.echo(_text({"yaml.schemas": settings}))


def _text(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
