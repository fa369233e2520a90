"""The doors that channel tests send through: the running engine's own acceptance."""

from __future__ import annotations

from collections.abc import Generator

from engine.config.models.inbound import Inbound
from engine.config.models.site import Site
from engine.intake.acceptance import Acceptance, Facts
from engine.intake.policy import AckWhen, DeliveredBy, IntakePolicy
from engine.model.records import Arrival
from engine.pipeline.channel_test import Door, RunInbound
from engine.pipeline.steps.base import PythonAnswer, PythonCall


def intake_policy(name: str, inbound: Inbound) -> IntakePolicy:
    """Return what an inbound channel promises, from its keys."""
    ack = inbound.ack
    delivered_by = None
    if ack.delivered_by is not None:
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


class _Door:
    def __init__(self, acceptance: Acceptance) -> None:
        self._acceptance = acceptance

    def accept(
        self, body: bytes, message_id: str, at: float
    ) -> Generator[PythonCall, PythonAnswer, Arrival]:
        return self._acceptance.accept(body, Facts(message_id, at, "test"))

    def answer(self, body: bytes, code: str, message_id: str, at: float) -> bytes:
        header = self._acceptance.find_header(body)
        return self._acceptance.answer(header, Facts(message_id, at, "test"), code)


def open_door(site: Site, inbound: str, run: RunInbound) -> Door:
    """Return the door of one inbound channel of *site*, whose routes *run* runs."""
    policy = intake_policy(inbound, site.inbound[inbound])
    return _Door(Acceptance(policy, run, site=site.site, timezone=site.timezone))
