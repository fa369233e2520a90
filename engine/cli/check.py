"""`medbus check`: every finding of the site, as file:line:column code, what and fix."""

from __future__ import annotations

import os

import click

from engine.cli.settings import Settings, pass_settings, print_json


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

    Nothing is changed. Exit code 1 when a finding is an error; warnings alone exit 0.
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
    elif settings.as_json:
        print_json({"items": [_as_json(finding) for finding in findings], "next": None})
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo(_summary(errors, len(findings) - errors, len(loaded.partial.routes)))
    ctx.exit(1 if errors else 0)


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
        return f"no findings; {routes} route{'s' * (routes != 1)}"
    parts = [f"{errors} error{'s' * (errors != 1)}", f"{warnings} warning{'s' * (warnings != 1)}"]
    return ", ".join(parts)
