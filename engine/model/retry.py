"""How long to wait before trying again: arithmetic only, no clock, no dice of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with jitter; all in seconds."""

    first_s: float = 1.0
    factor: float = 2.0
    max_s: float = 300.0

    def wait_s(self, attempt: int, dice: float) -> float:
        """
        Return the seconds to wait after failed attempt number *attempt*.

        Args:
            attempt: 1 for the first try that failed.
            dice: 0.0 up to 1.0; takes up to a quarter off, so that peers do not march in step.
        """
        exponent = min(max(attempt, 1) - 1, 64)
        whole = min(self.first_s * self.factor**exponent, self.max_s)
        return whole * (1.0 - 0.25 * dice)


@dataclass(frozen=True, slots=True)
class RetryBudget:
    """How often and how long a kind of failure is retried before the delivery is parked."""

    #: further attempts after the first; None is unlimited
    attempts: int | None = None
    #: seconds since the first failure; None is unlimited
    for_s: float | None = None

    def is_spent(self, attempts_made: int, since_first_s: float) -> bool:
        """Return whether no further attempt is allowed after *attempts_made* tries."""
        if self.attempts is not None and attempts_made > self.attempts:
            return True
        return self.for_s is not None and since_first_s >= self.for_s


#: what a negative ack means where a channel says nothing: AE is tried again, AR is not.
#: CE and CR are treated as these.
ON_NACK: Mapping[str, RetryBudget] = MappingProxyType(
    {"AE": RetryBudget(attempts=10, for_s=1800.0), "AR": RetryBudget(attempts=0)}
)
