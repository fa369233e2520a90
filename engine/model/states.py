"""
The states of messages, route results and deliveries, and which moves are allowed.

Rules of this file: an enum, a transition table; the CHECKs of the store schema are
generated from the enums here, so that the three cannot disagree.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum

from engine.hl7.ack import AckLevel as AckLevel
from engine.hl7.ack import Verdict as Verdict


class MessageState(StrEnum):
    """What became of a frame; decided once, at accept."""

    #: positive ack given after the commit; its deliveries are owed
    ACCEPTED = "accepted"
    #: negative ack given; kept with its bytes, owes nothing
    REJECTED = "rejected"
    #: same message again within the window; points to the first, its ack repeated
    DUPLICATE = "duplicate"


class RouteOutcome(StrEnum):
    """What a route did with one accepted message; exactly one per route of its channel."""

    #: at least one output was made
    QUEUED = "queued"
    #: the route did not want it; a reason is kept
    FILTERED = "filtered"
    #: a step failed; one parked delivery per outbound channel stands for it
    PARKED = "parked"


class DeliveryState(StrEnum):
    """The life of one output for one outbound channel."""

    #: waits for its turn or its next try (due_at); its lane moves it next
    PENDING = "pending"
    #: acknowledged at the level asked for; final
    DELIVERED = "delivered"
    #: needs a person; the operator moves it: requeue, release, cancel
    PARKED = "parked"
    #: an earlier unreleased parked delivery shares an order key; moves by itself
    HELD = "held"
    #: taken out by an operator or replaced by a rerun; final
    CANCELLED = "cancelled"
    #: its expire_after, or its sender's wait, ran out; final
    EXPIRED = "expired"


TRANSITIONS: dict[DeliveryState, frozenset[DeliveryState]] = {
    DeliveryState.PENDING: frozenset(
        {
            DeliveryState.PENDING,
            DeliveryState.DELIVERED,
            DeliveryState.PARKED,
            DeliveryState.HELD,
            DeliveryState.CANCELLED,
            DeliveryState.EXPIRED,
        }
    ),
    # A late negative ack reopens a delivery that a peer had taken (park code late_nack).
    DeliveryState.DELIVERED: frozenset({DeliveryState.PARKED}),
    DeliveryState.PARKED: frozenset(
        {DeliveryState.PENDING, DeliveryState.PARKED, DeliveryState.CANCELLED}
    ),
    DeliveryState.HELD: frozenset(
        {DeliveryState.PENDING, DeliveryState.CANCELLED, DeliveryState.EXPIRED}
    ),
    DeliveryState.CANCELLED: frozenset(),
    DeliveryState.EXPIRED: frozenset(),
}

FINAL_STATES = frozenset({DeliveryState.DELIVERED, DeliveryState.CANCELLED, DeliveryState.EXPIRED})

#: final, and not delivered: a try that was under way may still tell how it ended
TAKEN_OUT = frozenset({DeliveryState.CANCELLED, DeliveryState.EXPIRED})


class ParkCode(StrEnum):
    """Why a delivery needs a person."""

    #: the receiver refused it (AR/CR, or AE/CE until the budget was used up)
    NACK = "nack"
    #: a step of the route failed; there is no body
    STEP = "step"
    #: an identifier of the original was found in a de-identified output; never sendable
    LEAK = "leak"
    #: no answer in time, and on_timeout says park
    TIMEOUT = "timeout"
    #: taken first, refused later
    LATE_NACK = "late_nack"
    #: the commit ack came, the application ack did not
    NO_APPLICATION_ACK = "no_application_ack"
    #: MSH-15/16 of the output promise no ack, and none came
    NO_ACK_PROMISED = "no_ack_promised"
    #: the output cannot be written in the outbound channel's character set
    CHARSET = "charset"
    #: the stored bytes could not be opened or read
    DAMAGED = "damaged"
    #: a file delivery failed in a way that a retry does not mend
    FILE = "file"


class AttemptOutcome(StrEnum):
    """How one try to deliver ended."""

    #: the receiver took it (a positive ack, or for files: written)
    ACKED = "acked"
    #: the receiver answered with a negative ack (AE, AR, CE, CR)
    NACK = "nack"
    #: no answer came in time; the receiver may or may not have it
    TIMEOUT = "timeout"
    #: there was no connection, or the file could not be written: nothing was sent
    REFUSED = "refused"
    #: the connection ended before the answer came; the receiver may or may not have it
    BROKEN = "broken"
    #: only acks for other messages came in time (MSA-2 is not our MSH-10)
    MISMATCH = "mismatch"
    #: what came back is not a readable ack
    GARBAGE = "garbage"


def is_allowed(before: DeliveryState, after: DeliveryState) -> bool:
    """Return whether a delivery may go from *before* to *after*."""
    return after in TRANSITIONS[before]


NEGATIVE_ACKS = frozenset({"AE", "AR", "CE", "CR"})


def is_over_undelivered(states: Collection[DeliveryState]) -> bool:
    """Return whether a message with deliveries in *states* owes nothing, yet is not delivered."""
    return FINAL_STATES.issuperset(states) and set(states) != {DeliveryState.DELIVERED}
