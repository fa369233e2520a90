"""
A receiver's answer on its way back to the caller (`ack: delivered_by` with `response`).

Rules of this file: on the loop, so a Python step is answered with a failure, never run.
"""

from __future__ import annotations

import logging

from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.intake.acceptance import Facts
from engine.pipeline.context import Arrived
from engine.pipeline.response import drive_response, run_response
from engine.pipeline.route import no_python
from engine.runtime.configuration import Configuration

log = logging.getLogger(__name__)


def respond(
    configuration: Configuration, inbound: str, route: str, body: bytes, answer: bytes, facts: Facts
) -> bytes | None:
    """Return the answer for the caller; None where the route has no `response`, or it fails."""
    compiled = configuration.compiled.routes.get(route)
    if compiled is None or compiled.response is None:
        return None
    site, channel = configuration.site, configuration.site.inbound[inbound]
    arrived = Arrived(facts.message_id, facts.received_at, inbound, site.site, site.timezone)
    try:
        request = Message.parse(
            body, charset=channel.charset.default, force_charset=channel.charset.force
        )
        run = run_response(compiled, request=request, answer=Message.parse(answer), arrived=arrived)
        told = drive_response(run, no_python)
    except Hl7Error as error:
        log.warning("a response could not be made", extra={"route": route, "code": error.code})
        return None
    if told.park is not None:
        log.warning(
            "a response could not be made", extra={"route": route, "reason": told.park.reason}
        )
    return told.body
