"""Channel tests that name what does not exist."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.check.references import unknown
from engine.config.load import LoadedSite
from engine.config.models.site import Site
from engine.config.models.tests import ChannelTest
from engine.model.finding import Finding, Loc


def check_tests(loaded: LoadedSite) -> Iterator[Finding]:
    """Yield a finding for every channel, route or file of a test that is not there."""
    site = loaded.partial
    seen: dict[str, str] = {}
    for file, test in site.tests:
        if test.name in seen:
            what = f"another test of {seen[test.name]} has this name"
            yield Finding("CFG-117", what, "give each test its own name", loc=(*test.loc, "name"))
        seen.setdefault(test.name, file)
        yield from _check_test(test, site, loaded.declared)


def _check_test(
    test: ChannelTest, site: Site, declared: Mapping[str, Mapping[str, Loc]]
) -> Iterator[Finding]:
    loc = test.loc
    if test.send.to not in declared["inbound"]:
        yield unknown(
            "CFG-101", "inbound channel", test.send.to, declared["inbound"], (*loc, "send", "to")
        )
    for name in test.expect.routes:
        if name not in declared["routes"]:
            yield unknown(
                "CFG-101", "route", name, declared["routes"], (*loc, "expect", "routes", name)
            )
    for name in test.expect.outputs:
        if name not in declared["outbound"]:
            yield unknown(
                "CFG-101", "outbound channel", name, declared["outbound"], (*loc, "expect", name)
            )
    for name, reply in test.replies.items():
        if name not in declared["outbound"]:
            place: Loc = (*loc, "replies", name)
            yield unknown("CFG-101", "outbound channel", name, declared["outbound"], place)
        yield from _check_file(reply.file, (*loc, "replies", name, "file"), site)
    yield from _check_file(test.send.file, (*loc, "send", "file"), site)


def _check_file(file: str | None, loc: Loc, site: Site) -> Iterator[Finding]:
    """Whole outputs are left out: `medbus test --update` writes them."""
    if file is not None and file not in site.files:
        fix = "paths of files are relative to the site"
        yield Finding("CFG-108", f"there is no file {file}", fix, loc=loc)
