"""What a lane is handed: a sender, its siblings, and the outside."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from engine.delivery.settlement import Decision
from engine.delivery.tries import Try
from engine.model.clock import Clock
from engine.model.errors import Fenced, MedbusError, NotFound
from engine.model.records import DueDelivery, Settlement
from engine.model.states import AttemptOutcome
from engine.store.records import Settled

#: what a try is told to have ended with that was not waited for
CUT_OFF = "cut off: the channel ends or changes"
#: seconds between two looks whether a peer that could not be reached is back
PROBE_EVERY_S = 5.0
#: seconds before a store that is full, or cannot be read, is asked again
FULL_WAIT_S = 1.0
TROUBLE = frozenset({AttemptOutcome.REFUSED, AttemptOutcome.BROKEN})
#: the file of that day is set aside: nothing of it can be settled
_SET_ASIDE = "STO-002"


def is_put_off(result: object) -> bool:
    """
    Return whether the store may take the settlement it has just refused.

    It is full, busy, or cannot say why; the delivery itself must not go out again for that.
    """
    return (
        isinstance(result, MedbusError)
        and not isinstance(result, (Fenced, NotFound))
        and result.code != _SET_ASIDE
    )


class Sender(Protocol):
    """How a lane gets one delivery to its receiver."""

    def send(self, attempt: Try, done: Callable[[Decision], None]) -> None:
        """Try once; *done* is called once, never from within."""
        ...

    def probe(self, done: Callable[[bool], None]) -> None:
        """See whether the receiver can be reached, without sending anything."""
        ...

    def cut_off(self) -> None:
        """End the try in flight with a decision, now: the receiver may have it."""
        ...

    def stop(self) -> None:
        """Close; a try in flight ends without a decision."""
        ...


class Group(Protocol):
    """The other lanes of the channel, as far as one lane needs them."""

    def may_go(self, lane: int, delivery: DueDelivery) -> bool:
        """Say that *lane* has reached *delivery*; return whether it may send it now."""
        ...

    def is_gone(self, delivery: DueDelivery) -> bool:
        """Return whether another lane has settled it already."""
        ...

    def settled(self, delivery: DueDelivery, settlement: Settlement, settled: Settled) -> None:
        """Hear of a committed settlement."""
        ...

    def rate_wait_s(self) -> float:
        """Take a place in the rate, and return the seconds until it."""
        ...


@dataclass(frozen=True, slots=True)
class LaneSeams:
    """What a lane is handed."""

    #: Twisted's clock: callLater
    reactor: Any
    clock: Clock
    #: 0.0 up to 1.0, for the jitter of waits
    dice: Callable[[], float]
    #: the writer's submit
    submit: Callable[[Any, Callable[[Any], None]], None]
    #: runs a function of the store elsewhere than on the loop, then done with its result or error
    read: Callable[[Callable[[Any], Any], Callable[[Any], None]], None]


class LaneState(StrEnum):
    """What a lane is doing, for status."""

    IDLE = "idle"
    SENDING = "sending"
    SETTLING = "settling"
    WAITING = "waiting"
    MEETING = "meeting"
    PAUSED = "paused"
    HALTED = "halted"
    STOPPED = "stopped"
