"""
The argument models of the steps that hold no steps: one per step of the language.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.config.models.base import Expression, Model, Names, Short, Text
from engine.config.models.units import Duration, Switch, refuse


class SetArgs(Short):
    """Literals or templates; one `set` reads everything before it writes anything."""

    short_key: ClassVar[str] = "values"
    short_shapes: ClassVar[tuple[type, ...]] = (dict, str, list)
    values: dict[str, str] = Field(
        description="PATH: value. A value with {{ }} is a template.", min_length=1
    )


class LetArgs(Short):
    """Variables for later steps."""

    short_key: ClassVar[str] = "values"
    short_shapes: ClassVar[tuple[type, ...]] = (dict, str, list)
    values: dict[str, str] = Field(description="name: value or template.", min_length=1)


class PathPair(Model):
    """One source and one target."""

    from_: Text = Field(alias="from", description="Path that is read.")
    to: Text = Field(description="Path that is written.")


def _listed_pairs(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


class CopyArgs(Short):
    """Copies or moves; whole fields keep their sub-structure."""

    short_key: ClassVar[str] = "pairs"
    short_shapes: ClassVar[tuple[type, ...]] = (dict, list, str)
    pairs: Annotated[tuple[PathPair, ...], BeforeValidator(_listed_pairs)] = Field(
        description="{from, to}, or a list of them.", min_length=1
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        several = super().__get_pydantic_json_schema__(schema, handler)
        described = several.pop("description")
        return {"anyOf": [several["items"], several], "description": described}


class PathsArgs(Short):
    """A list of paths."""

    short_key: ClassVar[str] = "paths"
    short_shapes: ClassVar[tuple[type, ...]] = (list, str, dict)
    paths: Names = Field(description="Paths.", min_length=1)


class Miss(Short):
    """What happens to a value the table does not know."""

    short_key: ClassVar[str] = "action"
    action: Literal["keep", "clear", "park", "value"] = Field(
        "park", description="keep, clear, park (default) or {value: X}."
    )
    value: str = Field("", description="The value to write instead.")

    @model_validator(mode="before")
    @classmethod
    def _with_value(cls, value: Any) -> Any:
        if isinstance(value, dict) and "value" in value and "action" not in value:
            return {"action": "value", **value}
        return value

    @model_validator(mode="after")
    def _value_goes_with_value(self) -> Miss:
        if (self.action == "value") != ("value" in self.model_fields_set):
            raise refuse("CFG-008", "which value?", "write miss: {value: X}")
        return self


class LookupArgs(Model):
    """A table look-up: one value in place, or several keys and targets."""

    path: str | None = Field(None, description="The value is looked up and replaced in place.")
    table: Text = Field(description="Name of the table in transforms/tables, without .csv.")
    column: str | None = Field(None, description="Column that is written; default: the second.")
    keys: dict[str, str] = Field({}, description="column: PATH, all of which must agree.")
    on_date: str | None = Field(None, description="Path of the date a row must be valid on.")
    set: dict[str, str] = Field({}, description="PATH: column, what is written.")
    miss: Miss = Field(Miss.model_construct(), description="When no row fits; default park.")

    @model_validator(mode="after")
    def _one_form(self) -> LookupArgs:
        if self.path is not None and (self.keys or self.set):
            raise refuse("CFG-018", "path does not go with keys and set", "use one of the forms")
        if self.path is None and not (self.keys and self.set):
            raise refuse("CFG-008", "lookup needs path, or keys and set", "give one of the forms")
        if self.column is not None and self.path is None:
            raise refuse("CFG-018", "column goes with path only", "name the column under set")
        return self


class SegmentsArgs(Short):
    """A list of segment names."""

    short_key: ClassVar[str] = "segments"
    short_shapes: ClassVar[tuple[type, ...]] = (list, str, dict)
    segments: Names = Field(description="Segment names.", min_length=1)


class DropSegmentsArgs(Short):
    """Segments to drop: names, or one name with a condition."""

    short_key: ClassVar[str] = "segments"
    short_shapes: ClassVar[tuple[type, ...]] = (list, str)
    segments: Names = Field((), description="Segment names.")
    segment: str | None = Field(None, description="One segment name, with where.")
    where: Expression | None = Field(None, description="Condition on the segment at hand.")

    @model_validator(mode="after")
    def _one_form(self) -> DropSegmentsArgs:
        if bool(self.segments) == bool(self.segment):
            raise refuse("CFG-008", "drop_segments needs names", "write [ZDS] or {segment, where}")
        return self


class AddSegmentArgs(Model):
    """A new segment: after the last of some segment, or at the end of the group at hand."""

    segment: Text = Field(description="Name of the new segment.")
    after: str | None = Field(None, description="Put it after the last such segment.")
    at: Literal["group_end"] | None = Field(None, description="At the end of the group at hand.")
    fields: dict[str, str] = Field({}, description="Field: value or template ('NTE-3' or '3').")

    @model_validator(mode="after")
    def _one_place(self) -> AddSegmentArgs:
        if self.after is not None and self.at is not None:
            raise refuse("CFG-018", "after and at are two places", "give one of them")
        return self


class SortArgs(Model):
    """Sorts segments; groups move whole."""

    segment: Text = Field(description="Segment that is sorted.")
    by: Names = Field(description="Path, or a list of them.", min_length=1)
    order: Literal["ascending", "descending"] = Field("ascending", description="Direction.")


class JoinArgs(Model):
    """Joins several values into one."""

    from_: Text = Field(alias="from", description="Path of the values, such as NTE[*]-3.")
    into: Text = Field(description="Path that is written.")
    separator: str = Field(" ", description="What stands between them.")


class EachTarget(Short):
    """What a loop runs over."""

    short_key: ClassVar[str] = "path"
    path: str | None = Field(None, description="A segment (OBX) or a repeating field (PID-3).")
    group: str | None = Field(None, description="The segment that begins a group.")
    lead: Names = Field((), description="Segments directly before it that belong to the group.")

    @model_validator(mode="after")
    def _one_form(self) -> EachTarget:
        if (self.path is None) == (self.group is None):
            raise refuse("CFG-008", "each needs a path or a group", "write each: OBX")
        if self.lead and self.group is None:
            raise refuse("CFG-018", "lead goes with group", "write {group: OBR, lead: [ORC]}")
        return self


class SplitArgs(Model):
    """Several messages out of one; later steps run once per part."""

    group: Text = Field(description="The segment that begins a part.")
    lead: Names = Field((), description="Segments directly before it that belong to the part.")
    header: Names = Field(("MSH",), description="Segments that every part gets.")


class TemplateArgs(Model):
    """The whole output from a template; blank lines are dropped, LF becomes CR."""

    file: Text = Field(description="Name in transforms/templates, with .j2.")


def _module_and_function(text: str) -> str:
    if re.fullmatch(r"[A-Za-z_]\w*:[A-Za-z_]\w*", text):
        return text
    raise refuse("CFG-010", f"{text!r} is not module:function", "write results:flag_panic")


class PythonArgs(Short):
    """A function of transforms/python, (message, context) -> message, in a worker process."""

    short_key: ClassVar[str] = "call"
    call: Annotated[str, AfterValidator(_module_and_function)] = Field(
        description="module:function", examples=["results:flag_panic"]
    )
    timeout: Duration = Field(5.0, gt=0, description="After this the worker is stopped.")

    @property
    def module(self) -> str:
        """The module's name."""
        return self.call.partition(":")[0]

    @property
    def function(self) -> str:
        """The function's name."""
        return self.call.partition(":")[2]


