"""A receiver in changing moods: it refuses, is silent, hangs up, answers late or for another."""

from __future__ import annotations

import random
import threading
import time

from tests.torture.ledger import Ledger, digest
from tests.torture.order import MAYBE_TAKEN, TAKEN
from tests.torture.wire import PeerClosed, Wire, field, make_ack

#: what the site of the mix waits for an ack
TIMEOUT_S = 1.0
REFUSED = "refused"


def take(wire: Wire, body: bytes) -> None:
    """Answer AA."""
    wire.send(make_ack(body))


def reject(wire: Wire, body: bytes) -> None:
    """Answer AR: parked at once."""
    wire.send(make_ack(body, b"AR"))


def fail(wire: Wire, body: bytes) -> None:
    """Answer AE: tried once more, then parked."""
    wire.send(make_ack(body, b"AE"))


def hang_up(wire: Wire, body: bytes) -> None:
    """Close without an answer."""
    raise PeerClosed("in no mood")


def keep_silent(wire: Wire, body: bytes) -> None:
    """Answer nothing."""


def babble(wire: Wire, body: bytes) -> None:
    """Answer something that is no ack."""
    wire.send(b"garbage")


def mistake(wire: Wire, body: bytes) -> None:
    """Answer for a message that never was, then for this one."""
    wire.send(make_ack(body, control_id=b"NOPE"))
    wire.send(make_ack(body))


def stutter(wire: Wire, body: bytes) -> None:
    """Answer twice."""
    wire.send(make_ack(body))
    wire.send(make_ack(body))


def dawdle(wire: Wire, body: bytes) -> None:
    """Answer about when the time is over."""
    threading.Event().wait(TIMEOUT_S * (0.5 + (digest(body) < "8")))
    wire.send(make_ack(body))


#: mood, of a hundred messages so many, and what the ledger says of it
MOODS = (
    (take, 77, TAKEN),
    (reject, 6, REFUSED),
    (fail, 6, REFUSED),
    (hang_up, 2, REFUSED),
    (keep_silent, 1, REFUSED),
    (babble, 1, REFUSED),
    (mistake, 2, MAYBE_TAKEN),
    (stutter, 2, MAYBE_TAKEN),
    (dawdle, 3, MAYBE_TAKEN),
)


class Moody:
    """The script of a receiver; writes each arrival and what it will do with it to its ledger."""

    def __init__(self, ledger: Ledger, seed: str, *, is_calm: bool = False) -> None:
        self.is_calm = is_calm
        self._ledger = ledger
        self._dice = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, wire: Wire, body: bytes, number: int) -> None:
        """Note the message, then answer as the mood is."""
        with self._lock:
            weights = [share for _, share, _ in MOODS]
            mood, _, outcome = MOODS[0] if self.is_calm else self._dice.choices(MOODS, weights)[0]
            self._ledger.write(
                id=field(body, b"MSH", 10).decode(),
                sha256=digest(body),
                outcome=outcome,
                at=time.time(),
            )
        mood(wire, body)
