"""`medbus run`: the engine in the foreground."""

from __future__ import annotations

import os

import click

from engine.cli.settings import Settings, pass_settings


@click.command("run", short_help="Run the engine in the foreground.")
@pass_settings
def run(settings: Settings) -> None:
    """
    Run the engine until it is stopped: Ctrl-C, SIGTERM or `medbus stop` end it in order.

    Nothing starts while `medbus check` has errors. SIGHUP reloads the site. Logs go to stderr.
    Exit code 75 means the disk failed: let your supervisor start it again.

    \b
    Examples:
      medbus run
      medbus run --site /srv/medbus --env prod
    """
    from engine.runtime.supervisor import run_engine

    code = run_engine(settings.site, settings.env_name, os.environ)
    if code:
        click.get_current_context().exit(code)
