"""The keys of medbus.yaml and of environments/NAME.yaml."""

from __future__ import annotations

import zoneinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema

from engine.config.models.base import Model, Names, Text
from engine.config.models.units import Count, Duration, Size, Switch, TcpAddress, refuse


def _parse_zone(text: Any) -> Any:
    if not isinstance(text, str):
        return text
    try:
        return ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise refuse(
            "CFG-016", f"{text!r} is no time zone", "write a name such as Asia/Shanghai or UTC"
        ) from None


TimeZone = Annotated[
    ZoneInfo,
    BeforeValidator(_parse_zone),
    WithJsonSchema({"type": "string", "examples": ["Asia/Shanghai", "Europe/Berlin", "UTC"]}),
]


class Http(Model):
    """Where /metrics and /health are served."""

    listen: TcpAddress = Field(description="HOST:PORT of the metrics and health endpoint.")
    insecure: Switch = Field(
        False, description="Allow a listener beyond loopback; it is plain HTTP without login."
    )


class Log(Model):
    """What the engine writes to stderr; never patient data."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least severe line that is written."
    )
    format: Literal["json", "text"] = Field(
        "text", description="One JSON object per line, or text for people."
    )


class Retention(Model):
    """How long settled messages are kept; what is still owed is kept longer."""

    bodies: Duration = Field(30 * 86400.0, description="Message bodies.")
    metadata: Duration = Field(
        365 * 86400.0, description="Everything about a message except its bodies."
    )
    audit: Duration = Field(400 * 86400.0, description="The audit trail.")


class Alerts(Model):
    """When an alarm is raised; alarms go to the log, to `status` and to the metrics."""

    oldest_pending: Duration = Field(
        15 * 60.0, description="The oldest delivery of an outbound channel waits longer than this."
    )
    pending: Count = Field(
        10_000, ge=1, description="An outbound channel owes more deliveries than this."
    )
    parked: Count = Field(1, ge=1, description="An outbound channel has this many parked.")
    connection_down: Duration = Field(
        60.0, description="An outbound channel could not connect for longer than this."
    )
    disk_free: Size = Field(
        1_000_000_000, description="Less than this is free on the disk of the data folder."
    )
    certificate_expires: Duration = Field(
        30 * 86400.0, description="A TLS certificate runs out within this time."
    )


class Roles(Model):
    """Who may do what else than anybody who reaches the engine: OS users by name."""

    relinker: Names = Field(
        (), description="May ask the vault what a pseudonym stands for; without names, nobody."
    )


class SiteSettings(Model):
    """medbus.yaml: the site's name and what holds for all of its channels."""

    site: Text = Field(description="The site's name; shown everywhere, and a value in templates.")
    data: Text = Field(
        "data", description="Folder of the message store, relative to the site.", examples=["data"]
    )
    timezone: TimeZone = Field(
        ZoneInfo("UTC"), description="The site's time zone: days, times shown, ids."
    )
    http: Http | None = Field(None, description="Metrics and health; without it, none.")
    log: Log = Field(Log(), description="The engine's own log.")
    retention: Retention = Field(Retention(), description="How long things are kept.")
    alerts: Alerts = Field(Alerts(), description="Limits that raise an alarm.")
    roles: Roles = Field(Roles(), description="Who may do what is not for everybody.")
    vars: dict[str, str] = Field(
        {}, description="Default values of {{ vars.NAME }}; environments/NAME.yaml overrides them."
    )


class Environment(Model):
    """environments/NAME.yaml: what differs between dev, test and prod."""

    vars: dict[str, str] = Field({}, description="Values of {{ vars.NAME }}.")
    overrides: dict[str, Any] = Field(
        {},
        description="Keys of medbus.yaml, or inbound/outbound/routes by name, to put in place of "
        "what the site says: overrides: {outbound: {lis: {mllp: {connect: …}}}}",
    )
