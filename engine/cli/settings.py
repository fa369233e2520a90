"""
What every command shares: which site, which environment, text or JSON, and how to refuse.

Rules of this file: light imports only; it is loaded for `medbus --help`.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from engine.model.errors import Fenced, MedbusError, Usage


@dataclass(slots=True)
class Settings:
    """The options taken before and after the verb."""

    site: Path = field(default_factory=lambda: Path("."))
    env_name: str | None = field(default_factory=lambda: os.environ.get("MEDBUS_ENV") or None)
    as_json: bool = False


pass_settings = click.make_pass_decorator(Settings, ensure=True)


class ErrorPage(click.ClickException):
    """A MedbusError as the command line shows it; exits 2 for usage, 75 for the fence, else 1."""

    def __init__(self, error: MedbusError, *, as_json: bool) -> None:
        super().__init__(error.what)
        self.error = error
        self.as_json = as_json
        code = 2 if isinstance(error, Usage) else 75 if isinstance(error, Fenced) else 1
        setattr(self, "exit_code", code)  # noqa: B010  click declares it on the class

    def show(self, file: Any = None) -> None:
        """Print the error where errors go; as one JSON object with --json."""
        error = self.error
        if self.as_json:
            shown = {"code": error.code, "what": error.what, "where": error.where, "fix": error.fix}
            click.echo(json.dumps({"error": shown}, ensure_ascii=False), err=True)
        else:
            click.echo(f"medbus: {error}", err=True)


def add_shared_options(command: click.Command) -> None:
    """Give a command, and the commands below it, --site, --env and --json (once)."""
    if isinstance(command, click.Group) and command.name != "cli":
        for below in command.commands.values():
            add_shared_options(below)
    taken = {option for parameter in command.params for option in parameter.opts}
    if "--site" in taken:
        return
    command.params += [
        click.Option(
            ["--site"],
            type=click.Path(path_type=Path, file_okay=False),
            expose_value=False,
            callback=_take_site,
            help="The site's folder. [default: .]",
        ),
        click.Option(
            ["--env"],
            expose_value=False,
            callback=_take_env,
            metavar="NAME",
            help="Which environments/NAME.yaml. [default: MEDBUS_ENV]",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            is_eager=True,  # a wrong option beside it is told in JSON, too
            expose_value=False,
            callback=_take_json,
            help="Print JSON for programs.",
        ),
    ]


def _take_site(ctx: click.Context, _: click.Parameter, value: Path | None) -> None:
    if value is not None:
        ctx.ensure_object(Settings).site = value


def _take_env(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Settings).env_name = value


def _take_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Settings).as_json = True


def print_json(value: object) -> None:
    """Print one JSON value on one line per document, readable and in UTF-8."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()
