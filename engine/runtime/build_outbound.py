"""From an outbound channel's model to the objects that run it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.config.models.outbound import Outbound, RetryRule
from engine.delivery.channel import MakeSender, OutboundChannel
from engine.delivery.file_writer import FileWriter
from engine.delivery.lane import LaneSeams
from engine.delivery.mllp_sender import MllpSender, MllpTarget
from engine.delivery.policy import AckWanted, DeliveryPolicy
from engine.delivery.tls import ClientTls
from engine.model.records import DueDelivery, Settlement
from engine.model.retry import Backoff, RetryBudget
from engine.runtime.certificates import client_files


def build_policy(model: Outbound) -> DeliveryPolicy:
    """Return what the channel wants done with replies, silence and trouble."""
    backoff = model.backoff
    return DeliveryPolicy(
        ack=AckWanted(model.ack),
        backoff=Backoff(backoff.first, backoff.factor, backoff.max),
        on_timeout=_budget(model.on_timeout),
        on_ack={code: _budget(rule) for code, rule in model.on_ack.items()},
        on_park=model.on_park,
        expire_after_s=model.expire_after,
        rate_per_s=model.rate,
        settle_window=model.settle_window,
    )


def _budget(rule: RetryRule) -> RetryBudget:
    return RetryBudget(rule.retry, rule.for_)


def build_outbound(
    name: str, model: Outbound, *, seams: LaneSeams, site_folder: Path,
    on_settled: Callable[[DueDelivery, Settlement], None],
    observe_delivery_s: Callable[[float], None],
) -> OutboundChannel:  # fmt: skip
    """Return the channel with its lanes; raises when a TLS file is no good."""
    return OutboundChannel(
        name,
        build_policy(model),
        lane_count=model.lanes,
        seams=seams,
        make_sender=_sender_maker(model, site_folder),
        on_settled=on_settled,
        observe_delivery_s=observe_delivery_s,
    )


def _sender_maker(model: Outbound, site_folder: Path) -> MakeSender:
    if model.file is not None:
        directory = site_folder / model.file.directory
        return lambda channel, lane: FileWriter(channel, lane, directory)
    assert model.mllp is not None
    mllp = model.mllp
    target = MllpTarget(
        mllp.connect.host,
        mllp.connect.port,
        connect_timeout_s=mllp.connect_timeout,
        timeout_s=mllp.timeout,
    )
    tls = None
    if mllp.tls is not None:
        tls = ClientTls(client_files(mllp, mllp.tls, site_folder))
    return lambda channel, lane: MllpSender(channel, lane, target, tls)
