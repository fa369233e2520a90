"""
What becomes of a delivery after a try: the reply table, as values; nothing here acts.

Rules of this file: one function per thing that can happen; each takes the delivery, what is
known about its tries, the channel's policy, the time and the dice, and returns a decision.
A try whose bytes may have reached the peer without a matching ack leaves `uncertain` behind, for
good: that a later try is refused or acked says nothing about the earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.delivery.policy import AckWanted, DeliveryPolicy
from engine.delivery.tries import Try
from engine.model.record import record
from engine.model.records import Attempt, DueDelivery, Park, Settlement
from engine.model.states import AttemptOutcome, DeliveryState, ParkCode

if TYPE_CHECKING:
    from engine.hl7.ack import Ack


@record(frozen=True, slots=True)
class Decision:
    """What to do now; a lane acts on it."""

    #: what to make durable; None while nothing changed
    settlement: Settlement | None = None
    #: the try goes on: the answer is still awaited
    keeps_waiting: bool = False
    #: the connection must not be used for another message
    closes: bool = False
    #: seconds before the next try, where there is one
    retry_in_s: float | None = None


KEEP_WAITING = Decision(keeps_waiting=True)


def is_ack_promised(promises: tuple[str, str]) -> bool:
    """
    Return whether the output asks for an ack when all goes well (MSH-15, MSH-16).

    Both empty is original mode, which always answers; in enhanced mode an empty field is NE.
    """
    return promises == ("", "") or not {"AL", "SU"}.isdisjoint(promises)


def decide_before_send(
    delivery: DueDelivery, token: int, policy: DeliveryPolicy, now: float
) -> Settlement | None:
    """Return how a delivery at the head is settled without a try; None when it is to be sent."""
    if policy.expire_after_s is not None and now - delivery.received_at > policy.expire_after_s:
        return Settlement(delivery.delivery_id, token, DeliveryState.EXPIRED)
    if delivery.commit_acked:
        park = Park(ParkCode.NO_APPLICATION_ACK, "the commit ack came, the application ack did not")
        return Settlement(
            delivery.delivery_id, token, DeliveryState.PARKED, park=park, on_park=policy.on_park
        )
    return None


def decide_on_ack(
    attempt: Try, ack: Ack, policy: DeliveryPolicy, now: float, dice: float, *, raw: bytes
) -> Decision:
    """
    Return what a matching ack means.

    Args:
        ack: its MSA-2 is the delivery's MSH-10; the caller has compared them.
        raw: the ack's bytes, for the record.
    """
    if ack.code in ("AA", "CA"):
        if ack.code == "CA" and policy.ack is AckWanted.APPLICATION:
            return Decision(
                Settlement(
                    attempt.delivery.delivery_id,
                    attempt.token,
                    DeliveryState.PENDING,
                    commit_acked=True,
                    due_at=attempt.delivery.due_at,
                ),
                keeps_waiting=True,
            )
        return Decision(_delivered(attempt, now, AttemptOutcome.ACKED, ack.code, raw))
    error = f" ({ack.error_code})" if ack.error_code else ""
    tried = _attempt(
        attempt, now, AttemptOutcome.NACK, f"answered {ack.code}{error}", ack.code, raw
    )
    tries = attempt.tries.plus(AttemptOutcome.NACK, now, ack.code, ack.error_code)
    rule = policy.rule_for(ack.code, ack.error_code)
    # Each rule has a budget of its own: what another rule was used up for says nothing here.
    count, first_at = tries.nacks_of(lambda *codes: policy.rule_for(*codes) == rule)
    # What the peer has taken over with a commit ack is never sent again.
    if attempt.is_commit_acked or policy.budget_of(rule).is_spent(count, now - first_at):
        reason = f"the receiver answered {ack.code}{error}, {_times(count)}"
        return Decision(_parked(attempt, policy, tried, ParkCode.NACK, reason, uncertain=None))
    return _retry(attempt, policy, tried, tries.nacks, now, dice, uncertain=None, closes=False)


def decide_on_garbage(
    attempt: Try, what: str, policy: DeliveryPolicy, now: float, dice: float, *, raw: bytes
) -> Decision:
    """Return what an answer means that is no ack: *what* says why, without its content."""
    return _no_answer(attempt, AttemptOutcome.GARBAGE, what, policy, now, dice, raw)


def decide_on_timeout(attempt: Try, policy: DeliveryPolicy, now: float, dice: float) -> Decision:
    """Return what silence means; the connection is closed, lest a late ack be mistaken."""
    if attempt.is_mismatched:
        what, outcome = "only acks of other messages came in time", AttemptOutcome.MISMATCH
    else:
        what, outcome = "no answer in time", AttemptOutcome.TIMEOUT
    return _no_answer(attempt, outcome, what, policy, now, dice, b"")


def decide_on_trouble(
    attempt: Try,
    outcome: AttemptOutcome,
    what: str,
    policy: DeliveryPolicy,
    now: float,
    dice: float,
    *,
    is_clean_close: bool = False,
) -> Decision:
    """
    Return what a refused or broken connection means: it is tried again, for ever.

    Args:
        outcome: REFUSED or BROKEN.
        is_clean_close: the peer closed in good order after it had the whole message.
    """
    parked = _decide_unresendable(attempt, outcome, policy, now, is_silent_end=is_clean_close)
    if parked is not None:
        return parked
    tried = _attempt(attempt, now, outcome, what)
    return _retry(
        attempt,
        policy,
        tried,
        attempt.tries.count + 1,
        now,
        dice,
        uncertain=attempt.is_sent or None,
        closes=True,
    )


def decide_on_written(attempt: Try, now: float) -> Decision:
    """Return what it means that all bytes were handed over where no ack is wanted."""
    return Decision(
        _delivered(attempt, now, AttemptOutcome.ACKED, "", b"", "written; no ack wanted")
    )


def decide_on_unwritable(attempt: Try, what: str, policy: DeliveryPolicy, now: float) -> Decision:
    """Return what it means that a file can never be written: a person is needed."""
    tried = _attempt(attempt, now, AttemptOutcome.REFUSED, what)
    return Decision(_parked(attempt, policy, tried, ParkCode.FILE, what, uncertain=None))


def decide_on_late_nack(
    delivery_id: str, token: int, ack: Ack, policy: DeliveryPolicy, now: float, *, raw: bytes
) -> Settlement | None:
    """Return how a late ack reopens an earlier delivery; None if it is positive."""
    if ack.code[1:] not in ("E", "R"):
        return None
    return Settlement(
        delivery_id,
        token,
        DeliveryState.PARKED,
        Attempt(now, 0.0, AttemptOutcome.NACK, ack.code, raw, "came late"),
        park=Park(ParkCode.LATE_NACK, f"the receiver answered {ack.code} after it was settled"),
        on_park=policy.on_park,
    )


def wait_before(delivery: DueDelivery, policy: DeliveryPolicy, now: float) -> float:
    """Return the seconds until a stored due time, capped: the clock may have been set back."""
    return min(max(delivery.due_at - now, 0.0), policy.backoff.max_s)


def _no_answer(
    attempt: Try,
    outcome: AttemptOutcome,
    what: str,
    policy: DeliveryPolicy,
    now: float,
    dice: float,
    raw: bytes,
) -> Decision:
    is_silence = outcome is not AttemptOutcome.GARBAGE
    parked = _decide_unresendable(attempt, outcome, policy, now, is_silent_end=is_silence)
    if parked is not None:
        return parked
    tried = _attempt(attempt, now, outcome, what, ack=raw)
    tries = attempt.tries.plus(outcome, now)
    if policy.on_timeout.is_spent(tries.silences, now - tries.first_silence_at):
        reason = f"{what}, {_times(tries.silences)}"
        settlement = _parked(attempt, policy, tried, ParkCode.TIMEOUT, reason, uncertain=True)
        return Decision(settlement, closes=True)
    return _retry(attempt, policy, tried, tries.count, now, dice, uncertain=True, closes=True)


def _decide_unresendable(
    attempt: Try,
    outcome: AttemptOutcome,
    policy: DeliveryPolicy,
    now: float,
    *,
    is_silent_end: bool,
) -> Decision | None:
    """Return the parking of what must not go out again although no final ack came."""
    if attempt.is_commit_acked:
        what, code = (
            "the commit ack came, the application ack did not",
            ParkCode.NO_APPLICATION_ACK,
        )
    elif attempt.is_sent and is_silent_end and not is_ack_promised(attempt.delivery.promises):
        what, code = (
            "MSH-15 and MSH-16 promise no ack and none came; write ack: none, or ask for one",
            ParkCode.NO_ACK_PROMISED,
        )
    else:
        return None
    tried = _attempt(attempt, now, outcome, what)
    uncertain = code is ParkCode.NO_ACK_PROMISED
    return Decision(_parked(attempt, policy, tried, code, what, uncertain=uncertain), closes=True)


def _attempt(
    attempt: Try,
    now: float,
    outcome: AttemptOutcome,
    detail: str,
    code: str = "",
    ack: bytes = b"",
) -> Attempt:
    took_s = max(now - attempt.started_at, 0.0)
    return Attempt(attempt.started_at, took_s, outcome, code, ack, detail)


def _delivered(
    attempt: Try, now: float, outcome: AttemptOutcome, code: str, raw: bytes, detail: str = ""
) -> Settlement:
    return Settlement(
        attempt.delivery.delivery_id,
        attempt.token,
        DeliveryState.DELIVERED,
        _attempt(attempt, now, outcome, detail, code, raw),
    )


def _parked(
    attempt: Try,
    policy: DeliveryPolicy,
    tried: Attempt,
    code: ParkCode,
    reason: str,
    *,
    uncertain: bool | None,
) -> Settlement:
    return Settlement(
        attempt.delivery.delivery_id,
        attempt.token,
        DeliveryState.PARKED,
        tried,
        uncertain=uncertain,
        park=Park(code, reason),
        on_park=policy.on_park,
    )


def _retry(
    attempt: Try,
    policy: DeliveryPolicy,
    tried: Attempt,
    failed: int,
    now: float,
    dice: float,
    *,
    uncertain: bool | None,
    closes: bool,
) -> Decision:
    wait_s = policy.backoff.wait_s(failed, dice)
    settlement = Settlement(
        attempt.delivery.delivery_id,
        attempt.token,
        DeliveryState.PENDING,
        tried,
        due_at=now + wait_s,
        uncertain=uncertain,
    )
    return Decision(settlement, closes=closes, retry_in_s=wait_s)


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count:,} times")
