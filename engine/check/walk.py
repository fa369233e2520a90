"""Walk over every step of a site, wherever steps may stand, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.config.models.site import Site
from engine.config.models.steps import ChooseArgs, EachArgs, EmitArgs, StepModel
from engine.model.finding import Loc


@dataclass(frozen=True, slots=True)
class Visit:
    """One step where it stands."""

    step: StepModel
    loc: Loc
    #: segments and groups of the loops around it, the innermost last
    loops: tuple[EachArgs, ...] = ()


def walk_steps(
    steps: Sequence[StepModel], loc: Loc, loops: tuple[EachArgs, ...] = ()
) -> Iterator[Visit]:
    """Yield *steps* and all steps within them, in the order they would run."""
    for i, step in enumerate(steps):
        place: Loc = (*loc, i)
        yield Visit(step, place, loops)
        args = step.args
        if isinstance(args, EachArgs):
            yield from walk_steps(args.steps, (*place, "steps"), (*loops, args))
        elif isinstance(args, ChooseArgs):
            for at, branch in enumerate(args.branches):
                key = "steps" if branch.else_ is None else "else"
                yield from walk_steps(branch.chosen_steps, (*place, "choose", at, key), loops)
        elif isinstance(args, EmitArgs):
            for at, output in enumerate(args.outputs):
                yield from walk_steps(output.steps, (*place, "emit", at, "steps"), loops)


def step_lists(site: Site) -> Iterator[tuple[Loc, Sequence[StepModel]]]:
    """Yield every list of steps of the site with its place."""
    for name, inbound in site.inbound.items():
        yield ("inbound", name, "steps"), inbound.steps
    for name, route in site.routes.items():
        yield ("routes", name, "steps"), route.steps
        if route.response:
            yield ("routes", name, "response", "steps"), route.response.steps
    for name, outbound in site.outbound.items():
        yield ("outbound", name, "steps"), outbound.steps
    for name, steps in site.transforms.items():
        yield ("transforms", name, "steps"), steps


def walk_site(site: Site) -> Iterator[Visit]:
    """Yield every step of the site."""
    for loc, steps in step_lists(site):
        yield from walk_steps(steps, loc)
