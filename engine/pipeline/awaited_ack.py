"""
The ack of a channel test whose sender waits for a delivery (`ack: {delivered_by: …}`).

Rules of this file: no time passes in a test; a receiver that refuses or is silent is parked where
its channel tries no more, else the sender's wait runs out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from engine.config.models.inbound import InboundAck
from engine.config.models.outbound import Outbound
from engine.config.models.site import Site
from engine.config.models.tests import Reply
from engine.hl7.ack import parse_ack
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.model.records import Arrival
from engine.pipeline.compiled import CompiledSite
from engine.pipeline.context import Arrived
from engine.pipeline.response import drive_response, run_response
from engine.pipeline.steps.base import PythonAnswer, PythonCall
from engine.pipeline.trace import Recorder


def awaited_ack(
    arrival: Arrival,
    *,
    received: Message,
    replies: Mapping[str, Reply],
    encode: Callable[[str], bytes],
    late: Callable[[str], bytes],
    site: Site,
    compiled: CompiledSite,
    call_python: Callable[[PythonCall], PythonAnswer],
    recorder: Recorder,
) -> bytes:
    """
    Return the ack that the sender of *arrival* gets in the end.

    Args:
        replies: what each outbound channel's receiver answers.
        encode: makes the bytes of an inline message.
        late: makes the ack with a code.
    """
    choices = site.inbound[arrival.inbound].ack
    awaited = [one for one in arrival.deliveries if one.outbound == choices.delivered_by]
    if not awaited:
        return late(choices.on_filtered)
    if any(delivery.park is not None for delivery in awaited):
        return late(choices.on_park)
    last = awaited[-1]
    reply = replies.get(last.outbound, Reply())
    answer = _message_of(reply, site, encode)
    code = reply.code if answer is None else code_of(answer)
    if code not in ("AA", "CA"):
        return late(_after_trouble(site.outbound[last.outbound], choices, code))
    route = compiled.routes[last.route]
    if answer is None or route.response is None:
        return late("AA")
    arrived = Arrived(
        arrival.message_id, arrival.received_at, arrival.inbound, site.site, site.timezone
    )
    steps = run_response(
        route,
        request=received,
        answer=Message.parse(answer),
        arrived=arrived,
        recorder=recorder,
    )
    return drive_response(steps, call_python).body or late("AA")


def code_of(ack: bytes) -> str:
    """Return MSA-1 of an ack; none where there is no ack."""
    if not ack:
        return "none"
    try:
        return parse_ack(ack).code
    except Hl7Error:
        return "no readable ack"


def _message_of(reply: Reply, site: Site, encode: Callable[[str], bytes]) -> bytes | None:
    """Return the message a receiver answers with; None for a plain ack or silence."""
    if reply.file is not None:
        return site.files.get(reply.file, b"")
    return encode(reply.inline) if reply.inline is not None else None


def _after_trouble(model: Outbound, choices: InboundAck, code: str) -> str:
    """Return what the sender hears: parked where nothing is tried again, else out of time."""
    if code in ("AE", "AR", "CE", "CR"):
        is_parked = model.rule_for(code).retry == 0
    else:
        waits = model.mllp.timeout if model.mllp is not None else 0.0
        is_parked = model.on_timeout.retry == 0 and waits < choices.timeout
    return choices.on_park if is_parked else choices.on_timeout
