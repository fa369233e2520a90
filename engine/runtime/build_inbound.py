"""From an inbound channel's models to the objects that run it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.config.models.inbound import Inbound, InboundMllp
from engine.intake.acceptance import Acceptance
from engine.intake.budget import Budget
from engine.intake.channel import InboundChannel
from engine.intake.listener import ListenerLimits, MllpListener
from engine.intake.policy import AckWhen, DeliveredBy, IntakePolicy
from engine.intake.tls import ServerTls, ServerTlsFiles
from engine.pipeline.route import run_inbound
from engine.runtime.configuration import Configuration


def build_acceptance(name: str, configuration: Configuration) -> Acceptance:
    """Return what decides about the frames of a channel, under one configuration."""
    compiled = configuration.compiled.inbound[name]
    site = configuration.site
    return Acceptance(
        _policy(name, site.inbound[name]),
        lambda message, arrived: run_inbound(compiled, message, arrived),
        site=site.site,
        timezone=site.timezone,
        snapshot_id=configuration.snapshot_id,
    )


def _policy(name: str, inbound: Inbound) -> IntakePolicy:
    ack = inbound.ack
    delivered_by = None
    if ack.mode == "delivered_by" and ack.delivered_by is not None:
        delivered_by = DeliveredBy(
            ack.delivered_by,
            timeout_s=ack.timeout,
            on_timeout=ack.on_timeout,
            on_filtered=ack.on_filtered,
            on_park=ack.on_park,
        )
    return IntakePolicy(
        inbound=name,
        processing_ids=frozenset(inbound.accept.processing_id),
        needs_control_id=inbound.accept.missing_control_id == "reject",
        rejects_stray_lines=inbound.accept.stray_lines == "reject",
        charset=inbound.charset.default,
        force_charset=inbound.charset.force,
        ack=AckWhen(ack.mode),
        ack_mode=inbound.ack_mode,
        rejects_step_failure=inbound.on_step_failure == "reject",
        duplicate_window_s=inbound.duplicates.window,
        delivered_by=delivered_by,
    )


def build_listener(
    name: str, mllp: InboundMllp, *, channel: InboundChannel, budget: Budget,
    reactor: Any, site_folder: Path,
) -> MllpListener:  # fmt: skip
    """Return a listener whose frames go to *channel*; raises when a TLS file is no good."""
    tls = None
    if mllp.tls is not None:
        tls = ServerTls(
            ServerTlsFiles(
                site_folder / mllp.tls.cert,
                site_folder / mllp.tls.key,
                site_folder / mllp.tls.client_ca if mllp.tls.client_ca else None,
                frozenset(allowed.lower() for allowed in mllp.tls.allow_names),
            )
        )
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
