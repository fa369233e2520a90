"""Turn what pydantic says of a wrong value into findings an analyst can act on."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.config.models.base import Model
from engine.config.models.steps import LATER_STEPS, STEP_FORMS, StepModel
from engine.model.finding import Finding, Loc

_SHAPES = {
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "dict_type": "a mapping (key: value)",
    "mapping_type": "a mapping (key: value)",
    "list_type": "a list",
    "tuple_type": "a list",
    "string_type": "a text",
}
_LIMITS = {
    "greater_than": ("more than", "gt"),
    "greater_than_equal": ("at least", "ge"),
    "less_than": ("less than", "lt"),
    "less_than_equal": ("at most", "le"),
}


def explain_errors(
    error: ValidationError, *, prefix: Loc, model: type[BaseModel], value: Any
) -> list[Finding]:
    """
    Return one finding per error.

    Args:
        prefix: where the model's value stands in the configuration.
        model: the model that refused the value, to know the keys it would have taken.
        value: what was given to it.
    """
    found = [
        _explain(details, prefix, model, value)
        for details in error.errors(include_url=False)
        # pydantic counts wrong items as absent; the items have findings of their own.
        if details["type"] != "too_short" or not details["input"]
    ]
    meant = {
        (*finding.loc[:-1], finding.fix.removeprefix("did you mean ").removesuffix("?"))
        for finding in found
        if finding.code == "CFG-002"
    }
    # A key that was misspelt is not missing as well.
    return [finding for finding in found if finding.code != "CFG-008" or finding.loc not in meant]


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``did you mean X?`` for the closest of *known*, or an empty text."""
    names = sorted(known)
    # Two letters that changed places are the likelier mistake: stpes is steps, not types.
    twisted = [name for name in names if sorted(name) == sorted(word)]
    close = twisted or difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


def _explain(details: ErrorDetails, prefix: Loc, model: type[BaseModel], value: Any) -> Finding:
    kind = details["type"]
    loc: Loc = (*prefix, *details["loc"])
    ctx = details.get("ctx", {})
    if kind.startswith("CFG-"):
        return _own(kind, ctx, loc)
    if kind == "extra_forbidden":
        return _unknown_key(loc, len(prefix), model, value)
    if kind == "missing":
        return Finding("CFG-008", f"{loc[-1]} is missing", f"write {loc[-1]}: …", loc=loc)
    if kind in _SHAPES:
        if "copy" in loc[-3:] or "move" in loc[-3:]:
            return Finding("CFG-009", "two paths are needed", "write {from: …, to: …}", loc=loc)
        return Finding("CFG-009", f"this should be {_SHAPES[kind]}", _shape_fix(kind), loc=loc)
    if kind in _LIMITS:
        word, name = _LIMITS[kind]
        return Finding("CFG-010", f"the value must be {word} {ctx[name]:g}", loc=loc)
    if kind == "too_short":
        return Finding("CFG-005", "the list is empty", "write at least one", loc=loc)
    if kind == "literal_error":
        return _not_listed(str(details["input"]), str(ctx["expected"]), loc)
    if kind == "string_pattern_mismatch":
        what = f"{details['input']!r} does not have the right form"
        return Finding("CFG-010", what, f"it must match {ctx['pattern']}", loc=loc)
    return Finding("CFG-010", details["msg"], loc=loc)


def _own(code: str, ctx: Mapping[str, Any], loc: Loc) -> Finding:
    fix = str(ctx.get("fix", ""))
    key = ctx.get("key")
    if key is None:
        return Finding(code, str(ctx["what"]), fix, loc=loc)
    if ctx.get("among") == "steps":
        fix = nearest(key, STEP_FORMS) or "steps are " + ", ".join(STEP_FORMS)
    return Finding(code, str(ctx["what"]), fix, loc=(*loc, key), at_key=True)


def _shape_fix(kind: str) -> str:
    return {"list_type": "write [a, b] or lines that begin with a dash", "tuple_type":
            "write [a, b] or lines that begin with a dash"}.get(kind, "")  # fmt: skip


def _not_listed(given: str, expected: str, loc: Loc) -> Finding:
    words = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
    listed = ", ".join(words)
    hint = nearest(given, words)
    fix = f"{hint} It is one of {listed}" if hint else f"write one of {listed}"
    return Finding("CFG-010", f"{given!r} is not known here", fix, loc=loc)


def _unknown_key(loc: Loc, start: int, model: type[BaseModel], value: Any) -> Finding:
    key = str(loc[-1])
    holder = _find_model(model, loc[start:-1], value)
    known = known_keys(holder) if holder else set[str]()
    later = holder.later if holder and issubclass(holder, Model) else frozenset[str]()
    if key in later or key in LATER_STEPS:
        return Finding("CFG-019", f"this version does not know {key} yet", loc=loc, at_key=True)
    hint = nearest(key, known)
    above = _empty_above(key, loc[start:-1], value)
    if above and not hint:
        hint = f"if it belongs to {above}, indent it more than {above}"
    elif not hint and known:
        hint = "known here: " + ", ".join(sorted(known))
    return Finding("CFG-002", f"unknown key {key}", hint, loc=loc, at_key=True)


def _empty_above(key: str, loc: Loc, value: Any) -> str:
    """Return the last key before *key*, in the same mapping, that has no value."""
    for part in loc:
        value = _step_into(value, part)
    if not isinstance(value, Mapping):
        return ""
    keys = list(value)
    before = keys[: keys.index(key)] if key in keys else []
    return next((str(other) for other in reversed(before) if value[other] in ("", None)), "")


def known_keys(model: type[BaseModel]) -> set[str]:
    """Return the keys a model takes, as they are written in YAML."""
    return {field.alias or name for name, field in model.model_fields.items()}


def _find_model(model: type[BaseModel], loc: Loc, value: Any) -> type[BaseModel] | None:
    """Return the model that holds the place *loc* within *model*."""
    annotation: Any = model
    for part in loc:
        holder = _unwrap(annotation, value)
        if isinstance(holder, type) and issubclass(holder, BaseModel):
            field = _find_field(holder, str(part))
            annotation = field.annotation if field else None
        else:
            items = typing.get_args(holder)
            annotation = (items[-1] if isinstance(part, str) else items[0]) if items else None
        value = _step_into(value, part)
    found = _unwrap(annotation, value)
    return found if isinstance(found, type) and issubclass(found, BaseModel) else None


def _find_field(model: type[BaseModel], key: str) -> Any:
    for name, field in model.model_fields.items():
        if key in (field.alias, name):
            return field
    return None


def _step_into(value: Any, part: str | int) -> Any:
    try:
        return value[part]
    except (KeyError, IndexError, TypeError):
        return value


def _form_of(value: Any) -> type[BaseModel] | None:
    if not isinstance(value, Mapping):
        return None
    return next((STEP_FORMS[key] for key in value if key in STEP_FORMS), None)


def _unwrap(annotation: Any, value: Any) -> Any:
    """Return an annotation without Annotated and None; for a step, the form of its kind."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _unwrap(typing.get_args(annotation)[0], value)
    if origin in (typing.Union, types.UnionType):
        options = [option for option in typing.get_args(annotation) if option is not type(None)]
        return _unwrap(options[0], value)
    return _form_of(value) if annotation is StepModel else annotation
