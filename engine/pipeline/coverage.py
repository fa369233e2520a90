"""
What the channel tests of a site never touched: routes, steps, branches, rows of tables.

Rules of this file: a route counts when a test queued it, a step when it ran, a row when a look-up
found it. Branches are the two ways of a `when` (met, not met) and of a look-up (found, not found),
and the alternatives of a `choose`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from engine.config.models.site import Site
from engine.config.models.steps import ChooseArgs, EachArgs, EmitArgs, LookupArgs, StepModel
from engine.model.finding import Loc
from engine.model.states import RouteOutcome
from engine.pipeline.channel_test import TestResult

KINDS = ("routes", "steps", "branches", "rows")

#: what tells the parts of one kind apart: the place, and which way there
_Key = tuple[Loc, str]


@dataclass(frozen=True, slots=True)
class Untouched:
    """One thing that no test touched."""

    #: one of KINDS
    kind: str
    what: str
    loc: Loc
    #: which way of a branch: met, not met, hit, miss
    way: str = ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of a site its tests touch."""

    #: kind -> (touched, all)
    counts: dict[str, tuple[int, int]]
    untouched: tuple[Untouched, ...]


def measure_coverage(site: Site, results: Iterable[TestResult]) -> Coverage:
    """Return what *results*, of all tests that were run, touched of *site*."""
    touched: dict[str, set[_Key]] = {kind: set() for kind in KINDS}
    for result in results:
        _add(result, touched)
    every = list(_all_parts(site))
    missing = tuple(part for part in every if (part.loc, part.way) not in touched[part.kind])
    counts = {}
    for kind in KINDS:
        whole = sum(part.kind == kind for part in every)
        counts[kind] = (whole - sum(part.kind == kind for part in missing), whole)
    return Coverage(counts, missing)


def _add(result: TestResult, touched: dict[str, set[_Key]]) -> None:
    recorder = result.recorder
    for route in result.routes:
        if route.outcome is RouteOutcome.QUEUED:
            touched["routes"].add((("routes", route.route), ""))
    ways = touched["branches"]
    ways |= {(("routes", name, "when"), "met") for name in recorder.routes_begun}
    ways |= {(("routes", name, "when"), "not met") for name in recorder.route_decisions}
    for record in recorder.records:
        is_run = record.outcome != "skipped"
        if is_run:
            touched["steps"].add((record.loc, ""))
        ways.add(((*record.loc, "when"), "met" if is_run else "not met"))
        ways |= {((*record.loc, "lookup"), way) for way in record.lookups}
        if record.branch:
            ways.add(((*record.loc, "choose", record.branch - 1), ""))
    for table, row in recorder.rows_used:
        touched["rows"].add((("tables", table, row - 1), ""))


def _all_parts(site: Site) -> Iterator[Untouched]:
    for name, inbound in site.inbound.items():
        yield from _parts_of(inbound.steps, f"inbound {name}")
    for name, route in site.routes.items():
        yield Untouched("routes", f"route {name}", ("routes", name))
        if route.when is not None:
            yield from _ways_of_when(f"route {name}", ("routes", name, "when"))
        yield from _parts_of(route.steps, f"route {name}")
        if route.response is not None:
            yield from _parts_of(route.response.steps, f"response of route {name}")
    for name, outbound in site.outbound.items():
        yield from _parts_of(outbound.steps, f"outbound {name}")
    for name, steps in site.transforms.items():
        yield from _parts_of(steps, f"transforms/{name}")
    for name, table in site.tables.items():
        for row, values in enumerate(table.rows):
            yield Untouched("rows", f"row {values[0]} of the table {name}", ("tables", name, row))


def _parts_of(steps: Sequence[StepModel], owner: str, prefix: str = "") -> Iterator[Untouched]:
    for at, step in enumerate(steps, 1):
        number = f"{prefix}{at}"
        yield Untouched("steps", f"step {number} ({step.kind}) of {owner}", step.loc)
        if step.when is not None:
            yield from _ways_of_when(f"step {number} of {owner}", (*step.loc, "when"))
        args = step.args
        if isinstance(args, EachArgs):
            yield from _parts_of(args.steps, owner, f"{number}.")
        elif isinstance(args, ChooseArgs):
            for branch, alternative in enumerate(args.branches, 1):
                what = f"alternative {branch} of step {number} of {owner}"
                yield Untouched("branches", what, (*step.loc, "choose", branch - 1))
                inner = f"{number}.{branch}."
                yield from _parts_of(alternative.chosen_steps, owner, inner)
        elif isinstance(args, LookupArgs):
            for way, told in (("hit", "found"), ("miss", "not found")):
                what = f"step {number} of {owner}: the value is {told} in the table {args.table}"
                yield Untouched("branches", what, (*step.loc, "lookup"), way)
        elif isinstance(args, EmitArgs):
            for output, part in enumerate(args.outputs, 1):
                yield from _parts_of(part.steps, owner, f"{number}.{output}.")


def _ways_of_when(owner: str, loc: Loc) -> Iterator[Untouched]:
    for way in ("met", "not met"):
        yield Untouched("branches", f"{owner}: its when is {way}", loc, way)
