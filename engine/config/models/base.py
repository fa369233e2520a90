"""
What all models of the YAML share: strict keys, frozen values, short forms.

Rules of this file: a model's attributes carry the YAML's own key names; a trailing
underscore marks the ones Python reserves (``from_``, ``with_``, ``for_``, ``else_``).
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.config.models.units import refuse
from engine.model.finding import Loc


class YamlMap(dict[str, Any]):
    """A mapping as the loader read it; knows its place, so that a model can keep it."""

    loc: Loc = ()


class Model(BaseModel):
    """A mapping of the YAML: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    #: keys the design names that this version does not know yet
    later: ClassVar[frozenset[str]] = frozenset()


class Short(Model):
    """
    A mapping that may be written shorter: a value of another shape stands for one key.

    ``python: results:flag`` is short for ``python: {call: results:flag}``.
    """

    #: the key that the short form stands for
    short_key: ClassVar[str] = ""
    #: shapes (str, list, dict) that are the short form
    short_shapes: ClassVar[tuple[type, ...]] = (str,)

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if isinstance(value, cls.short_shapes):
            return {cls.short_key: value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(schema))
        short = whole.get("properties", {}).get(cls.short_key, {})
        explained = {key: whole[key] for key in ("description",) if key in whole}
        if dict in cls.short_shapes:
            return {**short, **explained}
        return {"anyOf": [short, whole], **explained}


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise refuse("CFG-005", "the value is empty", "write a value or remove the key")
    return value


ONE_OR_MANY = WithJsonSchema(
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
)
#: one text, or a list of them; always a tuple in the model
Names = Annotated[tuple[str, ...], BeforeValidator(_listed), ONE_OR_MANY]
#: a text that must say something
Text = Annotated[str, AfterValidator(_not_blank)]
#: an expression; an empty one would be a rule nobody meant
Expression = Annotated[
    str,
    AfterValidator(_not_blank),
    WithJsonSchema({"type": "string", "examples": ["PV1-2 in ['I', 'E']"]}),
]


def either(schema_of: dict[str, Any], *others: str) -> WithJsonSchema:
    """Return a schema for a value that may also be one of some words."""
    return WithJsonSchema({"anyOf": [schema_of, {"enum": list(others)}]})
