"""A route: which messages of which inbound channels go, changed how, to which receivers."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from engine.config.models.base import ONE_OR_MANY, Expression, Model
from engine.config.models.inbound import About, Inbound
from engine.config.models.outbound import Outbound
from engine.config.models.steps import StepModel
from engine.config.models.units import refuse

_TYPE = re.compile(r"any|[A-Z][A-Z0-9]{2}(\^([A-Z0-9]{1,3}|\*))?")


def _parse_type(value: Any) -> Any:
    if isinstance(value, str) and not _TYPE.fullmatch(value):
        raise refuse("CFG-010", f"{value!r} is no message type", "write ADT^A01, ADT, ADT^* or any")
    return value


def _not_empty(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise refuse("CFG-005", "the list is empty", "name at least one")
    return names


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


SomeNames = Annotated[
    tuple[str, ...],
    BeforeValidator(_listed),
    AfterValidator(_not_empty),
    ONE_OR_MANY,
]
MessageType = Annotated[str, BeforeValidator(_parse_type)]


class Response(Model):
    """What happens to a receiver's answer on its way back to the sender."""

    steps: tuple[StepModel, ...] = Field((), description="Steps on the answer.")


class Route(Model):
    """Every matching route runs, each on its own copy, in file order."""

    about: About
    from_: SomeNames = Field(alias="from", description="Inbound channel, or a list of them.")
    types: Annotated[tuple[MessageType, ...], BeforeValidator(_listed), ONE_OR_MANY] = Field(
        ("any",), description="MSH-9.1^MSH-9.2 taken: ADT^A01, ADT, ADT^* or any (default)."
    )
    when: Expression | None = Field(None, description="Condition on the received message.")
    steps: tuple[StepModel, ...] = Field((), description="What is done, in this order.")
    to: SomeNames = Field(description="Outbound channel, or a list of them.")
    response: Response | None = Field(
        None, description="With ack.delivered_by: steps on the answer on its way back."
    )
    renamed_from: str | None = Field(None, description="Its name before it was renamed.")


class ChannelFile(Model):
    """channels/NAME.yaml: any of the three."""

    inbound: dict[str, Inbound] = Field({}, description="Inbound channels by name.")
    outbound: dict[str, Outbound] = Field({}, description="Outbound channels by name.")
    routes: dict[str, Route] = Field({}, description="Routes by name; they run in this order.")


class TransformFile(Model):
    """transforms/NAME.yaml: a reusable list of steps, used as `- apply: NAME`."""

    about: About
    steps: tuple[StepModel, ...] = Field(description="The steps, in this order.")
