"""
All findings of a site at once: what the loader found, and what only shows between the parts.

Rules of this file: pure; a site that cannot be read at all still gets every finding that can be
made about the parts that can.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.check.live_shift import check_live_shift
from engine.check.ports import check_ports
from engine.check.python_steps import check_python
from engine.check.references import check_references
from engine.check.repeats import check_repeats
from engine.check.standard import check_standard
from engine.check.tables import check_tables
from engine.check.tests import check_tests
from engine.check.unused import check_unreachable, check_unused
from engine.config.load import LoadedSite
from engine.config.models.site import Site
from engine.model.finding import Finding, has_errors
from engine.pipeline.compile import compile_site
from engine.pipeline.context import FixedKeys

_SITE_CHECKS: tuple[Callable[[Site], Iterator[Finding]], ...] = (
    check_ports,
    check_python,
    check_tables,
    check_unreachable,
)


def check_site(loaded: LoadedSite) -> list[Finding]:
    """Return every finding of a loaded site, with its place, by file and line."""
    site = loaded.partial
    findings = [*loaded.findings]
    named = (*check_references(loaded), *check_tests(loaded))
    unreadable = any(_hides_channels(finding) for finding in loaded.findings)
    findings.extend(f for f in named if f.code != "CFG-101" or not unreadable)
    for check in _SITE_CHECKS:
        findings.extend(check(site))
    compiled, language = compile_site(site, keys=FixedKeys())
    findings.extend(finding for finding in language if not _is_consequence(finding, loaded))
    findings.extend(check_live_shift(site, compiled.profiles))
    if not has_errors(findings):
        # Hints are worth reading only once the site says what its author meant.
        findings.extend(
            [*check_repeats(site), *check_standard(site), *check_unused(site, compiled.used)]
        )
    return loaded.located(findings)


def _hides_channels(finding: Finding) -> bool:
    """Return whether a file of channels cannot be read, so that nobody knows what it names."""
    mark = finding.mark
    return (
        finding.code in ("CFG-001", "CFG-007")
        and mark is not None
        and mark.file.startswith("channels/")
    )


def _is_consequence(finding: Finding, loaded: LoadedSite) -> bool:
    """Return whether something is said to be missing that is there, but has findings itself."""
    site = loaded.partial
    if not finding.loc and finding.mark is None:
        # Of a profile no step could have named; the step has a finding.
        return True
    for kind, there in (
        ("tables", site.tables),
        ("transforms", site.transforms),
        ("profiles", site.profiles),
    ):
        unreadable = set(loaded.declared[kind]) - set(there)
        if any(finding.what.endswith(f" {name}") for name in unreadable):
            return True
    return False
