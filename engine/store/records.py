"""
What goes into a store and what it answers: values only.

Ids are text: a message is ``YYYYMMDD-N``, a delivery ``YYYYMMDD-N.K``; order is ``seq``, never an
id or a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from engine.model.records import Accepted, Arrival, Attempt, Settlement
from engine.model.states import DeliveryState, MessageState, ParkCode

ItemT = TypeVar("ItemT")


# -- work for the group commit -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AckGiven:
    """The ack of an accepted message that became known after its commit (delivered_by)."""

    message_id: str
    ack: bytes
    #: AA, AE, …
    code: str


@dataclass(frozen=True, slots=True)
class IntakeLoss:
    """What an inbound channel threw away before there was a message; only counted."""

    inbound: str
    #: YYYYMMDD, as the ids of that moment begin
    day: str
    discarded_bytes: int = 0
    refused_frames: int = 0


Work: TypeAlias = Arrival | Settlement | AckGiven | IntakeLoss


@dataclass(frozen=True, slots=True)
class Settled:
    """The answer to one Settlement, after the commit."""

    delivery_id: str
    #: the state it has now
    state: DeliveryState
    #: False: not applied, since the token is stale or someone moved the delivery meanwhile
    ok: bool
    #: these keys of this outbound channel are held from now on, those of merges that wait now too:
    #: every lane of it drops what it has in memory behind this delivery that shares one, and pages
    #: with ``next`` again
    held_keys: tuple[bytes, ...] = ()
    #: on_park halt: the lanes of this delivery stop until it is requeued, released or cancelled
    halted: bool = False


@dataclass(frozen=True, slots=True)
class Noted:
    """The answer to an AckGiven or IntakeLoss: it is durable."""


Result: TypeAlias = Accepted | Settled | Noted


# -- questions and answers ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """
    The filters of ``medbus messages``; everything given must hold, () and "" mean any.

    States of messages and of deliveries may be mixed: a message matches when its own state or
    the state of any delivery (to ``outbounds`` by ``routes`` where those are given) is named.
    """

    inbounds: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    outbounds: tuple[str, ...] = ()
    #: "ADT^A01", "ADT" or "ADT^*"
    message_types: tuple[str, ...] = ()
    #: values of MessageState and DeliveryState
    states: tuple[str, ...] = ()
    #: received_at >= since, received_at < until; UTC seconds
    since: float | None = None
    until: float | None = None
    patient: str = ""
    visit: str = ""
    order: str = ""
    name: str = ""
    control_id: str = ""
    #: message ids or delivery ids (the latter select their message)
    ids: tuple[str, ...] = ()
    park_codes: tuple[str, ...] = ()
    replay_of: str = ""

    def terms(self) -> tuple[tuple[str, str], ...]:
        """Return the (kind, value) pairs asked for."""
        pairs = (
            ("patient", self.patient),
            ("visit", self.visit),
            ("order", self.order),
            ("name", self.name),
            ("control_id", self.control_id),
        )
        return tuple(pair for pair in pairs if pair[1])


@dataclass(frozen=True, slots=True)
class Page(Generic[ItemT]):
    """Some items and where to go on; cursor "" means there are no more."""

    items: tuple[ItemT, ...]
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class OutboundCounts:
    """What one outbound channel owes, over all days."""

    pending: int = 0
    held: int = 0
    parked: int = 0
    #: received_at of the oldest pending or held one; 0.0 when there is none
    oldest_at: float = 0.0
    #: parked deliveries that halt their lane
    halted_by: tuple[str, ...] = ()
    #: no such channel in the running configuration (see ``set_known_outbounds``)
    orphaned: bool = False
    #: a parked delivery holds its order keys: what shares one waits behind it
    holds: bool = False

    @property
    def needs_its_order(self) -> bool:
        """Return whether something waits whose order keys must go on meaning what they mean."""
        return bool(self.pending or self.holds or self.halted_by)


@dataclass(frozen=True, slots=True)
class InboundCounts:
    """What one inbound channel stored since the store was opened."""

    accepted: int = 0
    rejected: int = 0
    duplicate: int = 0
    #: wall time of the newest arrival, over restarts; 0.0 when there is none
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Depths and flows, from memory: cheap enough for every scrape."""

    outbounds: Mapping[str, OutboundCounts]
    inbounds: Mapping[str, InboundCounts]
    #: newest accept number
    seq: int


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The kept counters of one inbound channel, day and flow (live or replay)."""

    day: str
    inbound: str
    #: "live" or "replay"
    flow: str
    stored: int = 0
    accepted: int = 0
    rejected: int = 0
    duplicate: int = 0
    #: accepted x routes
    route_results: int = 0
    queued: int = 0
    filtered: int = 0
    parked_at_step: int = 0
    created: int = 0
    #: deliveries by state value
    deliveries: Mapping[str, int] = field(default_factory=dict)
    discarded_bytes: int = 0
    refused_frames: int = 0

    def differences(self) -> tuple[str, ...]:
        """Return the equations that do not hold, in plain words; () is what must be."""
        equations = (
            (
                "stored = accepted + rejected + duplicate",
                self.stored,
                self.accepted + self.rejected + self.duplicate,
            ),
            (
                "accepted x routes = queued + filtered + parked-at-step",
                self.route_results,
                self.queued + self.filtered + self.parked_at_step,
            ),
            (
                "deliveries created = sum over delivery states",
                self.created,
                sum(self.deliveries.values()),
            ),
        )
        return tuple(
            f"{words}: {left} is not {right}" for words, left, right in equations if left != right
        )


@dataclass(frozen=True, slots=True)
class LedgerDifference:
    """A counter or an equation of the ledger that does not agree with the rows."""

    day: str
    inbound: str
    flow: str
    what: str


@dataclass(frozen=True, slots=True)
class StoredAttempt:
    """One try of a delivery with its number, from 1."""

    number: int
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Switch:
    """A channel an operator paused; survives restarts."""

    #: "inbound" or "outbound"
    kind: str
    channel: str
    at: float
    actor: str
    reason: str = ""
    #: 0.0: until resumed
    until: float = 0.0


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One line of the audit chain."""

    #: 0 on its way in; given by the chain
    seq: int
    at: float
    actor: str
    #: verb: requeue, show, pause, reload, …
    action: str
    #: what it was about: an id, a channel, a snapshot
    target: str = ""
    reason: str = ""
    operation_id: str = ""
    detail: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """Whether the audit chain is whole."""

    ok: bool
    #: records checked
    count: int
    #: first broken place, in plain words; "" when whole
    problem: str = ""
    #: to be compared with a copy kept elsewhere
    head: str = ""


