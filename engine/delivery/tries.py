"""
The tries of a delivery: the one in progress, and what the budgets need to know of earlier ones.

Rules of this file: values only; what a try's end means is decided in settlement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from engine.delivery.ack_reader import read_ack
from engine.hl7.errors import Hl7Error
from engine.model.records import Attempt, DueDelivery
from engine.model.states import AttemptOutcome

_NO_ANSWER = frozenset({AttemptOutcome.TIMEOUT, AttemptOutcome.MISMATCH, AttemptOutcome.GARBAGE})


@dataclass(frozen=True, slots=True)
class Tries:
    """What the budgets need to know of the tries a delivery has had since it was queued."""

    #: all tries, for the back-off
    count: int = 0
    nacks: int = 0
    #: by ack code and ERR-3 code: how many nacks, and when the first of them came
    by_code: Mapping[tuple[str, str], tuple[int, float]] = field(default_factory=dict)
    #: tries without a usable answer
    silences: int = 0
    first_silence_at: float = 0.0
    #: how the last one ended
    last: AttemptOutcome | None = None

    def plus(
        self, outcome: AttemptOutcome, at: float, code: str = "", error_code: str = ""
    ) -> Tries:
        """Return the tries with one more in it; the codes are those of a nack."""
        is_nack = outcome is AttemptOutcome.NACK
        is_silence = outcome in _NO_ANSWER
        by_code = self.by_code
        if is_nack:
            count, first_at = by_code.get((code, error_code), (0, at))
            by_code = {**by_code, (code, error_code): (count + 1, first_at)}
        return Tries(
            self.count + 1,
            self.nacks + is_nack,
            by_code,
            self.silences + is_silence,
            at if is_silence and not self.silences else self.first_silence_at,
            outcome,
        )

    def plus_stored(self, attempt: Attempt) -> Tries:
        """Return the tries with one more in it, as its record tells it."""
        error_code = ""
        if attempt.outcome is AttemptOutcome.NACK:
            error_code = _error_code_of(attempt.ack)
        return self.plus(attempt.outcome, attempt.at, attempt.code, error_code)

    def nacks_of(self, is_meant: Callable[[str, str], bool]) -> tuple[int, float]:
        """Return how many nacks have codes that *is_meant* takes, and when the first came."""
        meant = [found for codes, found in self.by_code.items() if is_meant(*codes)]
        return sum(count for count, _ in meant), min((at for _, at in meant), default=0.0)


NO_TRIES = Tries()


def tries_of(attempts: Iterable[Attempt]) -> Tries:
    """Return what stored attempts amount to, oldest first."""
    tries = NO_TRIES
    for attempt in attempts:
        tries = tries.plus_stored(attempt)
    return tries


@dataclass(slots=True)
class Try:
    """One try in progress, the only thing here that changes; its sender notes what happens."""

    delivery: DueDelivery
    token: int
    tries: Tries
    started_at: float
    #: whether the other side may have the bytes
    is_sent: bool = False
    #: an ack of another message came meanwhile
    is_mismatched: bool = False
    #: the commit ack was seen, in this try or an earlier one
    is_commit_acked: bool = False


def _error_code_of(ack: bytes) -> str:
    """Return ERR-3 of a stored ack; "" where its bytes are gone by now."""
    try:
        return read_ack(ack).error_code
    except Hl7Error:
        return ""
