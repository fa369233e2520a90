"""What can be wrong with a profile, found without a message."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from engine.deid import shapes
from engine.deid.catalogue import KINDS, catalogue
from engine.deid.rules import Layer, Rule
from engine.deid.templates import check_template
from engine.hl7.errors import PathError
from engine.hl7.path import FIRST, Path, parse_path
from engine.model.finding import Finding, Loc

_DATE_ACTIONS = frozenset({"date_shift", "year"})


def check_layers(layers: Sequence[Layer], words: Mapping[str, str]) -> list[Finding]:
    """Return the findings of all layers; locs are those of the profile files."""
    findings: list[Finding] = []
    for layer in layers:
        loc: Loc = ("profiles", layer.name)
        findings += _check_kinds(layer, loc)
        for text, kind in layer.observations.items():
            findings += _check_kind(kind, (*loc, "observations", text), at_key=False)
        if "MSH" in layer.drop:
            where = (*loc, "segments", "drop")
            findings.append(Finding("DEID-013", "a message without MSH is no message", loc=where))
        for path, rule in layer.fields.items():
            findings += _check_field(path, rule, (*loc, "fields", path))
        for index, path in enumerate(layer.free_text):
            findings += _check_path(path, (*loc, "free_text", index))
        if layer.allow_words and layer.allow_words not in words:
            where = (*loc, "leak_check", "allow_words")
            findings.append(Finding("DEID-014", f"there is no file {layer.allow_words}", loc=where))
    return findings


def _check_kinds(layer: Layer, loc: Loc) -> Iterator[Finding]:
    for kind, rule in layer.kinds.items():
        where = (*loc, "kinds", kind)
        wrong = _check_kind(kind, where, at_key=True)
        if wrong:
            yield from wrong
        elif rule.action == "replace":
            yield Finding("DEID-013", "replace stands under fields, not under kinds", loc=where)
        elif kind == "structure" and rule.action != "keep":
            yield Finding(
                "DEID-013",
                "structure is kept: without it no receiver can read the message",
                loc=where,
            )


def _check_kind(kind: str, loc: Loc, *, at_key: bool) -> list[Finding]:
    if kind in KINDS and kind not in ("message_time", "value"):
        return []
    near = difflib.get_close_matches(kind, KINDS, 1)
    fix = f"did you mean {near[0]}?" if near else "docs/deidentification.md lists the kinds"
    return [Finding("DEID-012", f"the catalogue has no kind {kind}", fix, loc=loc, at_key=at_key)]


def _check_path(text: str, loc: Loc, *, at_key: bool = False) -> list[Finding]:
    try:
        path = parse_path(text)
    except PathError as error:
        return [Finding("DEID-015", error.what, error.fix, loc=loc, at_key=at_key)]
    if path.field is None:
        fix = f"to leave the segment out write segments: {{drop: [{path.segment}]}}"
        return [Finding("DEID-015", f"{text} is a segment", fix, loc=loc, at_key=at_key)]
    if not _is_plain(path):
        what = "a rule holds for every segment and repetition"
        return [Finding("DEID-015", what, f"write {_plain(path)}", loc=loc, at_key=at_key)]
    return []


def _is_plain(path: Path) -> bool:
    return path.segment_selector == FIRST and path.repetition == FIRST


def _plain(path: Path) -> str:
    inner = "".join(f".{n}" for n in (path.component, path.subcomponent) if n is not None)
    return f"{path.segment}-{path.field}{inner}"


def _check_field(text: str, rule: Rule, loc: Loc) -> Iterator[Finding]:
    wrong = _check_path(text, loc, at_key=True)
    yield from wrong
    if wrong:
        return
    path = parse_path(text)
    assert path.field is not None
    if path.segment == "MSH" and path.field in (1, 2, 9, 12):
        yield Finding("DEID-013", f"{text} controls how the message is read", loc=loc, at_key=True)
    if rule.action == "replace":
        problem = check_template(rule.template)
        if problem:
            yield Finding("DEID-016", problem, loc=loc)
        return
    row = catalogue().get((path.segment, path.field))
    if row is None or path.component is not None:
        return
    dated = row.datatype in shapes.DATE or row.datatype in shapes.DATED or row.kind == "value"
    if rule.action in _DATE_ACTIONS and not dated:
        yield Finding("DEID-013", f"{text} is no date ({row.datatype})", loc=loc)
    if rule.action == "pseudonym" and row.datatype in shapes.DATE:
        yield Finding("DEID-013", f"{text} is a date: no pseudonym fits", "use year", loc=loc)
    if rule.action == "zip3" and row.datatype not in shapes.ADDRESS:
        yield Finding("DEID-013", f"{text} is no address ({row.datatype})", loc=loc)
