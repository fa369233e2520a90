"""What an outbound channel wants done with replies, silence and trouble; values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.model.retry import ON_NACK, Backoff, RetryBudget

UNLIMITED = RetryBudget()


class AckWanted(StrEnum):
    """Which ack settles a delivery."""

    #: the matching commit or application ack that comes first
    ANY = "any"
    #: a commit ack is noted, the application ack settles
    APPLICATION = "application"
    #: as any; the pipeline has emptied MSH-15 and MSH-16
    ORIGINAL = "original"
    #: what was written is delivered
    NONE = "none"


@dataclass(frozen=True, slots=True)
class DeliveryPolicy:
    """One outbound channel's choices, as DESIGN 2.1 names them."""

    ack: AckWanted = AckWanted.ANY
    backoff: Backoff = field(default_factory=Backoff)
    #: no answer, or none that can be read
    on_timeout: RetryBudget = UNLIMITED
    #: by verdict (AE, AR, CE, CR) or verdict/ERR-3 code (AR/207)
    on_ack: Mapping[str, RetryBudget] = field(default_factory=lambda: ON_NACK)
    #: hold_key, continue or halt
    on_park: str = "continue"
    #: None is never
    expire_after_s: float | None = None
    #: deliveries per second over all lanes; None is unlimited
    rate_per_s: float | None = None
    #: sends of a lane that may be ahead of their committed settlement
    settle_window: int = 1

    def rule_for(self, code: str, error_code: str) -> str:
        """
        Return which entry of on_ack a negative ack falls under.

        The most exact one wins; CE and CR follow AE and AR where they have none of their own.
        """
        plain = "A" + code[1:]
        for key in (f"{code}/{error_code}", f"{plain}/{error_code}", code):
            if key in self.on_ack:
                return key
        return plain

    def budget_of(self, rule: str) -> RetryBudget:
        """Return how often the nacks of a rule are answered with another try."""
        return self.on_ack[rule] if rule in self.on_ack else ON_NACK[rule]
