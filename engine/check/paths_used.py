"""Every path that a step reads or writes, with its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.check.walk import Visit
from engine.config.models.steps import (
    ApplyArgs,
    CopyArgs,
    JoinArgs,
    LetArgs,
    LookupArgs,
    PathsArgs,
    SetArgs,
)
from engine.hl7.errors import PathError
from engine.hl7.path import Path, parse_path
from engine.model.finding import Loc
from engine.pipeline.failures import LanguageError
from engine.pipeline.paths_in_jinja import rewrite_expression, rewrite_template


@dataclass(frozen=True, slots=True)
class PathUse:
    """One path in the configuration."""

    path: Path
    loc: Loc
    offset: int = 0
    at_key: bool = False


def in_expression(text: str, loc: Loc) -> Iterator[PathUse]:
    """Yield the paths of an expression; none where it cannot be read."""
    try:
        found = rewrite_expression(text)
    except (LanguageError, PathError):
        return
    for path, offset in zip(found.paths, found.offsets, strict=True):
        yield PathUse(path, loc, offset)


def in_template(text: str, loc: Loc) -> Iterator[PathUse]:
    """Yield the paths of a template."""
    try:
        found = rewrite_template(text)
    except (LanguageError, PathError):
        return
    for path, offset in zip(found.paths, found.offsets, strict=True):
        yield PathUse(path, loc, offset)


def in_step(visit: Visit) -> Iterator[PathUse]:
    """
    Yield the paths of one step, not those of the steps within it.

    Left out are paths that mean every segment of a name anyway (renumber, sort, each).
    """
    step, loc = visit.step, (*visit.loc, visit.step.kind)
    args = step.args
    if step.when:
        yield from in_expression(step.when, (*visit.loc, "when"))
    if step.kind == "set":
        for target in args.values:
            yield from _plain(target, (*loc, target), at_key=True)
    if isinstance(args, SetArgs | LetArgs | ApplyArgs):
        values = args.with_ if isinstance(args, ApplyArgs) else args.values
        for name, value in values.items():
            yield from in_template(value, (*loc, "with", name))
    elif isinstance(args, CopyArgs):
        for i, pair in enumerate(args.pairs):
            yield from _plain(pair.from_, (*loc, i, "from"))
            yield from _plain(pair.to, (*loc, i, "to"))
    elif isinstance(args, PathsArgs) and step.kind != "renumber":
        for i, text in enumerate(args.paths):
            yield from _plain(text, (*loc, i))
    elif isinstance(args, LookupArgs):
        yield from _in_lookup(args, loc)
    elif isinstance(args, JoinArgs):
        yield from _plain(args.from_, (*loc, "from"))
        yield from _plain(args.into, (*loc, "into"))


def _in_lookup(args: LookupArgs, loc: Loc) -> Iterator[PathUse]:
    if args.path is not None:
        yield from _plain(args.path, (*loc, "path"))
    if args.on_date is not None:
        yield from _plain(args.on_date, (*loc, "on_date"))
    for column, text in args.keys.items():
        yield from _plain(text, (*loc, "keys", column))
    for target in args.set:
        yield from _plain(target, (*loc, "set", target), at_key=True)


def _plain(text: str, loc: Loc, *, at_key: bool = False) -> Iterator[PathUse]:
    try:
        path = parse_path(text)
    except PathError:
        return
    yield PathUse(path, loc, at_key=at_key)
