"""Steps that write fields: set, copy, move, clear, nullify, join, let."""

from __future__ import annotations

from collections.abc import Callable

from engine.config.models.steps import StepModel
from engine.hl7.path import Path
from engine.hl7.structure import level_of
from engine.pipeline.failures import StepFailed
from engine.pipeline.filter_specs import Kind
from engine.pipeline.run import Run
from engine.pipeline.steps.builder import Builder, loc_of
from engine.pipeline.templates import Template

Act = Callable[[Run], None]
_HEADER = frozenset({"MSH", "FHS", "BHS"})


def is_structure(path: Path) -> bool:
    """Return whether literal text for *path* is HL7: a segment, a field or a repetition."""
    declares = path.segment in _HEADER and path.field in (1, 2)
    return path.component is None and not declares


def build_set(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that reads all its values, then writes them."""
    plans: list[tuple[Path, Callable[[Run], str], bool]] = []
    for target, value in model.args.values.items():
        loc = loc_of(model, target)
        path = builder.path(target, loc, at_key=True, writes=True)
        template = builder.template(value, loc)
        if path is None or template is None:
            continue
        plans.append((path, *_rendering(path, template)))

    def act(run: Run) -> None:
        texts: list[str] = []
        for path, render, _ in plans:
            try:
                texts.append(render(run))
            except StepFailed as failure:
                failure.path = failure.path or str(path)
                raise
        for (path, _, as_hl7), text in zip(plans, texts, strict=True):
            if as_hl7:
                run.write_hl7(path, text)
            else:
                run.write_text(path, text)

    return act


def _rendering(path: Path, template: Template) -> tuple[Callable[[Run], str], bool]:
    """Return how to make the text for *path*, and whether it is HL7 then."""
    if is_structure(path):
        return template.render_hl7, True
    if template.has_raw:
        return template.render_escaped, True
    return template.render, False


def build_copy(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that copies (or moves) structure."""
    pairs: list[tuple[Path, Path]] = []
    for number, pair in enumerate(model.args.pairs):
        place = (number,) if len(model.args.pairs) > 1 else ()
        source = builder.field_path(pair.from_, loc_of(model, *place, "from"))
        target = builder.field_path(pair.to, loc_of(model, *place, "to"), writes=True)
        if source is None or target is None:
            continue
        if source.has_all:
            builder.find(
                loc_of(model, *place, "from"), f"{source} means many values",
                "write join: {from, into} for one text, or each for all of them", code="LNG-010"
            )  # fmt: skip
            continue
        pairs.append((source, target))
    moves = model.kind == "move"

    def act(run: Run) -> None:
        taken = [(source, target, run.find(source)) for source, target in pairs]
        if moves:
            for source, _ in pairs:
                run.clear(source)
        for source, target, text in taken:
            if text:
                run.put(target, text, level_of(source))
            else:
                run.clear(target)

    return act


def build_clear(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that empties fields."""
    paths = _paths(builder, model)

    def act(run: Run) -> None:
        for path in paths:
            run.clear(path)

    return act


def build_nullify(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that writes HL7 null."""
    paths = _paths(builder, model)

    def act(run: Run) -> None:
        for path in paths:
            run.write_text(path, '""')

    return act


def _paths(builder: Builder, model: StepModel) -> list[Path]:
    found = [
        builder.field_path(text, loc_of(model, number), writes=True)
        for number, text in enumerate(model.args.paths)
    ]
    return [path for path in found if path is not None]


def build_join(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that makes one text of several."""
    source = builder.field_path(model.args.from_, loc_of(model, "from"))
    target = builder.field_path(model.args.into, loc_of(model, "into"), writes=True)
    if source is None or target is None:
        return None
    separator: str = model.args.separator

    def act(run: Run) -> None:
        texts = [text for text in run.read_all(source) if text and text != '""']
        if texts:
            run.write_text(target, separator.join(texts))

    return act


def build_let(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that names values for later steps."""
    values: list[tuple[str, Template]] = []
    for name, text in model.args.values.items():
        loc = loc_of(model, name)
        template = builder.template(text, loc)
        if builder.variable(name, loc):
            # A value in the wrong has its finding; the name is there all the same.
            builder.variables[name] = Kind.ANY if template is None else template.kind
            if template is not None:
                values.append((name, template))

    def act(run: Run) -> None:
        for name, template in values:
            try:
                run.variables[name] = template.value(run)
            except StepFailed as failure:
                failure.path = failure.path or ", ".join(str(path) for path in template.paths)
                raise

    return act
