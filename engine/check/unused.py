"""Parts of a site that nothing uses, and parts that nothing can reach."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.check.walk import Visit, step_lists, walk_site, walk_steps
from engine.config.models.route import Route
from engine.config.models.site import Site
from engine.config.models.steps import ChooseArgs, EachArgs, EmitArgs, StepModel
from engine.model.finding import Finding, Loc, Severity

_LOOKUP_CALL = re.compile(r"lookup\(\s*['\"]([^'\"]+)['\"]")
_TYPE_TERM = re.compile(r"MSH-9\.([12])\s*==\s*(['\"])([^'\"]*)\2")
_NEVER = frozenset({"false", "False", "''", '""', "0", "none", "None"})


def _warn(code: str, what: str, fix: str, loc: Loc) -> Finding:
    return Finding(code, what, fix, Severity.WARNING, loc=loc, at_key=True)


def check_unused(site: Site) -> Iterator[Finding]:
    """Yield a warning for every channel, table, transform … that nothing uses."""
    visits = list(walk_site(site))
    sources = {source for route in site.routes.values() for source in route.from_}
    targets = {target for route in site.routes.values() for target in route.to}
    for name in site.inbound:
        if name not in sources:
            what = f"no route takes what {name} gets: it will be acknowledged and go nowhere"
            yield _warn("CFG-122", what, f"add a route from {name}", ("inbound", name))
    for name in site.outbound:
        if name not in targets:
            yield _warn("CFG-121", f"no route sends to {name}", "remove it", ("outbound", name))
    for kind, names, used in (
        ("transforms", set(site.transforms), _names(visits, "apply", "name")),
        ("tables", set(site.tables), _tables_read(site, visits)),
        ("profiles", set(site.profiles), _profiles_used(site, visits)),
    ):
        for name in sorted(names - used):
            what = f"nothing uses {kind}/{name}".replace("profiles/", "the profile ")
            what = what.replace("tables/", "the table ").replace("transforms/", "the steps ")
            yield _warn("CFG-123", what, "remove the file, or use it", (kind, name))


def _names(visits: Sequence[Visit], kind: str, attribute: str) -> set[str]:
    return {str(getattr(v.step.args, attribute)) for v in visits if v.step.kind == kind}


def _profiles_used(site: Site, visits: Sequence[Visit]) -> set[str]:
    bases = {profile.extends for profile in site.profiles.values() if profile.extends}
    return _names(visits, "deidentify", "profile") | bases


def _tables_read(site: Site, visits: Sequence[Visit]) -> set[str]:
    """Return the tables that steps, expressions, templates or Python name."""
    texts = [*site.templates.values(), *site.python.values()]
    for route in site.routes.values():
        texts.append(route.when or "")
    for visit in visits:
        texts.extend(step_texts(visit.step))
    found = {name for text in texts for name in _LOOKUP_CALL.findall(text)}
    return found | _names(visits, "lookup", "table")


def step_texts(step: StepModel) -> Iterator[str]:
    """Yield the expressions and templates of one step, not those of the steps within it."""
    if step.when:
        yield step.when
    args = step.args
    for key in ("values", "fields", "with_"):
        value = getattr(args, key, None)
        if isinstance(value, dict):
            yield from value.values()
    if getattr(args, "where", None):
        yield args.where
    if isinstance(args, ChooseArgs):
        yield from (branch.when for branch in args.branches if branch.when)


def check_unreachable(site: Site) -> Iterator[Finding]:
    """Yield a warning for every route that never matches and every step that never runs."""
    for name, route in site.routes.items():
        yield from _check_route(name, route)
    for loc, steps in step_lists(site):
        yield from _after_filter(steps, loc)
        for visit in walk_steps(steps, loc):
            for inner, place in _inner_lists(visit):
                yield from _after_filter(inner, place)
            if visit.step.when is not None and visit.step.when.strip() in _NEVER:
                yield _warn(
                    "CFG-126",
                    "the step never runs: its when is never true",
                    "remove it",
                    (*visit.loc, "when"),
                )


def _inner_lists(visit: Visit) -> Iterator[tuple[Sequence[StepModel], Loc]]:
    args = visit.step.args
    if isinstance(args, EachArgs):
        yield args.steps, (*visit.loc, "steps")
    elif isinstance(args, ChooseArgs):
        for at, branch in enumerate(args.branches):
            key = "steps" if branch.else_ is None else "else"
            yield branch.chosen_steps, (*visit.loc, "choose", at, key)
    elif isinstance(args, EmitArgs):
        for at, output in enumerate(args.outputs):
            yield output.steps, (*visit.loc, "emit", at, "steps")


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


def _after_filter(steps: Sequence[StepModel], loc: Loc) -> Iterator[Finding]:
    for i, step in enumerate(steps[:-1]):
        if step.kind == "filter" and step.when is None:
            what = "the steps from here on never run: a filter without when stands before them"
            yield _warn("CFG-126", what, "give the filter a when", (*loc, i + 1))
            return
