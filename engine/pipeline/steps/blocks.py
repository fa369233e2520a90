"""Steps that hold steps, or make several outputs: each, choose, apply, split, emit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from engine.config.models.steps import StepModel
from engine.hl7.path import Path, parse_path
from engine.pipeline.expressions import Expression
from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import Kind
from engine.pipeline.groups import whole_groups
from engine.pipeline.known import nearest
from engine.pipeline.loops import scopes_of_groups, scopes_of_segments
from engine.pipeline.run import Run
from engine.pipeline.scope import Scope
from engine.pipeline.steps.base import Block, Step, Steps, run_steps
from engine.pipeline.steps.builder import Builder, loc_of
from engine.pipeline.template_checks import parse_target
from engine.pipeline.templates import Template

if TYPE_CHECKING:
    from engine.pipeline.trace import Recorder

#: compiles a list of steps; the text is put in front of their numbers
CompileList = Callable[[Builder, Sequence[StepModel], str], tuple[Step, ...]]
_PATH = parse_path("MSH-10")
#: parts of a split that a trace tells one by one
_MOST_TOLD = 50


def build_each(
    builder: Builder, model: StepModel, number: str, compile_list: CompileList
) -> Block | None:
    """Return the loop over segments, repetitions or groups."""
    args = model.args
    target: Path | None = None
    if args.path is not None:
        try:
            target = parse_target(args.path)
        except LanguageError as error:
            builder.find(loc_of(model), error.what, error.fix, code=error.code)
    group = builder.segment(args.group, loc_of(model, "group")) if args.group else None
    lead = [builder.segment(name, loc_of(model, "lead")) for name in args.lead]
    with builder.in_loop():
        where = builder.condition(args.where, (*model.loc, "where"))
        steps = compile_list(builder, args.steps, f"{number}.")
    if target is None and group is None:
        return None
    leads = [name for name in lead if name is not None]

    def scopes_of(run: Run) -> list[Scope]:
        if target is not None:
            return scopes_of_segments(run, target)
        assert group is not None
        return scopes_of_groups(run, group, leads)

    return _Each(scopes_of, where, steps)


class _Each:
    """A loop over a snapshot of its elements."""

    def __init__(
        self,
        scopes_of: Callable[[Run], list[Scope]],
        where: Expression | None,
        steps: tuple[Step, ...],
    ) -> None:
        self._scopes_of = scopes_of
        self._where = where
        self._steps = steps

    def __call__(self, run: Run, recorder: Recorder | None) -> Steps:
        outer = run.scope
        try:
            for number, scope in enumerate(self._scopes_of(run), 1):
                scope.number = number
                if not scope.segments:
                    continue
                run.scope = scope
                if self._where is not None and not self._where.value(run):
                    continue
                left = yield from run_steps(self._steps, run, recorder)
                if not left:
                    return []
        finally:
            run.scope = outer
        if outer is None:
            run.arrange()
        return [run]


def build_choose(
    builder: Builder, model: StepModel, number: str, compile_list: CompileList
) -> Block | None:
    """Return the alternatives."""
    branches: list[tuple[Expression | None, tuple[Step, ...]]] = []
    for at, branch in enumerate(model.args.branches):
        condition = builder.condition(branch.when, loc_of(model, at, "when"))
        steps = compile_list(builder, branch.chosen_steps, f"{number}.{at + 1}.")
        branches.append((condition, steps))

    def choose(run: Run, recorder: Recorder | None) -> Steps:
        for at, (condition, steps) in enumerate(branches, 1):
            if condition is None or condition.value(run):
                if recorder is not None:
                    recorder.note_branch(at)
                return (yield from run_steps(steps, run, recorder))
        return [run]

    return choose


def build_apply(
    builder: Builder, model: StepModel, number: str, compile_list: CompileList
) -> Block | None:
    """Return a reusable list of steps, with its variables set around it."""
    name = model.args.name
    transforms = builder.shared.site.transforms
    if name not in transforms:
        fix = nearest(name, transforms) or f"put it into transforms/{name}.yaml"
        builder.find(loc_of(model), f"there is no transform {name}", fix, code="LNG-005")
        return None
    builder.shared.note_use("transforms", name)
    if name in builder.applying:
        chain = " -> ".join([*builder.applying, name])
        builder.find(loc_of(model), f"the transform applies itself: {chain}", code="LNG-005")
        return None
    values: list[tuple[str, Template]] = []
    before = dict(builder.variables)
    for key, text in model.args.with_.items():
        loc = loc_of(model, "with", key)
        template = builder.template(text, loc)
        if builder.variable(key, loc) and template is not None:
            values.append((key, template))
    builder.variables |= {key: template.kind for key, template in values}
    builder.applying.append(name)
    steps = compile_list(builder, transforms[name], f"{number}.")
    builder.applying.pop()
    for key, _ in values:
        if key in before:
            builder.variables[key] = before[key]
        else:
            builder.variables.pop(key, None)

    def apply(run: Run, recorder: Recorder | None) -> Steps:
        if not values:
            return (yield from run_steps(steps, run, recorder))
        kept = {key: run.variables[key] for key, _ in values if key in run.variables}
        run.variables |= {key: template.value(run) for key, template in values}
        left = yield from run_steps(steps, run, recorder)
        for one in left:
            for key, _ in values:
                one.variables.pop(key, None)
            one.variables |= kept
        return left

    return apply


def build_split(
    builder: Builder, model: StepModel, number: str, compile_list: CompileList
) -> Block | None:
    """Return the step that makes one message per group."""
    args = model.args
    group = builder.segment(args.group, loc_of(model, "group"))
    lead = [builder.segment(name, loc_of(model, "lead")) for name in args.lead]
    header = {builder.segment(name, loc_of(model, "header")) for name in args.header} | {"MSH"}
    builder.variables["part"] = Kind.NUMBER
    if group is None:
        return None
    leads = [name for name in lead if name is not None]

    def split(run: Run, recorder: Recorder | None) -> Steps:
        yield from ()
        segments = run.message.segments()
        groups = whole_groups(run.message, segments, group, leads)
        if not groups:
            if recorder is not None:
                recorder.note_log([f"there is no {group}: the message goes on as it is"])
            return [run]
        first = segments.index(groups[0][0])
        top = [segment for segment in segments[:first] if segment.name in header]
        # What the parts share can also stand behind the last group: the PV1 behind the NK1.
        behind = segments[segments.index(groups[-1][-1]) + 1 :]
        above = {segment.name for segment in segments[:first]}
        tail = [s for s in behind if s.name in header and s.name not in above]
        if len(groups) == 1 and len(top) + len(groups[0]) + len(tail) == len(segments):
            return [run]
        shared = run.message.copy()
        shared.set_segments([segment.clone(shared) for segment in top])
        parts = []
        for part, members in enumerate(groups, 1):
            message = shared.copy()
            own = [s.clone(message) for s in (*members, *tail)]
            message.set_segments([*message.segments(), *own])
            one = run.branch(message)
            one.part = part
            parts.append(one)
        number_outputs(parts)
        if recorder is not None:
            recorder.note_log(_told_parts(parts))
        return parts

    return split


def _told_parts(parts: list[Run]) -> list[str]:
    """Return for the trace what each part is: its control id and its segments."""
    lines = []
    for one in parts[:_MOST_TOLD]:
        counts = Counter(one.message.segment_names())
        names = " ".join(name if n == 1 else f"{name}×{n}" for name, n in counts.items())
        lines.append(f"part {one.part} of {len(parts)}, {one.message.get(_PATH)}: {names}")
    if len(parts) > _MOST_TOLD:
        lines.append(f"and {len(parts) - _MOST_TOLD} parts more")
    return lines


def build_emit(
    builder: Builder, model: StepModel, number: str, compile_list: CompileList
) -> Block | None:
    """Return the step that makes several outputs, each on its own copy."""
    outputs: list[tuple[str, tuple[Step, ...]]] = []
    before = dict(builder.variables)
    for at, output in enumerate(model.args.outputs):
        builder.variables = dict(before)
        outputs.append((output.name, compile_list(builder, output.steps, f"{number}.{at + 1}.")))
        if output.name in [name for name, _ in outputs[:-1]]:
            builder.find(
                loc_of(model, at, "name"), f"there are two outputs {output.name}", code="LNG-010"
            )
    builder.variables = before

    def emit(run: Run, recorder: Recorder | None) -> Steps:
        runs = number_outputs([run.branch(run.message.copy()) for _ in outputs])
        left: list[Run] = []
        for (name, steps), one in zip(outputs, runs, strict=True):
            one.output = name
            kept = yield from run_steps(steps, one, recorder)
            run.stop_reason = run.stop_reason if kept else one.stop_reason
            left += kept
        return left

    return emit


def number_outputs(runs: list[Run]) -> list[Run]:
    """Give outputs 2..n a control id of their own: MSH-10 + ``-n``."""
    for number, run in enumerate(runs[1:], 2):
        control_id = run.message.get(_PATH)
        if control_id:
            run.message.set(_PATH, f"{control_id}-{number}")
    return runs
