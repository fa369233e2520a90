"""What an inbound channel promises its sender; values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AckWhen(StrEnum):
    """When the sender is answered."""

    #: once the message is stored
    COMMIT = "commit"
    #: never
    NONE = "none"
    #: once an outbound channel has delivered it
    DELIVERED_BY = "delivered_by"


@dataclass(frozen=True, slots=True)
class DeliveredBy:
    """Whose delivery decides the ack, and what is said when it does not come about."""

    outbound: str
    timeout_s: float = 15.0
    on_timeout: str = "AE"
    on_filtered: str = "AE"
    on_park: str = "AE"


@dataclass(frozen=True, slots=True)
class IntakePolicy:
    """One inbound channel's choices, as DESIGN 2.1 names them."""

    inbound: str
    #: MSH-11 values taken; empty: any
    processing_ids: frozenset[str] = frozenset()
    needs_control_id: bool = True
    rejects_stray_lines: bool = False
    #: where MSH-18 is empty
    charset: str | None = None
    #: whatever MSH-18 says
    force_charset: str | None = None
    ack: AckWhen = AckWhen.COMMIT
    #: auto or original
    ack_mode: str = "auto"
    #: AE instead of AA where a step failed
    rejects_step_failure: bool = False
    #: 0 switches the duplicate check off
    duplicate_window_s: float = 86_400.0
    delivered_by: DeliveredBy | None = None
