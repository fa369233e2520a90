"""
What holds for each channel, defaults included, in the words of the YAML.

Rules of this file: the result can be pasted back; steps are counted, not repeated.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from engine.config.models.inbound import Duplicates, InboundAck
from engine.config.models.outbound import Outbound, RetryRule
from engine.config.models.site import Site
from engine.config.models.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_rate,
    parse_size,
)
from engine.model.counting import count_of

_LEFT_OUT = frozenset({"about", "renamed_from"})
_UNSET_WORDS = {"expire_after": "never", "retry": "unlimited"}


class Effective(dict[str, Any]):
    """A mapping of effective values that remembers which of them are defaults."""

    def __init__(self, values: Mapping[str, Any], defaults: frozenset[str]) -> None:
        super().__init__(values)
        self.defaults = defaults


def effective_site(site: Site) -> dict[str, Any]:
    """Return every setting of the site and of each channel as it holds."""
    return {
        "medbus.yaml": _model(site.settings),
        "inbound": {name: _model(inbound) for name, inbound in site.inbound.items()},
        "outbound": {name: _outbound(outbound) for name, outbound in site.outbound.items()},
        "routes": {name: _model(route) for name, route in site.routes.items()},
    }


def _outbound(outbound: Outbound) -> Effective:
    values = _model(outbound)
    rules = {verdict: outbound.rule_for(verdict) for verdict in ("AE", "AR")}
    shown = {**rules, **outbound.on_ack}
    values["on_ack"] = Effective(
        {name: _model(rule) for name, rule in shown.items()},
        frozenset(set(shown) - set(outbound.on_ack)),
    )
    return values


def _model(model: BaseModel) -> Effective:
    values: dict[str, Any] = {}
    defaults: set[str] = set()
    for attribute, field in type(model).model_fields.items():
        key = field.alias or attribute
        value = getattr(model, attribute)
        if key in _LEFT_OUT or (value is None and key not in _UNSET_WORDS):
            continue
        values[key] = _shown(key, value, _unit_of(field))
        if attribute not in model.model_fields_set:
            defaults.add(key)
    if isinstance(model, Duplicates) and model.window == 0:
        values["window"] = "off"
    if isinstance(model, InboundAck) and model.mode != "delivered_by":
        values = {"mode": model.mode}
    if isinstance(model, RetryRule) and model.for_ is None:
        values.pop("for", None)
    return Effective(values, frozenset(defaults))


_UNITS: dict[Any, str] = {
    parse_duration: "duration",
    parse_size: "size",
    parse_rate: "rate",
}


def _unit_of(field: FieldInfo) -> str:
    """Return duration, size or rate for a field that has a unit, else an empty text."""
    waiting: list[Any] = [*field.metadata, field.annotation]
    while waiting:
        part = waiting.pop()
        if isinstance(part, BeforeValidator) and part.func in _UNITS:
            return _UNITS[part.func]
        waiting.extend(typing.get_args(part))
    return ""


def _shown(key: str, value: Any, unit: str) -> Any:
    if value is None:
        return _UNSET_WORDS[key]
    if isinstance(value, BaseModel):
        return _model(value)
    if key == "steps":
        return count_of(len(value), "step")
    if isinstance(value, Mapping):
        return {name: _shown(name, item, unit) for name, item in value.items()}
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        if not value and key == "processing_id":
            return "any"
        return [_shown(key, item, unit) for item in value]
    return _scalar(value, unit)


def _scalar(value: Any, unit: str) -> Any:
    if isinstance(value, bool):
        return value
    if unit == "duration" and isinstance(value, int | float):
        return format_duration(value)
    if unit == "size" and isinstance(value, int):
        return format_size(value)
    if unit == "rate":
        return f"{value:g}/s"
    if isinstance(value, int | float):
        return int(value) if value == int(value) else value
    return str(value)


def format_effective(values: Mapping[str, Any]) -> str:
    """Return the effective settings as YAML, with a comment behind what is a default."""
    return "\n".join(_lines(values, 0))


def _lines(values: Mapping[str, Any], depth: int) -> Iterator[str]:
    defaults = values.defaults if isinstance(values, Effective) else frozenset[str]()
    indent = "  " * depth
    for key, value in values.items():
        remark = "    # default" if key in defaults else ""
        if isinstance(value, Mapping) and value:
            yield f"{indent}{_quoted(key)}:{remark}"
            yield from _lines(value, depth + 1)
        elif isinstance(value, Mapping | list):
            inner = ", ".join(_quoted(str(item)) for item in value)
            braces = "{}" if isinstance(value, Mapping) else f"[{inner}]"
            yield f"{indent}{_quoted(key)}: {braces}{remark}"
        else:
            yield f"{indent}{_quoted(key)}: {_scalar_text(value)}{remark}"


def _scalar_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return _quoted(str(value))


def _quoted(text: str) -> str:
    """Return the text as a YAML scalar, in quotes where it needs them."""
    is_plain = text and text[0].isalnum() and not set(text) & set(":#{}[],&*!|>'\"%@`")
    if is_plain and text == text.strip():
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
