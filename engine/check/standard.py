"""
Names that no version of the standard knows: segments, fields and their parts, kinds of message; and
paths that are written where a value was meant.

Rules of this file: hints, never errors, since senders invent what they like. Names that begin with
Z are nobody's but the site's, and what stands in a sample message is meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache

from engine.check.paths_used import PathUse, in_expression, in_step
from engine.check.walk import Visit, walk_site
from engine.config.explain import nearest
from engine.config.models.site import Site
from engine.config.models.steps import ChooseArgs, EachArgs
from engine.hl7.definitions import definitions, structure_name
from engine.hl7.errors import PathError
from engine.hl7.path import Path, parse_path
from engine.model.finding import Finding, Loc, Severity

#: an early, a usual and the latest version; what none of them knows, none knows
_ASKED = ("2.3", "2.5.1", "2.8.2")
_SEGMENT_LINE = re.compile(rb"(?:^|[\r\n])([A-Z][A-Z0-9]{2})[^A-Za-z0-9\s]")
#: arguments of steps that name segments
_NAMING = ("segments", "segment", "after", "group", "lead", "header")


def check_standard(site: Site) -> Iterator[Finding]:
    """Yield a hint for every name that is in no version of the standard nor in a sample."""
    sampled = _sampled(site)
    seen: set[tuple[Loc, str]] = set()
    for use in _uses(site):
        fault = _fault(use.path, sampled)
        if fault is not None and (use.loc, fault[0]) not in seen:
            seen.add((use.loc, fault[0]))
            yield _hint("CFG-127", *fault, use)
    for name, route in site.routes.items():
        for at, kind in enumerate(route.types):
            yield from _check_type(kind, ("routes", name, "types", at))
    for visit in walk_site(site):
        if visit.step.kind == "set":
            yield from _check_values(visit)


def _hint(code: str, what: str, fix: str, use: PathUse) -> Finding:
    return Finding(
        code, what, fix, Severity.WARNING, loc=use.loc, offset=use.offset, at_key=use.at_key
    )


def _fault(path: Path, sampled: frozenset[str]) -> tuple[str, str] | None:
    name = path.segment
    most = _fields(name)
    if name.startswith("Z") or (most == 0 and name in sampled):
        return None
    if most == 0:
        near = _nearest_segment(name)
        fix = f"did you mean {near}?" if near else "a segment of your own begins with Z"
        return f"no version of HL7 has a segment {name}", fix
    if path.field is not None and path.field > most:
        return f"no version of HL7 has {name}-{path.field}; the last is {name}-{most}", ""
    return _fault_in_parts(name, path)


def _fault_in_parts(segment: str, path: Path) -> tuple[str, str] | None:
    """Return what is wrong with the component or subcomponent; what varies is left alone."""
    place = f"{segment}-{path.field}"
    inner: tuple[int, ...] = ()
    for number in (path.component, path.subcomponent):
        if path.field is None or number is None:
            return None
        most = _parts(segment, path.field, inner)
        if most and number > most:
            what = f"no version of HL7 has {place}.{number}; the last is {place}.{most}"
            return what, ""
        place, inner = f"{place}.{number}", (number,)
    return None


def _check_type(kind: str, loc: Loc) -> Iterator[Finding]:
    code = kind.partition("^")[0]
    trigger = kind.partition("^")[2]
    if code == "any" or code.startswith("Z"):
        return
    if code not in {name.partition("_")[0] for name in _structures()}:
        what = f"no version of HL7 has messages {code}"
    elif _is_trigger(code, trigger):
        return
    else:
        what = f"no version of HL7 has the trigger {trigger}"
    near = nearest(kind, {name.replace("_", "^") for name in _structures()})
    yield Finding("CFG-127", what, near, Severity.WARNING, loc=loc)


def _is_trigger(code: str, trigger: str) -> bool:
    """Return whether some version knows *trigger*; a site's own, and patterns, are taken."""
    if not re.fullmatch("[A-Y][A-Z0-9]{2}", trigger):
        return True
    asked = [definitions(version) for version in _ASKED]
    tables = [known.table("0003") for known in asked]
    return structure_name(code, trigger) in _structures() or any(
        table is not None and trigger in table.codes for table in tables
    )


def _check_values(visit: Visit) -> Iterator[Finding]:
    for target, value in visit.step.args.values.items():
        path = _path(value)
        if path is not None and path.field is not None and _fields(path.segment):
            what = f"'{value}' is written as these letters, not as what stands there"
            fix = f'write "{{{{ {value} }}}}", or copy'
            loc: Loc = (*visit.loc, "set", target)
            yield Finding("CFG-128", what, fix, Severity.WARNING, loc=loc)


def _path(text: str) -> Path | None:
    try:
        return parse_path(text)
    except PathError:
        return None


def _uses(site: Site) -> Iterator[PathUse]:
    for name, route in site.routes.items():
        if route.when:
            yield from in_expression(route.when, ("routes", name, "when"))
    for visit in walk_site(site):
        yield from in_step(visit)
        yield from _conditions(visit)
        yield from _named_segments(visit)


def _conditions(visit: Visit) -> Iterator[PathUse]:
    args = visit.step.args
    where = getattr(args, "where", None)
    if where:
        place = () if isinstance(args, EachArgs) else (visit.step.kind,)
        yield from in_expression(where, (*visit.loc, *place, "where"))
    if isinstance(args, ChooseArgs):
        for at, branch in enumerate(args.branches):
            if branch.when:
                yield from in_expression(branch.when, (*visit.loc, "choose", at, "when"))


def _named_segments(visit: Visit) -> Iterator[PathUse]:
    args, loc = visit.step.args, (*visit.loc, visit.step.kind)
    keys = (*_NAMING, "path") if isinstance(args, EachArgs) else _NAMING
    for key in keys:
        named = getattr(args, key, None)
        names: Iterable[str] = (named,) if isinstance(named, str) else named or ()
        for at, name in enumerate(names):
            path = _path(name)
            if path is not None:
                yield PathUse(path, (*loc, key, at))


def _sampled(site: Site) -> frozenset[str]:
    return frozenset(
        name.decode()
        for file, content in site.files.items()
        if file.startswith("sample_messages/")
        for name in _SEGMENT_LINE.findall(content)
    )


@lru_cache(maxsize=1024)
def _fields(segment: str) -> int:
    """Return the number of the last field in any version, 0 for an unknown segment."""
    found = [definitions(version).fields(segment) for version in _ASKED]
    counts = [len(fields) for fields in found if fields]
    is_known = any(segment in definitions(version).segment_names() for version in _ASKED)
    return max(counts, default=999 if is_known else 0)


@lru_cache(maxsize=1024)
def _parts(segment: str, field: int, inner: tuple[int, ...]) -> int:
    """Return how many parts a field, or a part of it, has at most; 0 where it has none."""
    counts = [0]
    for known in map(definitions, _ASKED):
        found = known.field(segment, field)
        for number in inner:
            parts = known.components(found.datatype) if found is not None else None
            found = parts[number - 1] if parts and number <= len(parts) else None
        counts.append(len(known.components(found.datatype) or ()) if found is not None else 0)
    return max(counts)


@lru_cache(maxsize=1)
def _structures() -> frozenset[str]:
    return frozenset(name for version in _ASKED for name in definitions(version).structure_names())


def _nearest_segment(name: str) -> str:
    known = sorted({one for version in _ASKED for one in definitions(version).segment_names()})
    twisted = [one for one in known if sorted(one) == sorted(name)]
    if twisted:
        return twisted[0]
    return nearest(name, known).removeprefix("did you mean ").removesuffix("?")
