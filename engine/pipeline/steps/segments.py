"""Steps that change which segments there are and in what order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from engine.config.models.steps import StepModel
from engine.hl7.errors import PathError
from engine.hl7.path import Path, parse_field_path
from engine.hl7.segment import Segment
from engine.pipeline.groups import followers
from engine.pipeline.loops import scopes_of_segments
from engine.pipeline.numbers import find_number
from engine.pipeline.run import Run
from engine.pipeline.scope import NOTES, Loop, Scope, group_segments
from engine.pipeline.steps.builder import Builder, loc_of
from engine.pipeline.templates import Template
from engine.pipeline.values import Quantity, text_of

Act = Callable[[Run], None]
#: the common order segment belongs to the order detail right behind it
_COMMON_ORDER = "ORC"


def build_keep_segments(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that drops all segments but these (and MSH)."""
    names = _names(builder, model.args.segments, model) | {"MSH"}

    def act(run: Run) -> None:
        if run.scope is None:
            run.message.keep_named(names)
        else:
            run.remove([segment for segment in run.segments() if segment.name not in names])

    return act


def build_drop_segments(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that drops segments, all of a name or those that fit."""
    args = model.args
    if args.segment is None:
        names = _names(builder, args.segments, model)
        return lambda run: _drop(run, names)
    name = builder.segment(args.segment, loc_of(model, "segment"))
    with builder.in_loop():
        where = builder.condition(args.where, loc_of(model, "where"))
    if name is None:
        return None
    _refuse_header({name}, builder, model)
    if where is None:
        return lambda run: _drop(run, {name})
    path = Path(name)

    def act(run: Run) -> None:
        outer = run.scope
        gone: list[Segment] = []
        for scope in scopes_of_segments(run, path):
            run.scope = scope
            if where.value(run):
                gone += scope.segments
        run.scope = outer
        run.remove(gone)

    return act


def _drop(run: Run, names: set[str]) -> None:
    if run.scope is None:
        run.message.drop_named(names)
    else:
        run.remove([segment for segment in run.segments() if segment.name in names])


def _names(builder: Builder, written: Sequence[str], model: StepModel) -> set[str]:
    found = [builder.segment(name, loc_of(model, at)) for at, name in enumerate(written)]
    names = {name for name in found if name is not None}
    if model.kind == "drop_segments":
        _refuse_header(names, builder, model)
    return names


def _refuse_header(names: set[str], builder: Builder, model: StepModel) -> None:
    if "MSH" in names:
        builder.find(
            loc_of(model), "MSH cannot be dropped", "a message begins with it", code="LNG-010"
        )


def build_add_segment(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that puts in one segment."""
    args = model.args
    name = builder.segment(args.segment, loc_of(model, "segment"))
    after = builder.segment(args.after, loc_of(model, "after")) if args.after else None
    fields: list[tuple[Path, Template]] = []
    for key, text in args.fields.items():
        loc = loc_of(model, "fields", key)
        template = builder.template(text, loc)
        try:
            path = parse_field_path(key)
        except PathError as error:
            builder.find(loc, error.what, error.fix, code="LNG-002", at_key=True)
            continue
        if name is not None and path.segment not in ("", name):
            builder.find(
                loc,
                f"{path} is no path of {name}",
                f"write {name}-1 or 1",
                at_key=True,
                code="LNG-010",
            )
        elif template is not None:
            fields.append((path, template))
    if name is None:
        return None

    def act(run: Run) -> None:
        texts = [template.render_hl7(run) if path.component is None else template.render(run)
                 for path, template in fields]  # fmt: skip
        added = run.insert_after(_last(run, after), name)
        for (path, _), text in zip(fields, texts, strict=True):
            if path.component is None:
                added.set_hl7(path, text)
            else:
                added.set(path, text)

    return act


def _last(run: Run, name: str | None) -> Segment | None:
    if name is None:
        return None
    named = run.segments(name) if run.scope is None else run.scope.find_segments(name)
    return named[-1] if named else None


def build_sort(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that orders segments, each with what follows it."""
    args = model.args
    name = builder.segment(args.segment, loc_of(model, "segment"))
    with builder.in_loop():
        found = [
            builder.field_path(text, loc_of(model, "by", at)) for at, text in enumerate(args.by)
        ]
    paths = [path for path in found if path is not None]
    if name is None or not paths:
        return None
    falling = args.order == "descending"

    def act(run: Run) -> None:
        around = list(run.segments())
        groups = group_segments(around, name, _lead_of(around, name))
        if len(groups) < 2:
            return
        known = followers(run.message.header, name)
        for region in _regions(around, groups):
            region[-1] = _without_tail(region, known | {name})
            keys = _keys(run, around, region, paths)
            order = sorted(range(len(region)), key=lambda at: keys[at], reverse=falling)
            old = [segment for group in region for segment in group]
            run.reorder(old, [segment for at in order for segment in region[at]])

    return act


def _regions(around: Sequence[Segment], groups: list[list[Segment]]) -> list[list[list[Segment]]]:
    """Return the groups that stand directly one behind the other, together."""
    places = {id(segment): at for at, segment in enumerate(around)}
    regions = [[groups[0]]]
    for before, group in pairwise(groups):
        if places[id(before[-1])] + 1 == places[id(group[0])]:
            regions[-1].append(group)
        else:
            regions.append([group])
    return regions


def _without_tail(region: list[list[Segment]], known: frozenset[str]) -> list[Segment]:
    """
    Return the last group without what only stands behind it (the PV1 behind the last NK1).

    What the structure, or another group, says may belong to such a group stays with it.
    """
    others = {segment.name for group in region[:-1] for segment in group} | known | NOTES
    last = region[-1]
    foreign = (at for at, segment in enumerate(last) if segment.name not in others)
    return last[: next(foreign, len(last))]


def _keys(
    run: Run, around: list[Segment], region: list[list[Segment]], paths: list[Path]
) -> list[list[Any]]:
    """Return what to sort by: numbers as numbers where all of a column are, else text."""
    outer, loop = run.scope, Loop(around, region[0][0])
    rows: list[list[str]] = []
    for group in region:
        run.scope = Scope(group[0].name, group, loop, outer)
        rows.append([text_of(run.read(path)) for path in paths])
    run.scope = outer
    columns = []
    for column in zip(*rows, strict=True):
        numbers = [find_number(text) for text in column]
        if all(number is not None and not isinstance(number, Quantity) for number in numbers):
            columns.append(numbers)
        else:
            columns.append(list(column))
    return [list(row) for row in zip(*columns, strict=True)]


def _lead_of(around: Sequence[Segment], name: str) -> list[str]:
    """Return the common order segment where each segment *name* has one right before it."""
    before = [around[at - 1].name for at, s in enumerate(around) if s.name == name and at]
    return [_COMMON_ORDER] if before and set(before) == {_COMMON_ORDER} else []


def build_renumber(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that counts set ids from 1, anew in each enclosing group."""
    found = [
        builder.field_path(text, loc_of(model, at)) for at, text in enumerate(model.args.paths)
    ]
    paths = [path for path in found if path is not None]

    def act(run: Run) -> None:
        for path in paths:
            _renumber(list(run.segments()), path)

    return act


def _renumber(around: list[Segment], path: Path) -> None:
    name = path.segment
    first = next((at for at, s in enumerate(around) if s.name == name), len(around))
    outer = {s.name for s in around[:first]} - NOTES - {name, *_lead_of(around, name)}
    number = 0
    for at in range(first, len(around)):
        segment = around[at]
        if segment.name == name:
            is_new_run = name in NOTES and around[at - 1].name != name
            number = 1 if is_new_run else number + 1
            if segment.get(path) != str(number):
                segment.set(path, str(number))
        elif segment.name in outer:
            number = 0
