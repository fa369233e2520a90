"""The part of JSON Schema that the site's schemas use, as an editor would apply it."""

from __future__ import annotations

import re
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


def errors_of(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str = "") -> list[str]:
    """Return what is wrong with *value* under *schema*; an empty list when it fits."""
    if "$ref" in schema:
        target = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return errors_of(value, target, root, at)
    return [
        *_choice_errors(value, schema, root, at),
        *_value_errors(value, schema, at),
        *_inner_errors(value, schema, root, at),
    ]


def _choice_errors(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    errors: list[str] = []
    for word, wanted in (("anyOf", None), ("oneOf", 1)):
        if word in schema:
            fitting = [part for part in schema[word] if not errors_of(value, part, root, at)]
            if not fitting or (wanted is not None and len(fitting) != wanted):
                errors.append(f"{at}: fits {len(fitting)} of {word}")
    return errors


def _value_errors(value: Any, schema: dict[str, Any], at: str) -> list[str]:
    errors: list[str] = []
    if "enum" in schema and value not in schema["enum"]:
        errors.append(f"{at}: {value!r} is not in {schema['enum']}")
    if "const" in schema and value != schema["const"]:
        errors.append(f"{at}: {value!r} is not {schema['const']!r}")
    kinds = _kinds(schema)
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        errors.append(f"{at}: {value!r} is not {kinds}")
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        errors.append(f"{at}: {value!r} does not match")
    return errors


def _inner_errors(value: Any, schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    errors: list[str] = []
    if isinstance(value, dict) and "object" in _kinds(schema):
        errors += _object_errors(value, schema, root, at)
    if isinstance(value, list):
        for i, item in enumerate(value):
            errors += errors_of(item, schema.get("items", {}), root, f"{at}/{i}")
    return errors


def _kinds(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type", [])
    return [kinds] if isinstance(kinds, str) else kinds


def _is_a(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    return isinstance(value, _TYPES[kind])


def _object_errors(
    value: dict[str, Any], schema: dict[str, Any], root: dict[str, Any], at: str
) -> list[str]:
    errors = [f"{at}: {key} is missing" for key in schema.get("required", []) if key not in value]
    properties = schema.get("properties", {})
    patterns = schema.get("patternProperties", {})
    others = schema.get("additionalProperties", True)
    for key, item in value.items():
        place = f"{at}/{key}"
        if key in properties:
            errors += errors_of(item, properties[key], root, place)
        elif any(re.search(pattern, key) for pattern in patterns):
            continue
        elif others is False:
            errors.append(f"{place}: unknown key")
        elif isinstance(others, dict):
            errors += errors_of(item, others, root, place)
    return errors
