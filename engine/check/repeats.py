"""
Paths without index on segments that repeat: they mean the first, and seldom that is meant.

Rules of this file: a hint, never an error; only outside `each`, only where the structure of the
route's types says that the segment repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from engine.check.paths_used import PathUse, in_expression, in_step
from engine.check.walk import Visit, walk_steps
from engine.config.models.route import Route
from engine.config.models.site import Site
from engine.config.models.steps import StepModel
from engine.hl7.definitions import segment_repeats, structure_name
from engine.hl7.path import FIRST
from engine.model.finding import Finding, Loc, Severity

#: the version whose structures are asked; segments hardly ever stop repeating in a later one
_VERSION = "2.5.1"
#: one message is about one patient and one visit, whatever the structures would allow
_ONE_PER_MESSAGE = frozenset({"PID", "PD1", "PV1", "PV2", "MRG"})


def check_repeats(site: Site) -> Iterator[Finding]:
    """Yield a hint for every bare path on a segment that repeats in the route's types."""
    said: set[tuple[Loc, str]] = set()
    for name, route in site.routes.items():
        types = [kind for kind in route.types if "^" in kind and not kind.endswith("*")]
        if not types:
            continue
        for use in _uses(name, route, site):
            key = (use.loc, str(use.path))
            kind = next((kind for kind in types if _repeats(kind, use.path.segment)), None)
            if kind is not None and use.path.segment_selector == FIRST and key not in said:
                said.add(key)
                yield _hint(use, kind)


def _hint(use: PathUse, kind: str) -> Finding:
    segment = use.path.segment
    rest = str(use.path)[len(segment) :]
    return Finding(
        "CFG-120",
        f"{segment} repeats in {kind}, and {use.path} means the first",
        f"write {segment}[1]{rest}, {segment}[*]{rest} or each",
        Severity.WARNING,
        loc=use.loc,
        offset=use.offset,
        at_key=use.at_key,
    )


def _uses(name: str, route: Route, site: Site) -> Iterator[PathUse]:
    if route.when:
        yield from in_expression(route.when, ("routes", name, "when"))
    yield from _steps_uses(route.steps, ("routes", name, "steps"), site, frozenset())


def _steps_uses(
    steps: Sequence[StepModel], loc: Loc, site: Site, applied: frozenset[str]
) -> Iterator[PathUse]:
    single: set[str] = set()
    for visit in walk_steps(steps, loc):
        if visit.loops:
            continue
        for use in in_step(visit):
            if use.path.field is not None and use.path.segment not in single:
                yield use
        single |= _now_single(visit)
        if visit.step.kind == "apply":
            name = visit.step.args.name
            if name in site.transforms and name not in applied:
                inner: Loc = ("transforms", name, "steps")
                for use in _steps_uses(site.transforms[name], inner, site, applied | {name}):
                    if use.path.segment not in single:
                        yield use


def _now_single(visit: Visit) -> set[str]:
    """Return the segments that do not repeat any more after a step."""
    if visit.step.kind != "split":
        return set()
    return {visit.step.args.group, *visit.step.args.lead}


@lru_cache(maxsize=4096)
def _repeats(kind: str, segment: str) -> bool:
    if segment in _ONE_PER_MESSAGE:
        return False
    code, _, trigger = kind.partition("^")
    return segment_repeats(structure_name(code, trigger), segment, _VERSION) is True
