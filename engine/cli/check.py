"""`medbus check`: every finding of the site, as file:line:column code, what and fix."""

from __future__ import annotations

import os
from typing import Any

import click

from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of
from engine.model.errors import MedbusError


@click.command(
    epilog="""\b
Examples:
  medbus check                     all findings of the site in this folder
  medbus check --env prod          with environments/prod.yaml
  medbus check --effective         every setting as it holds, defaults included
"""
)
@click.option("--effective", is_flag=True, help="Print every setting as it holds, with defaults.")
@pass_settings
@click.pass_context
def check(ctx: click.Context, settings: Settings, effective: bool) -> None:
    """
    Report everything that is wrong with the site.

    Nothing is changed; with a running engine it also says what a reload would change. Exit code 1
    when a finding is an error; warnings alone exit 0.
    """
    from engine.check.outside import check_outside
    from engine.check.site import check_site
    from engine.config.files import read_site_files
    from engine.config.load import load_site
    from engine.model.finding import Severity

    files = read_site_files(settings.site)
    loaded = load_site(files, environ=os.environ, env_name=settings.env_name)
    outside = check_outside(loaded.partial, lambda path: (settings.site / path).is_file())
    findings = loaded.located([*check_site(loaded), *outside])
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if effective and not errors:
        _print_effective(loaded.partial, as_json=settings.as_json)
        ctx.exit(0)
    reload = _ask_running(settings) if not errors else None
    if settings.as_json:
        shown: dict[str, object] = {"items": [_as_json(f) for f in findings], "next": ""}
        print_json({**shown, "reload": reload} if reload is not None else shown)
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo(_summary(errors, len(findings) - errors, len(loaded.partial.routes)))
        _print_reload(reload, {str(finding) for finding in findings})
    ctx.exit(1 if errors else 0)


def _ask_running(settings: Settings) -> dict[str, Any] | None:
    """Return what a reload would change in the running engine; None when none runs."""
    from engine.cli.site import find_data
    from engine.runtime.control_socket import ControlClient

    client = ControlClient.find(find_data(settings) / "control.sock", lambda text: None)
    if client is None:
        return None
    try:
        told: dict[str, Any] = client.call("reload", {"dry_run": True, "reason": ""})
        return told
    except MedbusError as error:
        return {"ok": False, "findings": [{"text": str(error)}], "changes": []}
    finally:
        client.close()


def _print_reload(told: dict[str, Any] | None, known: set[str]) -> None:
    if told is None:
        return
    for finding in told["findings"]:
        if finding["text"] not in known:
            click.echo(finding["text"])
    if not told["ok"]:
        return
    from engine.cli.reload import tell_change

    changes = [f"  {tell_change(change)}" for change in told["changes"]]
    click.echo("a reload would change:" if changes else "a reload would change nothing")
    for line in changes:
        click.echo(line)


def _print_effective(site: object, *, as_json: bool) -> None:
    from engine.check.effective import effective_site, format_effective
    from engine.config.models.site import Site

    assert isinstance(site, Site)
    values = effective_site(site)
    if as_json:
        print_json(values)
    else:
        click.echo(format_effective(values))


def _as_json(finding: object) -> dict[str, object]:
    from engine.model.finding import Finding, Mark

    assert isinstance(finding, Finding)
    mark = finding.mark or Mark("")
    return {
        "file": mark.file,
        "line": mark.line,
        "column": mark.column,
        "code": finding.code,
        "severity": str(finding.severity),
        "what": finding.what,
        "fix": finding.fix,
    }


def _summary(errors: int, warnings: int, routes: int) -> str:
    if not errors and not warnings:
        return f"no findings; {count_of(routes, 'route')}"
    return f"{count_of(errors, 'error')}, {count_of(warnings, 'warning')}"
