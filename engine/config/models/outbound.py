"""An outbound channel: where outputs go, in what order, and what a reply means."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from engine.config.models.base import Model, Names, Short, Text, either
from engine.config.models.inbound import About
from engine.config.models.steps import StepModel
from engine.config.models.units import (
    Count,
    Duration,
    Factor,
    Rate,
    Switch,
    TcpAddress,
    refuse,
)
from engine.model.retry import ON_NACK


class ClientTls(Model):
    """TLS towards a receiver; files are PEM, relative to the site."""

    ca: str | None = Field(None, description="CA of the receiver; default: the system's.")
    cert: str | None = Field(None, description="The engine's own certificate, for mutual TLS.")
    key: str | None = Field(None, description="The certificate's private key.")
    server_name: str | None = Field(
        None, description="Name the receiver's certificate must carry; default: the host."
    )

    @model_validator(mode="after")
    def _pair(self) -> ClientTls:
        if (self.cert is None) != (self.key is None):
            raise refuse("CFG-010", "cert and key go together", "give both or neither")
        return self


class OutboundMllp(Model):
    """An MLLP receiver."""

    connect: TcpAddress = Field(description="HOST:PORT of the receiver.")
    tls: ClientTls | None = Field(None, description="TLS; without it the connection is plain.")
    insecure: Switch = Field(
        False, description="Allow a plain connection beyond loopback. Messages travel readable."
    )
    connect_timeout: Duration = Field(10.0, gt=0, description="Until the connection stands.")
    timeout: Duration = Field(
        30.0, gt=0, description="From the last byte sent to the matching ack, in total."
    )


class OutboundFile(Model):
    """A folder into which each output is written as a file of its own (plain text)."""

    directory: Text = Field(description="The folder, relative to the site.")
    name: Text = Field(
        "{{ delivery_id }}.hl7", description="Template of the file name; never patient data."
    )


class BackoffModel(Model):
    """The waits between tries."""

    first: Duration = Field(1.0, gt=0, description="The first wait.")
    factor: Factor = Field(2.0, ge=1, description="Each wait is so many times the last.")
    max: Duration = Field(300.0, gt=0, description="No wait is longer.")


def _unlimited(value: Any) -> Any:
    if value == "unlimited":
        return None
    if isinstance(value, str) and not value.isdecimal():
        raise refuse("CFG-010", f"{value!r} is no number of attempts", "write 10 or unlimited")
    return value


class RetryRule(Short):
    """How often a kind of failure is tried again before the delivery is parked."""

    short_key: ClassVar[str] = "then"

    retry: Annotated[
        Count | None, BeforeValidator(_unlimited), either({"type": "integer"}, "unlimited")
    ] = Field(0, description="Further attempts after the first, or unlimited (None here).")
    for_: Duration | None = Field(None, alias="for", description="Not longer than this.")
    then: Literal["park"] = Field("park", description="What happens when that is used up.")

    @model_validator(mode="before")
    @classmethod
    def _only_for(cls, value: Any) -> Any:
        if isinstance(value, dict) and "for" in value and "retry" not in value:
            return {"retry": None, **value}
        return value


_NACK_DEFAULTS = {
    verdict: RetryRule.model_construct(retry=budget.attempts, for_=budget.for_s)
    for verdict, budget in ON_NACK.items()
}


class Outbound(Model):
    """One receiver."""

    about: About
    mllp: OutboundMllp | None = Field(None, description="Send over MLLP.")
    file: OutboundFile | None = Field(None, description="Write files.")
    steps: tuple[StepModel, ...] = Field(
        (), description="Run last on every output: this receiver's wishes."
    )
    charset: str | None = Field(None, description="Output encoding; default: as it came.")
    ack: Literal["any", "application", "original", "none"] = Field(
        "any",
        description="any: the matching commit or application ack that comes first; application: "
        "wait for the application's; original: clear MSH-15/16 first; none: written is delivered.",
    )
    order_by: Names = Field(
        (), description="Paths of the order keys; default: the whole channel is one lane."
    )
    lanes: Count = Field(1, ge=1, le=1024, description="Messages in flight; more need order_by.")
    settle_window: Count = Field(
        1, ge=1, le=32, description="Sends of a lane that may be ahead of their committed result."
    )
    backoff: BackoffModel = Field(
        BackoffModel.model_construct(), description="The waits; trouble to connect never parks."
    )
    on_timeout: RetryRule = Field(
        RetryRule.model_construct(retry=None),
        description="No ack in time: {retry: unlimited} or {retry: 20, then: park}.",
    )
    on_ack: dict[str, RetryRule] = Field(
        {},
        validate_default=True,
        description="What a negative ack means: AE, AR, CE, CR or verdict/ERR-3 code (AR/207). "
        "CE follows AE and CR follows AR where they are not given. Each entry counts for itself.",
    )
    on_park: Literal["hold_key", "continue", "halt"] = Field(
        "continue",
        description="Behind a parked one: hold_key (default with order_by) holds the same key, "
        "continue (default without) lets all pass, halt stops the lane. What is parked keeps what "
        "it was parked with.",
    )
    expire_after: Annotated[
        Duration | None,
        BeforeValidator(lambda value: None if value == "never" else value),
        either({"type": "string", "format": "duration"}, "never"),
    ] = Field(None, description="A delivery older than this is not sent any more; or never.")
    rate: Rate | None = Field(None, description="At most so many sends, such as 50/s.")
    renamed_from: str | None = Field(None, description="Its name before it was renamed.")

    @model_validator(mode="before")
    @classmethod
    def _park_default(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("order_by") and "on_park" not in value:
            return {"on_park": "hold_key", **value}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> Outbound:
        if (self.mllp is None) == (self.file is None):
            raise refuse(
                "CFG-008", "an outbound channel is either mllp or file", "give exactly one of them"
            )
        idle = self.model_fields_set & {"ack", "on_ack", "on_timeout"}
        if self.file is not None and idle:
            raise refuse(
                "CFG-018", f"{min(idle)} does nothing here: a file never answers", "remove it"
            )
        return self

    def rule_for(self, verdict: str, error_code: str = "") -> RetryRule:
        """Return what a negative ack means; *verdict* AE, AR, CE or CR, *error_code* ERR-3.1."""
        plain = {"CE": "AE", "CR": "AR"}.get(verdict, verdict)
        names = (f"{verdict}/{error_code}", f"{plain}/{error_code}", verdict, plain)
        for name in names:
            if name in self.on_ack:
                return self.on_ack[name]
        return _NACK_DEFAULTS[plain]
