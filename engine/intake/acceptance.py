"""
What is decided about a frame before anything is stored: taken or refused, and the ack to give.

Rules of this file: pure but for the order in which the pipeline asks for Python steps; whatever
goes wrong, an arrival comes out, so that no frame is lost in silence. Texts hold no patient data.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from datetime import tzinfo
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from engine.hl7.ack import AckError, AckMode, ack_mode, build_ack
from engine.hl7.errors import Hl7Error
from engine.hl7.header import Header, parse_header
from engine.hl7.message import Message
from engine.intake.policy import AckWhen, IntakePolicy
from engine.intake.positive_acks import PositiveAcks
from engine.model.records import Arrival
from engine.model.states import MessageState, RouteOutcome
from engine.pipeline.context import Arrived

if TYPE_CHECKING:
    from engine.pipeline.route import Routed
    from engine.pipeline.steps.base import PythonAnswer, PythonCall

_log = logging.getLogger(__name__)

#: runs the pipeline of the channel on one message
RunInbound = Callable[[Message, Arrived], "Generator[PythonCall, PythonAnswer, Routed]"]


class _Refusal(Exception):
    """The message is not taken; carries the verdict and what ERR says."""

    def __init__(self, verdict: str, error: AckError, text: str) -> None:
        super().__init__(text)
        self.verdict = verdict
        self.error = error
        self.text = text


class Facts(NamedTuple):
    """Where and when a frame came in."""

    message_id: str
    received_at: float
    peer: str


class Acceptance:
    """
    One channel's way from a body to an arrival, under one configuration.

    Args:
        run: the compiled pipeline.
        site: name of the site, for the pipeline.
        snapshot_id: configuration that this is.
    """

    def __init__(
        self,
        policy: IntakePolicy,
        run: RunInbound,
        *,
        site: str,
        timezone: tzinfo,
        snapshot_id: str = "",
    ) -> None:
        self.policy = policy
        self._run = run
        self._site = site
        self._timezone = timezone
        self._snapshot_id = snapshot_id
        self._positive_acks = PositiveAcks(timezone)

    def accept(self, body: bytes, facts: Facts) -> Generator[PythonCall, PythonAnswer, Arrival]:
        """Return the arrival of *body*; yields the Python steps that its caller is to answer."""
        try:
            return (yield from self._take(body, facts))
        except _Refusal as refusal:
            found = refusal
        except Hl7Error as error:
            text = f"{error.code} {error.what}"
            found = _Refusal("reject", AckError("100", error.where), text)
        except Exception:  # noqa: BLE001 - a defect of ours must not lose the sender's message
            _log.exception(
                "a message could not be processed",
                extra={"inbound": self.policy.inbound, "message_id": facts.message_id},
            )
            found = _Refusal("error", AckError("207"), "medbus failed on this message")
        return self._refused(body, facts, self.find_header(body), found)

    def answer_oversize(self, head: bytes, facts: Facts) -> bytes:
        """Return the ack for a frame beyond the limit, of which only *head* is known."""
        header = self.find_header(head)
        mode = self._mode(header)
        error = AckError("207")
        text = "the message is longer than max_message allows"
        return self._ack(header, mode.reject, facts, error, text)

    def answer_failure(self, body: bytes, facts: Facts, text: str) -> bytes:
        """Return the ack for a message that could not be stored: our fault, send it again."""
        header = self.find_header(body)
        return self._ack(header, self._mode(header).error, facts, AckError("207"), text)

    def answer(self, header: Header | None, facts: Facts, code: str, text: str = "") -> bytes:
        """Return an ack with *code* of table 0008, in the words of the mode the sender uses."""
        error = None if code[1:] == "A" else AckError("207")
        return self._ack(header, code, facts, error, text)

    def find_header(self, body: bytes) -> Header | None:
        """Return the header of *body*, None when it cannot be read."""
        policy = self.policy
        try:
            return parse_header(body, charset=policy.charset, force_charset=policy.force_charset)
        except Hl7Error:
            return None

    # -- inside ----------------------------------------------------------------------------

    def _take(self, body: bytes, facts: Facts) -> Generator[PythonCall, PythonAnswer, Arrival]:
        policy = self.policy
        message = self._parse(body)
        header = message.header
        warnings = message.warnings
        self._check(header, message, warnings)
        arrived = Arrived(
            facts.message_id, facts.received_at, policy.inbound, self._site, self._timezone
        )
        routed = yield from self._run(message, arrived)
        if policy.rejects_step_failure:
            _check_steps(routed)
        return self._accepted(body, facts, header, routed, warnings)

    def _parse(self, body: bytes) -> Message:
        policy = self.policy
        return Message.parse(body, charset=policy.charset, force_charset=policy.force_charset)

    def _mode(self, header: Header | None) -> AckMode:
        if self.policy.ack is AckWhen.NONE:
            return AckMode("", "", "")
        if header is None:
            return AckMode("AA", "AE", "AR")
        return ack_mode(header, self.policy.ack_mode)

    def _check(self, header: Header, message: Message, warnings: tuple[str, ...]) -> None:
        """Raise the refusal of what the channel's accept rules do not take."""
        policy = self.policy
        if policy.needs_control_id and not header.field(10).strip():
            raise _Refusal("reject", AckError("101", "MSH-10"), "MSH-10 is empty")
        if policy.processing_ids and header.processing_id not in policy.processing_ids:
            allowed = " ".join(sorted(policy.processing_ids))
            text = f"the processing id is not taken here; taken: {allowed}"
            raise _Refusal("reject", AckError("202", "MSH-11"), text)
        if policy.rejects_stray_lines and "stray_line" in warnings:
            lines = ", ".join(str(number) for number in message.stray_lines()[:5])
            raise _Refusal("reject", AckError("100"), f"not a segment: line {lines}")

    def _accepted(
        self,
        body: bytes,
        facts: Facts,
        header: Header,
        routed: Routed,
        warnings: tuple[str, ...],
    ) -> Arrival:
        policy = self.policy
        code = "" if policy.ack is not AckWhen.COMMIT else self._mode(header).accept
        return Arrival(
            message_id=facts.message_id,
            inbound=policy.inbound,
            received_at=facts.received_at,
            body=body,
            sha256=sha256(body).digest(),
            state=MessageState.ACCEPTED,
            ack=(
                self._positive_acks.build(header, code, facts.message_id, facts.received_at)
                if code
                else b""
            ),
            ack_code=code,
            control_id=header.control_id,
            sender=(header.field(3), header.field(4)),
            message_type=header.message_type,
            version=header.version,
            peer=facts.peer,
            snapshot_id=self._snapshot_id,
            terms=routed.terms,
            routes=routed.routes,
            deliveries=routed.deliveries,
            warnings=warnings + tuple(routed.warnings),
            duplicate_window_s=policy.duplicate_window_s,
        )

    def _refused(
        self, body: bytes, facts: Facts, header: Header | None, refusal: _Refusal
    ) -> Arrival:
        mode = self._mode(header)
        code = mode.error if refusal.verdict == "error" else mode.reject
        return Arrival(
            message_id=facts.message_id,
            inbound=self.policy.inbound,
            received_at=facts.received_at,
            body=body,
            sha256=sha256(body).digest(),
            state=MessageState.REJECTED,
            ack=self._ack(header, code, facts, refusal.error, refusal.text),
            ack_code=code,
            control_id=header.control_id if header else "",
            sender=(header.field(3), header.field(4)) if header else ("", ""),
            message_type=header.message_type if header else "",
            version=header.version if header else "",
            peer=facts.peer,
            snapshot_id=self._snapshot_id,
            reject_reason=refusal.text,
        )

    def _ack(
        self,
        header: Header | None,
        code: str,
        facts: Facts,
        error: AckError | None = None,
        text: str = "",
    ) -> bytes:
        if not code:
            return b""
        return build_ack(
            header,
            code=code,
            control_id=facts.message_id,
            at=facts.received_at,
            timezone=self._timezone,
            error=error,
            text=text,
        )


def _check_steps(routed: Routed) -> None:
    """Raise the refusal of a message for which a step failed."""
    park = routed.failure
    for result in routed.routes:
        if park is None and result.outcome is RouteOutcome.PARKED:
            park = result.park
    if park is not None:
        step = f" (step {park.step})" if park.step else ""
        raise _Refusal("error", AckError("207", park.path), f"{park.reason}{step}")
