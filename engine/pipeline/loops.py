"""The elements that `each` runs over: segments, repetitions or groups, as they are at its start."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.hl7.path import FIRST, Path, parse_path
from engine.hl7.segment import Segment
from engine.pipeline.groups import whole_groups
from engine.pipeline.run import Run
from engine.pipeline.scope import Loop, Scope, choose_segments


class Element(int):
    """The number of an element, from 1, with the scope that makes it the one at hand."""

    scope: Scope


def scopes_of_segments(run: Run, path: Path) -> list[Scope]:
    """Return one scope per segment, or per repetition of the field *path* names."""
    named = _reachable(run, path.segment)
    segments = list(
        named if path.segment_selector == FIRST and path.field is None
        else choose_segments(named, path)
    )  # fmt: skip
    if not segments:
        return []
    loop = Loop(_around(run), segments[0])
    if path.field is None:
        return [Scope(path.segment, [segment], loop, run.scope) for segment in segments]
    return [
        Scope(
            path.segment, [segment], loop, run.scope, field=path.field, repetition=number + 1
        )
        for segment in segments
        for number in range(segment.repetition_count(path.field))
    ]  # fmt: skip


def scopes_of_groups(run: Run, name: str, lead: Iterable[str]) -> list[Scope]:
    """Return one scope per group that *name* begins."""
    around = _around(run)
    groups = whole_groups(run.message, around, name, list(lead))
    if not groups:
        return []
    loop = Loop(around, groups[0][0])
    return [Scope(name, group, loop, run.scope) for group in groups]


def elements_of(run: Run, target: str, lead: Sequence[str]) -> list[Element]:
    """Return the elements of a template's ``each('OBX')`` or ``each('OBR', lead=['ORC'])``."""
    path = parse_path(target)
    if path.field is None and (lead or path.segment_selector == FIRST):
        scopes = (
            scopes_of_groups(run, path.segment, lead) if lead else scopes_of_segments(run, path)
        )
    else:
        scopes = scopes_of_segments(run, path)
    elements = []
    for number, scope in enumerate(scopes, 1):
        element = Element(number)
        element.scope = scope
        elements.append(element)
    return elements


def _around(run: Run) -> list[Segment]:
    return list(run.segments())


def _reachable(run: Run, name: str) -> list[Segment]:
    return run.segments(name) if run.scope is None else run.scope.find_segments(name)
