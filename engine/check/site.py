"""
All findings of a site at once: what the loader found, and what only shows between the parts.

Rules of this file: pure; a site that cannot be read at all still gets every finding that can be
made about the parts that can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from engine.check.cycles import check_cycles
from engine.check.live_shift import check_live_shift
from engine.check.ports import check_ports
from engine.check.python_steps import check_python
from engine.check.references import check_references
from engine.check.repeats import check_repeats
from engine.check.tables import check_tables
from engine.check.tests import check_tests
from engine.check.unused import check_unreachable, check_unused
from engine.config.load import LoadedSite
from engine.config.models.site import Site
from engine.model.finding import Finding, has_errors
from engine.pipeline.compile import compile_site
from engine.pipeline.context import FixedKeys

_SITE_CHECKS: tuple[Callable[[Site], Iterator[Finding]], ...] = (
    check_cycles,
    check_live_shift,
    check_ports,
    check_python,
    check_tables,
    check_tests,
    check_unreachable,
)


def check_site(loaded: LoadedSite) -> list[Finding]:
    """Return every finding of a loaded site, with its place, by file and line."""
    findings = [*loaded.findings, *check_references(loaded)]
    for check in _SITE_CHECKS:
        findings.extend(check(loaded.partial))
    own = loaded.located(findings)
    if not any(finding.code == "CFG-110" for finding in own):
        own = [*own, *_compiled(loaded, own)]
    if not has_errors(own):
        # Hints are worth reading only once the site says what its author meant.
        own = [*own, *check_repeats(loaded.partial), *check_unused(loaded.partial)]
    return loaded.located(own)


def _compiled(loaded: LoadedSite, known: Iterable[Finding]) -> list[Finding]:
    """Return what compiling finds, less what is already said of the same place."""
    places = {finding.mark for finding in known}
    _, findings = compile_site(loaded.partial, keys=FixedKeys())
    return [finding for finding in loaded.located(findings) if finding.mark not in places]