class ValidateArgs(Model):
    """Checks against the standard's definitions."""

    standard: str = Field(
        "declared", pattern=r"^(declared|2(\.\d){1,2})$", description="declared, or a version."
    )
    profile: str | None = Field(None, description="File that tightens or loosens, in the site.")
    on_error: Literal["park", "warn"] = Field("park", description="What a finding does.")


class DeidentifyArgs(Short):
    """De-identifies by a profile of transforms/deid, or a built-in one."""

    short_key: ClassVar[str] = "profile"
    profile: Text = Field(description="Name of the profile.")
    accept_live_shift: Switch = Field(
        False, description="Allow date_shift on a live route although arrival gives it away."
    )


class CharsetArgs(Short):
    """The output's encoding; sets MSH-18."""

    short_key: ClassVar[str] = "name"
    short_shapes: ClassVar[tuple[type, ...]] = (str, list, dict)
    name: Text = Field(description="Character set, such as UTF-8 or GB18030.")


class ApplyArgs(Short):
    """A reusable list from transforms/."""

    short_key: ClassVar[str] = "name"
    name: Text = Field(description="Name of the file, without .yaml.")
    with_: dict[str, str] = Field({}, alias="with", description="Variables for its steps.")


class FilterArgs(Short):
    """Stops here; recorded as filtered with the reason."""

    short_key: ClassVar[str] = "reason"
    short_shapes: ClassVar[tuple[type, ...]] = (str, list, dict)
    reason: Text = Field(description="Why; shown by `why` and in traces.")
