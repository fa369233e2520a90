"""JSON Schema of the site's files, for editors: made from the models, nothing written twice."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from engine.config.models.profiles import Profile
from engine.config.models.route import ChannelFile, TransformFile
from engine.config.models.settings import Environment, SiteSettings
from engine.config.models.steps import STEP_FORMS
from engine.config.models.tests import TestFile
from engine.config.models.units import format_duration, format_size

#: kind of file -> its model and which files it is about
FILE_KINDS: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "site": (SiteSettings, ("medbus.yaml",)),
    "environment": (Environment, ("environments/*.yaml",)),
    "channels": (ChannelFile, ("channels/*.yaml", "!channels/*_test.yaml")),
    "tests": (TestFile, ("channels/*_test.yaml",)),
    "transforms": (TransformFile, ("transforms/*.yaml",)),
    "profiles": (Profile, ("transforms/deid/*.yaml",)),
}


def build_schema(kind: str | None = None) -> dict[str, Any]:
    """
    Return the JSON Schema of one kind of file, or one that fits all of them.

    Args:
        kind: a key of `FILE_KINDS`, or None for all.
    """
    models = [model for model, _ in FILE_KINDS.values()] + list(STEP_FORMS.values())
    refs, whole = models_json_schema([(model, "validation") for model in models])
    defs: dict[str, Any] = whole["$defs"]
    forms = [refs[(form, "validation")] for form in STEP_FORMS.values()]
    defs["Step"] = {"description": "One step of the language.", "oneOf": forms}
    kinds = {name: refs[(model, "validation")] for name, (model, _) in FILE_KINDS.items()}
    for definition in defs.values():
        _polish(definition)
    _loosen(defs)
    top = kinds[kind] if kind else {"anyOf": list(kinds.values())}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"medbus: {FILE_KINDS[kind][1][0] if kind else 'the files of a site'}",
        **top,
        "$defs": _reachable(defs, top),
    }


def _polish(definition: dict[str, Any]) -> None:
    """Write defaults as the YAML would, and let notes (x-…) pass, as the loader does."""
    for form in (definition, *definition.get("anyOf", ())):
        properties = form.get("properties")
        if properties is None:
            continue
        if form.get("additionalProperties") is False:
            form["patternProperties"] = {"^x-": {"description": "A note; medbus ignores it."}}
        for value in properties.values():
            _polish_default(value)


def _polish_default(value: dict[str, Any]) -> None:
    default = value.get("default")
    kinds = {value.get("format")} | {part.get("format") for part in value.get("anyOf", ())}
    if default is None:
        value.pop("default", None)
    elif isinstance(default, (int, float)) and "duration" in kinds:
        value["default"] = format_duration(default) if default else "off"
    elif isinstance(default, int) and "size" in kinds:
        value["default"] = format_size(default)
    elif isinstance(default, (dict, list)):
        # The parts of a default are explained where they stand.
        del value["default"]


def _loosen(part: Any) -> None:
    """Let texts stand without quotes: the loader keeps 010 and true as text, editors do not."""
    if isinstance(part, list):
        for item in part:
            _loosen(item)
    elif isinstance(part, dict):
        if part.get("type") == "string" and not {"enum", "const", "format"} & set(part):
            part["type"] = ["string", "number", "boolean"]
        for value in part.values():
            _loosen(value)


def _reachable(defs: dict[str, Any], top: dict[str, Any]) -> dict[str, Any]:
    """Return only the definitions that *top* needs."""
    found: dict[str, Any] = {}
    waiting: list[Any] = [top]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            ref = part.get("$ref")
            if isinstance(ref, str) and (name := ref.rpartition("/")[2]) not in found:
                found[name] = defs[name]
                waiting.append(defs[name])
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)
    return dict(sorted(found.items()))