@dataclass(frozen=True, slots=True)
class StoreAlarm:
    """Something of the store a person must look at; stays until the cause is gone."""

    #: stable code, documented in docs/errors.md
    code: str
    what: str
    where: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Retention:
    """How long things are kept, in seconds; None is for ever."""

    bodies_s: float | None = None
    metadata_s: float | None = None


@dataclass(frozen=True, slots=True)
class PruneReport:
    """What a prune did, or would do on a dry run."""

    bodies: tuple[str, ...] = ()
    days: tuple[str, ...] = ()
    #: days kept because they still owe: (day, what)
    owing: tuple[tuple[str, str], ...] = ()
    #: why nothing was done, "" otherwise
    stopped: str = ""
    #: bodies and days that are past their time too, for later runs
    left: int = 0


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """For the start-up line and ``status``."""

    #: "SQLite 3.53.4 (pysqlite3), WAL, FULL", or "memory"
    driver: str
    #: the last stop was not clean
    was_unclean: bool
    days: tuple[str, ...]
    size_bytes: int


def message_id_of(delivery_id: str) -> str:
    """Return the message id a delivery id begins with."""
    return delivery_id.partition(".")[0]


#: message states and delivery states share no word, so one filter serves both
MESSAGE_STATES = frozenset(state.value for state in MessageState)

#: what these were parked for does not go away by sending the same bytes
NEEDS_RERUN = frozenset(
    {ParkCode.STEP.value, ParkCode.LEAK.value, ParkCode.CHARSET.value, ParkCode.DAMAGED.value}
)
