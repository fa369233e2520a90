"""What an inbound channel is handed, and what it counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred

from engine.intake.acceptance import Facts
from engine.model.clock import Clock
from engine.model.records import DueDelivery

if TYPE_CHECKING:
    from engine.pipeline.steps.base import PythonAnswer, PythonCall


class Submits(Protocol):
    """The writer, as far as a channel needs it."""

    def submit(self, work: Any, done: Callable[[Any], None]) -> None:
        """Have *work* committed, then run *done* on the loop."""
        ...

    def call(self, function: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        """Run *function* with the store, then *done* on the loop."""
        ...


@dataclass(frozen=True, slots=True)
class IntakeSeams:
    """What an inbound channel is handed."""

    reactor: Any
    clock: Clock
    timezone: tzinfo
    writer: Submits
    #: draws the message id for an arrival time
    draw_id: Callable[[float], str]
    #: hands a committed delivery to its outbound channel
    offer: Callable[[DueDelivery], None]
    #: takes a delivery out of its outbound channel: (outbound, delivery id)
    expire: Callable[[str, str], None]
    call_python: Callable[[PythonCall], Deferred[PythonAnswer]]
    #: runs the pipeline of one message in its turn; see turns.py
    add_turn: Callable[[Callable[[], None]], None] = lambda work: work()
    #: seconds from a frame's last byte to its ack
    observe_ack_s: Callable[[float], None] = lambda seconds: None
    #: a receiver's answer on its way back: (route, received body, answer, facts) -> the ack;
    #: None where the route has no `response`
    respond: Callable[[str, bytes, bytes, Facts], bytes | None] = (
        lambda route, body, answer, facts: None
    )


@dataclass(slots=True)
class IntakeCounts:
    """What a channel has taken since it was made; plain numbers, read by metrics and status."""

    received: int = 0
    received_bytes: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicates: int = 0
    same_id_other_bytes: int = 0
    #: answered AE because the store could not take it
    not_stored: int = 0
    last_received_at: float = 0.0
    last_reject_reason: str = ""
