"""Reusable lists that apply each other in a circle."""

from __future__ import annotations

from collections.abc import Iterator

from engine.check.walk import walk_steps
from engine.config.models.site import Site
from engine.model.finding import Finding, Loc


def check_cycles(site: Site) -> Iterator[Finding]:
    """Yield one finding per circle of `apply`."""
    uses: dict[str, list[tuple[str, Loc]]] = {
        name: [
            (visit.step.args.name, (*visit.loc, "apply", "name"))
            for visit in walk_steps(steps, ("transforms", name, "steps"))
            if visit.step.kind == "apply"
        ]
        for name, steps in site.transforms.items()
    }
    done: set[str] = set()
    for start in uses:
        yield from _visit(start, [], uses, done)


def _visit(
    name: str, path: list[str], uses: dict[str, list[tuple[str, Loc]]], done: set[str]
) -> Iterator[Finding]:
    if name in done:
        return
    for target, loc in uses.get(name, ()):
        way = [*path, name]
        if target in way:
            circle = [*way[way.index(target) :], target]
            what = "apply goes round in a circle: " + " -> ".join(circle)
            yield Finding("CFG-110", what, "take one of them out", loc=loc)
        else:
            yield from _visit(target, way, uses, done)
    done.add(name)
