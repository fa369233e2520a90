"""From an inbound channel's models to the objects that run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.check.doors import intake_policy
from engine.config.models.inbound import InboundMllp
from engine.intake.acceptance import Acceptance
from engine.intake.budget import Budget
from engine.intake.channel import InboundChannel
from engine.intake.listener import ListenerLimits, MllpListener
from engine.intake.tls import ServerTls
from engine.pipeline.route import run_inbound
from engine.runtime.certificates import server_files
from engine.runtime.configuration import Configuration


def build_acceptance(name: str, configuration: Configuration) -> Acceptance:
    """Return what decides about the frames of a channel, under one configuration."""
    compiled = configuration.compiled.inbound[name]
    site = configuration.site
    return Acceptance(
        intake_policy(name, site.inbound[name]),
        lambda message, arrived: run_inbound(compiled, message, arrived),
        site=site.site,
        timezone=site.timezone,
        snapshot_id=configuration.snapshot_id,
    )


def build_listener(
    name: str, mllp: InboundMllp, *, channel: InboundChannel, budget: Budget,
    reactor: Any, site_folder: Path,
) -> MllpListener:  # fmt: skip
    """Return a listener whose frames go to *channel*; raises when a TLS file is no good."""
    tls = None
    if mllp.tls is not None:
        tls = ServerTls(server_files(mllp.tls, site_folder))
    return MllpListener(
        reactor,
        name=name,
        limits=ListenerLimits(
            max_message_bytes=mllp.max_message,
            max_connections=mllp.max_connections,
            idle_timeout_s=mllp.idle_timeout,
            frame_timeout_s=mllp.frame_timeout,
        ),
        budget=budget,
        on_frame=channel.take_frame,
        on_oversize=channel.take_oversize,
        allow=mllp.allow,
        tls=tls,
    )
