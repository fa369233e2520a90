"""From step models to compiled steps: which builder makes which kind, and where each may stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.config.models.steps import StepModel
from engine.pipeline.run import Run
from engine.pipeline.steps import blocks, fields, lookups, outputs, segments
from engine.pipeline.steps.base import Block, Step
from engine.pipeline.steps.builder import Builder, loc_of
from engine.pipeline.steps.deidentify import build_deidentify
from engine.pipeline.steps.validate import build_validate

Act = Callable[[Run], None]

_ACTS: dict[str, Callable[[Builder, StepModel], Act | None]] = {
    "set": fields.build_set,
    "copy": fields.build_copy,
    "move": fields.build_copy,
    "clear": fields.build_clear,
    "nullify": fields.build_nullify,
    "join": fields.build_join,
    "let": fields.build_let,
    "lookup": lookups.build_lookup,
    "keep_segments": segments.build_keep_segments,
    "drop_segments": segments.build_drop_segments,
    "add_segment": segments.build_add_segment,
    "sort": segments.build_sort,
    "renumber": segments.build_renumber,
    "filter": outputs.build_filter,
    "charset": outputs.build_charset,
    "template": outputs.build_template,
    "deidentify": build_deidentify,
}
_BLOCKS: dict[
    str, Callable[[Builder, StepModel, str, blocks.CompileList], Block | None]
] = {
    "each": blocks.build_each,
    "choose": blocks.build_choose,
    "apply": blocks.build_apply,
    "split": blocks.build_split,
    "emit": blocks.build_emit,
    "python": lambda builder, model, number, compile_list: outputs.build_python(builder, model),
    "validate": lambda builder, model, number, compile_list: build_validate(builder, model),
}  # fmt: skip
#: steps about the whole message: inside a loop they would pull the ground from under it
_NOT_IN_LOOPS = frozenset(
    {"split", "emit", "template", "python", "validate", "deidentify", "charset"}
)
#: steps that make several outputs belong to routes
_ONLY_IN_ROUTES = frozenset({"split", "emit"})


def compile_steps(
    builder: Builder, models: Sequence[StepModel], prefix: str = ""
) -> tuple[Step, ...]:
    """Return the compiled steps of one list; what is wrong is in the builder's findings."""
    steps = [
        compile_step(builder, model, f"{prefix}{number}") for number, model in enumerate(models, 1)
    ]
    return tuple(step for step in steps if step is not None)


def compile_step(builder: Builder, model: StepModel, number: str) -> Step | None:
    """Return one compiled step, None where it is wrong."""
    when = builder.condition(model.when, (*model.loc, "when"))
    if not _may_stand_here(builder, model):
        return None
    act: Act | None = None
    block: Block | None = None
    if model.kind in _ACTS:
        act = _ACTS[model.kind](builder, model)
    else:
        block = _BLOCKS[model.kind](builder, model, number, compile_steps)
    if act is None and block is None:
        return None
    return Step(model.kind, number, model.loc, when, act, block, about=_about(model))


def _may_stand_here(builder: Builder, model: StepModel) -> bool:
    if builder.is_in_loop and model.kind in _NOT_IN_LOOPS:
        builder.find(
            loc_of(model), f"{model.kind} is about the whole message and cannot stand inside each",
            "put it behind the loop", at_key=True, code="LNG-010"
        )  # fmt: skip
        return False
    if builder.place != "route" and model.kind in _ONLY_IN_ROUTES:
        builder.find(
            loc_of(model),
            f"{model.kind} makes several messages, which {builder.place} steps cannot",
            "put it into the route's steps", at_key=True, code="LNG-010"
        )  # fmt: skip
        return False
    return True


def _about(model: StepModel) -> str:
    names = {"apply": "name", "deidentify": "profile", "python": "call", "template": "file"}
    return str(getattr(model.args, names[model.kind])) if model.kind in names else ""
