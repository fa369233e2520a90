"""`medbus test`: the channel tests of the site."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli.settings import Settings, pass_settings, print_json
from engine.model.counting import count_of
from engine.model.errors import MedbusError, NotFound, Usage

if TYPE_CHECKING:
    from engine.config.load import LoadedSite
    from engine.pipeline.channel_test import TestResult
    from engine.pipeline.coverage import Coverage


@click.command(
    epilog="""\b
Examples:
  medbus test                      all channel tests of the site
  medbus test adt_to_lis merge     those whose name, file, route or channel says so
  medbus test --coverage           and what no test touched
  medbus test --update             write the expected files as the outputs are now
"""
)
@click.argument("names", nargs=-1, metavar="[NAME…]")
@click.option("--coverage", is_flag=True, help="Show what no test touched.")
@click.option("--update", is_flag=True, help="Write whole expected outputs as they are now.")
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write the results as JUnit XML.",
)
@pass_settings
@click.pass_context
def test(
    ctx: click.Context,
    settings: Settings,
    names: tuple[str, ...],
    coverage: bool,
    update: bool,
    junit: Path | None,
) -> None:
    """
    Run the channel tests of the site.

    Every test starts from an empty store, at a fixed time, with a fixed key; nothing is sent and
    no engine is needed. Exit code 1 when a test fails.
    """
    from engine.pipeline.coverage import measure_coverage

    loaded = _load(settings)
    results = _run(loaded, names)
    if update:
        results = _update(settings, results, names)
    measured = measure_coverage(loaded.partial, results) if coverage else None
    if junit is not None:
        from engine.cli.junit import junit_xml

        junit.write_text(junit_xml(results), "utf-8")
    if settings.as_json:
        print_json(_as_json(loaded, results, measured))
    else:
        _print_results(loaded, results)
        if measured is not None:
            _print_coverage(loaded, measured)
    ctx.exit(0 if all(result.passed for result in results) else 1)


def _load(settings: Settings) -> LoadedSite:
    """Return the site; tests need one without errors."""
    from engine.check.site import check_site
    from engine.config.files import read_site_files
    from engine.config.load import load_site
    from engine.model.finding import Severity

    files = read_site_files(settings.site)
    loaded = load_site(files, environ=os.environ, env_name=settings.env_name)
    errors = [f for f in check_site(loaded) if f.severity is Severity.ERROR]
    if errors:
        raise MedbusError(
            f"the site has {count_of(len(errors), 'error')}; the first: {errors[0]}",
            code="RUN-023",
            fix="run `medbus check` to see all of them",
        )
    return loaded


def _run(loaded: LoadedSite, names: Sequence[str]) -> list[TestResult]:
    from functools import partial
    from time import monotonic

    from engine.check.doors import open_door
    from engine.pipeline.channel_test import run_test
    from engine.pipeline.compile import compile_site
    from engine.pipeline.context import FixedKeys
    from engine.runtime.python_workers import PythonWorkers

    site = loaded.partial
    chosen = [(file, one) for file, one in site.tests if _is_wanted(file, one, names)]
    if names and not chosen:
        known = ", ".join(repr(one.name) for _, one in site.tests[:5]) or "none"
        raise NotFound(f"no test is named so: {' '.join(names)}", fix=f"tests are: {known} …")
    compiled, _ = compile_site(site, keys=FixedKeys())
    workers = PythonWorkers()
    try:
        results = []
        for file, one in chosen:
            before = monotonic()
            result = run_test(
                one,
                file,
                site=site,
                compiled=compiled,
                open_door=partial(open_door, site),
                call_python=workers.run,
            )
            result.took_s = monotonic() - before
            results.append(result)
        return results
    finally:
        workers.close()


def _is_wanted(file: str, one: object, names: Sequence[str]) -> bool:
    from engine.config.models.tests import ChannelTest

    assert isinstance(one, ChannelTest)
    exact = {one.send.to, *one.expect.routes, *one.expect.outputs}
    texts = (one.name.lower(), file.lower())
    return not names or any(
        name in exact or any(name.lower() in text for text in texts) for name in names
    )


def _update(
    settings: Settings, results: Sequence[TestResult], names: Sequence[str]
) -> list[TestResult]:
    """Write the expected files that are not as the outputs are now; return the results since."""
    changed = {path: body for result in results for path, body in result.updates.items()}
    for path, body in sorted(changed.items()):
        target = settings.site / path
        if not target.resolve().is_relative_to(settings.site.resolve()):
            raise Usage(f"{path} lies outside the site", fix="expected files belong to the site")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(body)
        if not settings.as_json:
            click.echo(f"wrote {path}")
    return _run(_load(settings), names) if changed else list(results)


def _print_results(loaded: LoadedSite, results: Sequence[TestResult]) -> None:
    for result in results:
        click.echo(f"{'ok  ' if result.passed else 'FAIL'}  {result.test.name}")
        for failure in result.failures:
            click.echo(f"      {loaded.mark_of(failure.loc)} {failure.what}")
            if failure.step:
                where = f", {loaded.mark_of(failure.step_loc)}" if failure.step_loc else ""
                click.echo(f"        {failure.step}{where}")
    failed = sum(not result.passed for result in results)
    click.echo(f"{len(results) - failed} passed, {failed} failed")


def _print_coverage(loaded: LoadedSite, measured: Coverage) -> None:
    click.echo("")
    for kind, (touched, whole) in measured.counts.items():
        click.echo(f"{kind:<9} {touched} of {whole} touched")
    for part in measured.untouched:
        click.echo(f"  {loaded.mark_of(part.loc)} not touched: {part.what}")


def _as_json(
    loaded: LoadedSite, results: Sequence[TestResult], measured: Coverage | None
) -> dict[str, object]:
    shown: dict[str, object] = {
        "items": [
            {
                "name": result.test.name,
                "file": result.file,
                "passed": result.passed,
                "failures": [
                    {
                        "what": failure.what,
                        "where": str(loaded.mark_of(failure.loc)),
                        "step": failure.step,
                        "step_where": str(loaded.mark_of(failure.step_loc))
                        if failure.step_loc
                        else "",
                    }
                    for failure in result.failures
                ],
            }
            for result in results
        ],
        "next": "",
    }
    if measured is not None:
        shown["coverage"] = {
            kind: {"touched": touched, "all": whole}
            for kind, (touched, whole) in measured.counts.items()
        }
        shown["untouched"] = [
            {"kind": part.kind, "what": part.what, "where": str(loaded.mark_of(part.loc))}
            for part in measured.untouched
        ]
    return shown
