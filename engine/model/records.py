"""
The frozen records that floors hand to each other.

Rules of this file: values only; times are UTC seconds since the epoch and end in _at;
bodies are exact bytes without the MLLP envelope. Most records hold patient data: never log one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.model.record import record
from engine.model.states import (
    AttemptOutcome,
    DeliveryState,
    MessageState,
    ParkCode,
    RouteOutcome,
)


class Term(NamedTuple):
    """One thing a message can be found by; kind is patient, visit, order, name or control_id."""

    kind: str
    value: str


class Park(NamedTuple):
    """Why something is parked; reason never holds patient data beyond a path."""

    code: ParkCode
    reason: str
    #: step number as the analyst counts it ("3", or "2.1" inside a block); "" where it is no step
    step: str = ""
    #: path the step was about, or ""
    path: str = ""


@record(frozen=True, slots=True)
class RouteResult:
    """What one route did with one message."""

    route: str
    outcome: RouteOutcome
    reason: str = ""
    park: Park | None = None


class LinkedNumber(NamedTuple):
    """A pseudonym and what it stands for, for the vault; patient data, never log it."""

    #: name of the key it was made with
    key_name: str
    key_id: str
    #: type and authority, as the pseudonym's domain has them
    domain: str
    pseudonym: str
    original: str


@record(frozen=True, slots=True)
class NewDelivery:
    """One output for one outbound channel, as the pipeline made it."""

    #: K of the delivery id, from 1
    number: int
    route: str
    #: output number within the route, from 1
    output: int
    outbound: str
    #: final bytes as they will be sent; None when a step failed
    body: bytes | None
    #: MSH-10 of the output
    control_id: str = ""
    #: MSH-15 and MSH-16 of the output
    promises: tuple[str, str] = ("", "")
    #: keyed hashes of the order keys (8 bytes each), in the order of order_by; empty keys left out
    order_keys: tuple[bytes, ...] = ()
    #: file name for file channels
    file_name: str = ""
    #: set when the output must not be sent (failed step, leak, charset)
    park: Park | None = None
    #: the delivery id this one stands in the place of, after a rerun
    replaces: str = ""
    #: hold_key, continue or halt: what its outbound channel does behind it when park is set
    on_park: str = "continue"
    #: how it was de-identified: "PROFILE VERSION KEY-ID", several joined by ", "
    method: str = ""
    #: what the vault keeps of it, durable before the delivery is; patient data
    links: tuple[LinkedNumber, ...] = ()


@record(frozen=True, slots=True)
class Arrival:
    """A frame with all that was decided about it; becomes durable in one transaction."""

    #: YYYYMMDD-N
    message_id: str
    inbound: str
    received_at: float
    body: bytes
    sha256: bytes
    #: ACCEPTED or REJECTED; the store may answer DUPLICATE
    state: MessageState
    #: the ack to send for this arrival; b"" when none is to be sent
    ack: bytes
    #: AA, AE, AR, CA, CE, CR or "" as given in that ack
    ack_code: str
    control_id: str = ""
    #: MSH-3 and MSH-4, for the duplicate check
    sender: tuple[str, str] = ("", "")
    #: MSH-9.1^MSH-9.2
    message_type: str = ""
    version: str = ""
    #: IP address and port of the peer, or "replay"/"send"
    peer: str = ""
    #: configuration snapshot that routed it
    snapshot_id: str = ""
    terms: tuple[Term, ...] = ()
    routes: tuple[RouteResult, ...] = ()
    deliveries: tuple[NewDelivery, ...] = ()
    #: counted warnings ("charset_fallback", "stray_line", …)
    warnings: tuple[str, ...] = ()
    #: code and text of why it was rejected
    reject_reason: str = ""
    #: seconds; 0 switches the duplicate check off
    duplicate_window_s: float = 0.0
    #: original message id when this is a replay
    replay_of: str = ""
    #: "sent" or "received" for a replay
    replay_as: str = ""
    #: the operator's action that made this replay; one action replays a message once
    operation_id: str = ""


@record(frozen=True, slots=True)
class Accepted:
    """The store's answer to one Arrival, after the commit."""

    message_id: str
    state: MessageState
    #: place in the store-wide accept order
    seq: int
    #: what to send: the arrival's own ack, or the stored one of the first for a duplicate
    ack: bytes
    #: first message id when this one is a duplicate
    duplicate_of: str = ""
    #: same control id within the window, other bytes
    same_id_other_bytes: bool = False
    #: states the deliveries were stored in, in order (pending, parked, held)
    delivery_states: tuple[DeliveryState, ...] = ()


@record(frozen=True, slots=True)
class DueDelivery:
    """A delivery as a lane sees it."""

    delivery_id: str
    seq: int
    number: int
    outbound: str
    route: str
    inbound: str
    body: bytes
    control_id: str
    promises: tuple[str, str]
    order_keys: tuple[bytes, ...]
    file_name: str
    received_at: float
    due_at: float
    #: tries made so far
    attempts: int
    #: when the first failed try of this delivery was, 0.0 if none failed
    first_failure_at: float = 0.0
    uncertain: bool = False
    #: the commit ack was seen; only the application ack is awaited
    commit_acked: bool = False
    #: order within a message: (seq, place, number); a replacement has the place of the replaced
    place: int = 0


@record(frozen=True, slots=True)
class Attempt:
    """One try to deliver, for the record."""

    at: float
    took_s: float
    outcome: AttemptOutcome
    #: ack code (AA, AE, …) or ""
    code: str = ""
    #: the ack's bytes as they came; sealed at rest
    ack: bytes = b""
    #: what happened in plain words, no patient data
    detail: str = ""


@record(frozen=True, slots=True)
class Settlement:
    """What becomes of a delivery after a try (or without one); durable in one transaction."""

    delivery_id: str
    #: lane token from lane_open; a stale one is refused
    token: int
    state: DeliveryState
    attempt: Attempt | None = None
    #: when it may be tried again, for PENDING
    due_at: float = 0.0
    uncertain: bool | None = None
    commit_acked: bool | None = None
    park: Park | None = None
    #: hold_key, continue or halt, when state is PARKED
    on_park: str = "continue"


@dataclass(frozen=True, slots=True)
class StoredDelivery:
    """A delivery as operators see it; no body."""

    delivery_id: str
    message_id: str
    seq: int
    inbound: str
    route: str
    outbound: str
    state: DeliveryState
    due_at: float
    attempts: int
    uncertain: bool
    park_code: str = ""
    park_reason: str = ""
    park_step: str = ""
    control_id: str = ""
    settled_at: float = 0.0
    has_body: bool = True
    out_of_order: bool = False
    released: bool = False
    orphaned: bool = False
    replaced_by: str = ""
    replaces: str = ""
    #: how it was de-identified: "PROFILE VERSION KEY-ID"
    method: str = ""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as operators see it; no body."""

    message_id: str
    seq: int
    inbound: str
    received_at: float
    state: MessageState
    message_type: str
    version: str
    control_id: str
    ack_code: str
    size_bytes: int
    peer: str
    snapshot_id: str
    reject_reason: str = ""
    duplicate_of: str = ""
    replay_of: str = ""
    replay_as: str = ""
    warnings: tuple[str, ...] = ()
    routes: tuple[RouteResult, ...] = ()
    deliveries: tuple[StoredDelivery, ...] = field(default=())
