"""Channel tests: channels/NAME_test.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from engine.config.models.base import Model, Names, Short, Text
from engine.config.models.units import refuse
from engine.model.finding import Loc


def _parse_instant(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is None or instant.tzinfo is None:
        raise refuse(
            "CFG-010", f"{text!r} is no time with a zone", "write 2026-11-01T08:30:00+08:00"
        )
    return instant.timestamp()


#: UTC seconds since the epoch
Instant = Annotated[
    float,
    BeforeValidator(_parse_instant),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]


class _Source(Model):
    """A message: from a file, or written here."""

    file: str | None = Field(None, description="File of the site.")
    inline: str | None = Field(None, description="The message itself; LF is read as CR.")

    @model_validator(mode="after")
    def _one_source(self) -> Any:
        if self.file is not None and self.inline is not None:
            raise refuse("CFG-018", "file and inline are two messages", "give one of them")
        return self


class Send(_Source):
    """What is sent to the engine."""

    to: Text = Field(description="Inbound channel that gets it.")

    @model_validator(mode="after")
    def _has_source(self) -> Send:
        if self.file is None and self.inline is None:
            raise refuse("CFG-008", "there is no message to send", "give file or inline")
        return self


class Reply(Short, _Source):
    """What a receiver answers."""

    short_key: ClassVar[str] = "code"
    code: Literal["AA", "AE", "AR", "CA", "CE", "CR", "none"] = Field(
        "AA", description="A plain ack with this code; none: no answer within the time-out."
    )

    @model_validator(mode="after")
    def _one_answer(self) -> Reply:
        if "code" in self.model_fields_set and (self.file is not None or self.inline is not None):
            raise refuse("CFG-018", "a message carries its own code", "leave out code")
        return self


class FieldExpectation(Short):
    """What one place must hold; text alone is compared as it is."""

    short_key: ClassVar[str] = "equals"
    equals: str | None = Field(None, description='The text; "" is empty or absent.')
    matches: str | None = Field(None, description="A regular expression for the whole text.")
    contains: Names = Field((), description="Texts that must be found.")
    not_contains: Names = Field((), description="Texts that must not be found (any case).")

    @model_validator(mode="after")
    def _says_something(self) -> FieldExpectation:
        if not self.model_fields_set:
            raise refuse("CFG-008", "nothing is expected here", 'write a text, "" for empty')
        return self


class AckExpectation(Short):
    """The ack: its code, or fields of it."""

    short_key: ClassVar[str] = "code"
    code: str | None = Field(None, description="AA, AE, AR, CA, CE, CR or none.")
    fields: dict[str, FieldExpectation] = Field({}, description="PATH: value of the ack.")

    @model_validator(mode="before")
    @classmethod
    def _fields(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and not set(value) <= {"code", "fields"}:
            return {"fields": dict(value)}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(schema))
        code = {"enum": ["AA", "AE", "AR", "CA", "CE", "CR", "none"]}
        return {"anyOf": [code, whole["properties"]["fields"]]}


class ParkExpectation(Model):
    """Where a route is expected to park."""

    step: str | None = Field(None, description="Number of the step, as 3 or 2.1.")
    code: str | None = Field(None, description="Park code, such as step or leak.")
    reason: str | None = Field(None, description="Text the reason contains.")


class RouteExpectation(Short):
    """What one route is expected to do."""

    short_key: ClassVar[str] = "outcome"
    outcome: Literal["queued", "filtered", "parked"] = Field(
        "queued", description='queued, filtered, parked, {filtered: "reason"} or {parked: {step}}.'
    )
    filtered: str | None = Field(None, description="Text the reason contains.")
    parked: ParkExpectation | None = Field(None, description="Where it parks.")

    @model_validator(mode="before")
    @classmethod
    def _outcome(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for outcome in ("filtered", "parked"):
                if outcome in value and "outcome" not in value:
                    return {"outcome": outcome, **value}
        return value


class OutputExpectation(Model):
    """One output: fields of it, or the whole file, or what may differ from the input."""

    fields: dict[str, FieldExpectation] = Field({}, description="PATH: value.")
    file: str | None = Field(None, description="File that holds the whole output.")
    only_changes: dict[str, FieldExpectation] | None = Field(
        None, description="The fields that differ from the input, and no others."
    )
    #: where it stands in the configuration
    loc: Loc = ()

    @model_validator(mode="before")
    @classmethod
    def _fields(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        whole = {key: value[key] for key in ("file", "only_changes") if key in value}
        fields = {key: value[key] for key in value if key not in whole}
        return {**whole, "fields": fields, "loc": getattr(value, "loc", ())}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        parts = handler.resolve_ref_schema(handler(schema))["properties"]
        named = {key: parts[key] for key in ("file", "only_changes")}
        values = parts["fields"]["additionalProperties"]
        return {"type": "object", "properties": named, "additionalProperties": values}


def _listed_outputs(value: Any) -> Any:
    if value == "absent":
        return ()
    return [value] if isinstance(value, Mapping) else value


class Expect(Model):
    """What is expected: the ack, what each route did, and the outputs by outbound channel."""

    ack: AckExpectation | None = Field(None, description="The ack the sender gets.")
    routes: dict[str, RouteExpectation] = Field({}, description="ROUTE: what it does.")
    outputs: dict[
        str, Annotated[tuple[OutputExpectation, ...], BeforeValidator(_listed_outputs)]
    ] = Field(
        {}, description="OUTBOUND: fields of the output, a list where there are several, or absent."
    )

    @model_validator(mode="before")
    @classmethod
    def _outputs(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        known = {key: value[key] for key in ("ack", "routes") if key in value}
        return {**known, "outputs": {key: value[key] for key in value if key not in known}}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        parts = dict(handler.resolve_ref_schema(handler(schema))["properties"])
        several = parts.pop("outputs")["additionalProperties"]
        output = {"anyOf": [several["items"], several, {"enum": ["absent"]}]}
        return {"type": "object", "properties": parts, "additionalProperties": output}


class ChannelTest(Model):
    """One message in, and what must come of it; starts from an empty store."""

    name: Text = Field(description="A sentence that is false when the test fails.")
    at: Instant | None = Field(None, description="Arrival time; default: a fixed one.")
    send: Send = Field(description="The message.")
    replies: dict[str, Reply] = Field(
        {}, description="OUTBOUND: what it answers; default AA.", examples=[{"mpi": "AE"}]
    )
    expect: Expect = Field(description="What must come of it.")
    #: where it stands in the configuration
    loc: Loc = ()

    @model_validator(mode="before")
    @classmethod
    def _place(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "loc" not in value:
            return {**value, "loc": getattr(value, "loc", ())}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(schema))
        whole["properties"].pop("loc", None)
        return whole


class TestFile(Model):
    """channels/NAME_test.yaml."""

    __test__ = False

    tests: tuple[ChannelTest, ...] = Field(description="The tests, in this order.")
