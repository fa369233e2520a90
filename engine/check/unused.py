"""Parts of a site that nothing uses, and parts that nothing can reach."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from engine.check.walk import walk_site
from engine.config.models.route import Route
from engine.config.models.site import Site
from engine.model.finding import Finding, Loc, Severity

_LOOKUP = re.compile(r"lookup\(\s*['\"]([^'\"]+)['\"]")
_TYPE_TERM = re.compile(r"MSH-9\.([12])\s*==\s*(['\"])([^'\"]*)\2")
_NEVER = frozenset({"false", "False", "''", '""', "0", "none", "None"})


def _warn(code: str, what: str, fix: str, loc: Loc) -> Finding:
    return Finding(code, what, fix, Severity.WARNING, loc=loc, at_key=True)


def check_unused(site: Site, used: Mapping[str, frozenset[str]]) -> Iterator[Finding]:
    """
    Yield a warning for every channel, table, transform … that nothing uses.

    Args:
        used: kind -> names that some step uses, as compiling found.
    """
    sources = {source for route in site.routes.values() for source in route.from_}
    targets = {target for route in site.routes.values() for target in route.to}
    for name in site.inbound:
        if name not in sources:
            what = f"no route takes what {name} gets: it will be acknowledged and go nowhere"
            yield _warn("CFG-122", what, f"add a route from {name}", ("inbound", name))
    for name in site.outbound:
        if name not in targets:
            yield _warn("CFG-121", f"no route sends to {name}", "remove it", ("outbound", name))
    in_python = {name for source in site.python.values() for name in _LOOKUP.findall(source)}
    included = _named_in(site.templates)
    imported = _named_in(site.python)
    bases = {profile.extends for profile in site.profiles.values()}
    for kind, word, names, also in (
        ("transforms", "the list of steps", set(site.transforms), set[str]()),
        ("tables", "the table", set(site.tables), in_python),
        ("profiles", "the profile", set(site.profiles), bases),
        ("templates", "the template", set(site.templates), included),
        ("python", "the module", set(site.python), imported),
    ):
        for name in sorted(names - used.get(kind, frozenset()) - also):
            what = f"nothing uses {word} {name}"
            yield _warn("CFG-123", what, "remove the file, or use it", (kind, name))


def _named_in(sources: Mapping[str, str]) -> set[str]:
    """Return the names that another of the *sources* speaks of."""
    return {
        name
        for name in sources
        if any(
            re.search(rf"\b{re.escape(name)}\b", text)
            for other, text in sources.items()
            if other != name
        )
    }


def check_unreachable(site: Site) -> Iterator[Finding]:
    """Yield a warning for every route that never matches and every step that never runs."""
    for name, route in site.routes.items():
        yield from _check_route(name, route)
    for visit in walk_site(site):
        if visit.step.when is not None and visit.step.when.strip() in _NEVER:
            what = "the step never runs: its when is never true"
            yield _warn("CFG-126", what, "remove it", (*visit.loc, "when"))


def _check_route(name: str, route: Route) -> Iterator[Finding]:
    loc: Loc = ("routes", name)
    if route.when is not None and route.when.strip() in _NEVER:
        what = f"{name} never matches: its when is never true"
        yield _warn("CFG-125", what, "write a condition, or remove the route", (*loc, "when"))
    elif route.when is not None and not _fits_types(route):
        what = f"{name} never matches: its types do not fit its when"
        yield _warn("CFG-125", what, "correct types or when", (*loc, "when"))
    if route.steps and route.steps[0].kind == "filter" and route.steps[0].when is None:
        what = f"{name} filters everything: its first step is a filter without when"
        yield _warn("CFG-125", what, "give the filter a when", (*loc, "steps", 0, "filter"))


def _fits_types(route: Route) -> bool:
    """Return whether some type of the route satisfies its `MSH-9.n == '…'` terms."""
    when = route.when or ""
    if re.search(r"\b(or|not)\b", when):
        return True
    wanted: dict[str, str] = {}
    for part, _, value in _TYPE_TERM.findall(when):
        if wanted.setdefault(part, value) != value:
            return False
    for kind in route.types:
        code, _, trigger = kind.partition("^")
        fits_code = kind == "any" or wanted.get("1", code) == code
        fits_trigger = trigger in ("", "*") or wanted.get("2", trigger) == trigger
        if fits_code and fits_trigger:
            return True
    return not route.types
