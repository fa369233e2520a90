"""An inbound channel: where messages come in, and what is promised to their sender."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from engine.config.models.base import Model, Names, Short, Text, either
from engine.config.models.steps import StepModel
from engine.config.models.units import (
    Count,
    DaySpan,
    Duration,
    IpNetwork,
    Size,
    Switch,
    TcpAddress,
    refuse,
)

About = Annotated[
    dict[str, str],
    Field({}, description="Free notes shown with every alarm: owner, vendor, phone, runbook."),
]


class ServerTls(Model):
    """TLS of a listener; files are PEM, relative to the site."""

    cert: Text = Field(description="The engine's certificate (with its chain).")
    key: Text = Field(description="The certificate's private key.")
    client_ca: str | None = Field(
        None, description="CA that signs the clients' certificates; asks for one (mutual TLS)."
    )
    allow_names: Names = Field(
        (), description="Names one of which a client's certificate must carry; empty: any."
    )


class InboundMllp(Model):
    """An MLLP listener."""

    listen: TcpAddress = Field(description="HOST:PORT to listen on.")
    tls: ServerTls | None = Field(None, description="TLS; without it the connection is plain.")
    allow: tuple[IpNetwork, ...] = Field(
        (), description="Networks that may connect; empty: any (loopback listeners only)."
    )
    insecure: Switch = Field(
        False, description="Allow plain connections beyond loopback. Messages travel readable."
    )
    max_message: Size = Field(50_000_000, gt=0, description="A longer frame is refused.")
    idle_timeout: Duration = Field(
        600.0, gt=0, description="A connection without a byte for so long is closed."
    )
    frame_timeout: Duration = Field(
        30.0, gt=0, description="A frame that was begun must go on within this time."
    )
    max_connections: Count = Field(256, ge=1, description="Further connections are refused.")


def _any_or_list(value: Any) -> Any:
    if value == "any":
        return ()
    return [value] if isinstance(value, str) else value


class Accept(Model):
    """What is refused at the door."""

    processing_id: Annotated[
        tuple[str, ...],
        BeforeValidator(_any_or_list),
        either({"type": "array", "items": {"type": "string"}}, "any", "P", "T", "D"),
    ] = Field((), description="MSH-11 values taken, or `any` (default; an empty tuple here).")
    missing_control_id: Literal["reject", "accept"] = Field(
        "reject", description="What happens to a message without MSH-10."
    )
    stray_lines: Literal["warn", "reject"] = Field(
        "warn", description="What happens to a line that is no segment."
    )


class InboundCharset(Short):
    """How to decode what comes in; text alone is the default for an empty MSH-18."""

    short_key: ClassVar[str] = "default"

    default: str | None = Field(None, description="Character set when MSH-18 is empty.")
    force: str | None = Field(None, description="Character set whatever MSH-18 says.")


AckWord = Literal["AA", "AE", "AR"]


class InboundAck(Short):
    """When and how the sender is answered."""

    short_key: ClassVar[str] = "mode"

    mode: Literal["commit", "none", "delivered_by"] = Field(
        "commit", description="commit: AA once stored; none: no answer at all."
    )
    delivered_by: str | None = Field(
        None, description="Outbound channel whose delivery (or answer) decides the ack."
    )
    timeout: Duration = Field(
        15.0, gt=0, description="How long to wait for it; what has not gone out by then expires."
    )
    on_timeout: AckWord = Field(
        "AE", description="The ack when the time is up, or the delivery was cancelled or expired."
    )
    on_filtered: AckWord = Field("AE", description="The ack when nothing is owed to it.")
    on_park: AckWord = Field("AE", description="The ack when the delivery is parked.")

    @model_validator(mode="before")
    @classmethod
    def _mode(cls, value: Any) -> Any:
        if isinstance(value, dict) and "delivered_by" in value:
            return {"mode": "delivered_by", **value}
        return value

    @model_validator(mode="after")
    def _awaits_something(self) -> InboundAck:
        if self.mode == "delivered_by" and self.delivered_by is None:
            raise refuse("CFG-008", "which delivery?", "write ack: {delivered_by: OUTBOUND}")
        if self.mode != "delivered_by" and self.model_fields_set - {"mode"}:
            raise refuse("CFG-018", "these keys go with delivered_by only", f"write {self.mode}")
        return self


class Duplicates(Short):
    """The same message again within the window gets the stored ack, nothing else."""

    short_key: ClassVar[str] = "window"

    window: Annotated[
        Duration,
        BeforeValidator(lambda value: 0.0 if value == "off" else value),
        either({"type": "string", "format": "duration"}, "off"),
    ] = Field(86400.0, description="How far back to look; `off` (0.0 here) switches it off.")


class InboundAlert(Model):
    """When silence is an alarm."""

    silent_for: Duration = Field(gt=0, description="No message for so long.")
    between: DaySpan | None = Field(None, description="Only within this span of the day.")


class Inbound(Model):
    """One door through which messages come in."""

    about: About
    mllp: InboundMllp = Field(description="The listener.")
    accept: Accept = Field(Accept(), description="What is refused at the door.")
    charset: InboundCharset = Field(InboundCharset(), description="How to decode.")
    steps: tuple[StepModel, ...] = Field(
        (), description="Run once, before routing: this sender's clean-up."
    )
    ack: InboundAck = Field(InboundAck(), description="commit (default), none or delivered_by.")
    ack_mode: Literal["auto", "original"] = Field(
        "auto", description="auto: MSH-15/16 decide between original and enhanced mode."
    )
    on_step_failure: Literal["ack_anyway", "reject"] = Field(
        "ack_anyway", description="ack_anyway: AA, the route's deliveries are parked; reject: AE."
    )
    duplicates: Duplicates = Field(Duplicates(), description="Recognising resends.")
    alert: InboundAlert | None = Field(None, description="Alarm when the sender goes silent.")
    renamed_from: str | None = Field(None, description="Its name before it was renamed.")
