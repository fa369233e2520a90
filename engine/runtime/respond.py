"""
A receiver's answer on its way back to the caller (`ack: delivered_by` with `response`).

Rules of this file: the answer leaves with the caller's names, MSA-2 and character set, whatever
the receiver put there; pure but for Python steps, which a response may not have.
"""

from __future__ import annotations

import logging

from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.intake.acceptance import Facts
from engine.pipeline.context import Arrived
from engine.pipeline.run import Run
from engine.pipeline.steps.base import Parked, run_steps
from engine.runtime.configuration import Configuration

log = logging.getLogger(__name__)

#: caller's field -> where it stands in an answer: sender and receiver change places
_SWAPPED = (("MSH-3", "MSH-5"), ("MSH-4", "MSH-6"), ("MSH-5", "MSH-3"), ("MSH-6", "MSH-4"))


def respond(
    configuration: Configuration, inbound: str, route: str, body: bytes, answer: bytes, facts: Facts
) -> bytes | None:
    """Return the answer for the caller; None where the route has no `response`, or it fails."""
    compiled = configuration.compiled.routes.get(route)
    if compiled is None or compiled.response is None:
        return None
    channel = configuration.site.inbound[inbound]
    try:
        asked = Message.parse(
            body, charset=channel.charset.default, force_charset=channel.charset.force
        )
        told = _run_steps(configuration, inbound, route, Message.parse(answer), facts)
        if told is None:
            return None
        for source, target in _SWAPPED:
            told.set_hl7(target, asked.raw_text(source), asked.delimiters)
        told.set("MSA-2", asked.get("MSH-10"))
        if asked.charset != told.charset:
            told.set_charset(asked.declared_charset or asked.charset)
        return told.encode()
    except Hl7Error as error:
        log.warning("a response could not be made", extra={"route": route, "code": error.code})
        return None


def _run_steps(
    configuration: Configuration, inbound: str, route: str, answer: Message, facts: Facts
) -> Message | None:
    compiled = configuration.compiled
    steps = compiled.routes[route].response or ()
    site = configuration.site
    arrived = Arrived(facts.message_id, facts.received_at, inbound, site.site, site.timezone)
    run = Run(
        answer.copy(), arrived, compiled.tables, route=route, control_id=answer.header.control_id
    )
    steps_run = run_steps(steps, run, None)
    try:
        next(steps_run)
    except StopIteration as end:
        left = end.value
        return left[0].message if left else None
    except Parked as stop:
        log.warning("a response step failed", extra={"route": route, "reason": stop.park.reason})
        return None
    log.warning("a response has a Python step, which it may not", extra={"route": route})
    return None
