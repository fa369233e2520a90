"""`medbus run`: the engine in the foreground."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from engine.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from engine.runtime.engine import Engine
    from engine.web.server import HttpServer


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

    code = run_engine(settings.site, settings.env_name, os.environ, make_http)
    if code:
        click.get_current_context().exit(code)


def make_http(engine: Engine) -> HttpServer | None:
    """Return the endpoint of /metrics and /health, where the site wants one."""
    http = engine.configuration.site.http
    if http is None:
        return None
    from engine.runtime.metrics import make_registry
    from engine.web.app import make_app
    from engine.web.server import HttpServer

    app = make_app(make_registry(engine), engine.health)
    return HttpServer(app, http.listen.host, http.listen.port)
