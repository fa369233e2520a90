"""The reply table of an outbound channel, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from engine.delivery.policy import AckWanted, DeliveryPolicy
from engine.delivery.settlement import (
    Decision,
    decide_before_send,
    decide_on_ack,
    decide_on_garbage,
    decide_on_late_nack,
    decide_on_timeout,
    decide_on_trouble,
    decide_on_written,
    is_ack_promised,
    wait_before,
)
from engine.delivery.tries import NO_TRIES, Tries, Try, tries_of
from engine.model.records import Attempt, DueDelivery, Settlement
from engine.model.retry import Backoff, RetryBudget
from engine.model.states import AttemptOutcome, DeliveryState, ParkCode

NOW = 1_793_500_200.0
POLICY = DeliveryPolicy(backoff=Backoff(first_s=1.0, factor=2.0, max_s=300.0))
DELIVERY = DueDelivery(
    delivery_id="20261121-1.1",
    seq=1,
    number=1,
    outbound="lis",
    route="adt_to_lis",
    inbound="his_adt",
    body=b"MSH|^~\\&|A|B|C|D|20261121||ADT^A01|X1|P|2.5\r",
    control_id="X1",
    promises=("", ""),
    order_keys=(),
    file_name="",
    received_at=NOW - 10,
    due_at=0.0,
    attempts=0,
)
SENT = Try(DELIVERY, token=7, tries=NO_TRIES, started_at=NOW - 1, is_sent=True)


@dataclass(frozen=True)
class FakeAck:
    """The three facts that a decision reads."""

    code: str
    control_id_bytes: bytes = b"X1"
    error_code: str = ""


def on_ack(
    code: str, attempt: Try = SENT, policy: DeliveryPolicy = POLICY, error_code: str = ""
) -> Decision:
    """Decide about a matching ack of *code*."""
    ack: Any = FakeAck(code, error_code=error_code)
    return decide_on_ack(attempt, ack, policy, NOW, 0.0, raw=b"MSA|" + code.encode())


def settled(decision: Decision) -> Settlement:
    """Return the settlement, which must be there."""
    assert decision.settlement is not None
    return decision.settlement


def nacked(times: int, since_s: float = 0.0) -> Try:
    """Return a try after *times* answers AE and as many AR, the first *since_s* ago."""
    found = (times, NOW - since_s)
    by_code = {("AE", ""): found, ("AR", ""): found} if times else {}
    return replace(SENT, tries=Tries(count=times, nacks=times, by_code=by_code))


@pytest.mark.parametrize("code", ["AA", "CA"])
@pytest.mark.parametrize("ack", [AckWanted.ANY, AckWanted.ORIGINAL])
def test_the_first_positive_ack_delivers(code: str, ack: AckWanted) -> None:
    """A matching AA or CA is the end of a delivery, with the ack kept as evidence."""
    decision = on_ack(code, policy=replace(POLICY, ack=ack))
    settlement = settled(decision)
    assert settlement.state is DeliveryState.DELIVERED
    assert settlement.token == 7
    assert settlement.attempt == Attempt(
        NOW - 1, 1.0, AttemptOutcome.ACKED, code, b"MSA|" + code.encode(), ""
    )
    assert not decision.closes
    assert not decision.keeps_waiting


def test_a_commit_ack_is_noted_where_the_application_ack_is_wanted() -> None:
    """With ack: application a CA is stored as seen, and the answer is still awaited."""
    decision = on_ack("CA", policy=replace(POLICY, ack=AckWanted.APPLICATION))
    assert decision.keeps_waiting
    assert settled(decision).state is DeliveryState.PENDING
    assert settled(decision).commit_acked is True
    assert settled(decision).attempt is None
    final = on_ack("AA", policy=replace(POLICY, ack=AckWanted.APPLICATION))
    assert settled(final).state is DeliveryState.DELIVERED


@pytest.mark.parametrize("how", ["timeout", "broken", "next start"])
def test_what_the_peer_has_taken_over_is_never_sent_again(how: str) -> None:
    """After a CA, no application ack in time parks no_application_ack, however it ends."""
    policy = replace(POLICY, ack=AckWanted.APPLICATION)
    attempt = replace(SENT, is_commit_acked=True)
    if how == "timeout":
        settlement = settled(decide_on_timeout(attempt, policy, NOW, 0.0))
    elif how == "broken":
        settlement = settled(
            decide_on_trouble(attempt, AttemptOutcome.BROKEN, "reset", policy, NOW, 0.0)
        )
    else:
        found = decide_before_send(replace(DELIVERY, commit_acked=True), 7, policy, NOW)
        assert found is not None
        settlement = found
    assert settlement.state is DeliveryState.PARKED
    assert settlement.park is not None
    assert settlement.park.code is ParkCode.NO_APPLICATION_ACK


def test_a_refusal_after_the_commit_ack_parks() -> None:
    """After a CA even an AE with budget left is parked: what was taken over is not resent."""
    attempt = replace(SENT, is_commit_acked=True)
    settlement = settled(on_ack("AE", attempt, replace(POLICY, ack=AckWanted.APPLICATION)))
    assert settlement.state is DeliveryState.PARKED
    assert settlement.park is not None
    assert settlement.park.code is ParkCode.NACK


@pytest.mark.parametrize("code", ["AE", "CE"])
def test_an_error_is_tried_again_ten_times(code: str) -> None:
    """AE and CE get ten further attempts with growing waits, then a person is needed."""
    first = on_ack(code)
    assert settled(first).state is DeliveryState.PENDING
    assert settled(first).due_at == NOW + 1.0
    assert first.retry_in_s == 1.0
    assert not first.closes
    tenth = on_ack(code, nacked(9))
    assert settled(tenth).state is DeliveryState.PENDING
    assert tenth.retry_in_s == 300.0
    eleventh = on_ack(code, nacked(10))
    assert settled(eleventh).state is DeliveryState.PARKED
    assert settled(eleventh).park is not None
    assert "11 times" in str(settled(eleventh).park)


def test_an_error_is_tried_again_for_half_an_hour() -> None:
    """The time since the first AE ends the retries as well."""
    assert settled(on_ack("AE", nacked(2, 1799.0))).state is DeliveryState.PENDING
    assert settled(on_ack("AE", nacked(2, 1800.0))).state is DeliveryState.PARKED


def test_an_outage_does_not_use_up_the_budget_for_errors() -> None:
    """After a night of refused connections the first AE still has its retries."""
    tries = Tries(count=500)
    decision = on_ack("AE", replace(SENT, tries=tries))
    assert settled(decision).state is DeliveryState.PENDING


@pytest.mark.parametrize("code", ["AR", "CR"])
def test_a_reject_parks_at_once(code: str) -> None:
    """AR and CR are not tried again; followers are treated as on_park says."""
    decision = on_ack(code, policy=replace(POLICY, on_park="hold_key"))
    settlement = settled(decision)
    assert settlement.state is DeliveryState.PARKED
    assert settlement.on_park == "hold_key"
    assert settlement.park is not None
    assert settlement.park.code is ParkCode.NACK
    assert settlement.attempt is not None
    assert settlement.attempt.outcome is AttemptOutcome.NACK
    assert settlement.uncertain is None


@pytest.mark.parametrize("code", ["AE", "AR", "AA"])
def test_an_answer_to_a_later_try_makes_no_earlier_one_certain(code: str) -> None:
    """What may have got through without an answer stays flagged, whatever the next try hears."""
    assert settled(on_ack(code)).uncertain is None


@pytest.mark.parametrize(
    ("code", "error_code", "state"),
    [
        ("AR", "207", DeliveryState.PENDING),
        ("CR", "207", DeliveryState.PENDING),
        ("AR", "204", DeliveryState.PARKED),
        ("AR", "", DeliveryState.PARKED),
        ("AE", "207", DeliveryState.PENDING),
        ("CE", "", DeliveryState.PARKED),
    ],
)
def test_the_most_exact_entry_of_on_ack_wins(
    code: str, error_code: str, state: DeliveryState
) -> None:
    """AR/207 is looked at before AR, CE before AE; what is not named keeps its default."""
    policy = replace(
        POLICY,
        on_ack={
            "AR/207": RetryBudget(attempts=5),
            "AR": RetryBudget(attempts=0),
            "CE": RetryBudget(attempts=0),
        },
    )
    assert settled(on_ack(code, policy=policy, error_code=error_code)).state is state


def test_silence_is_tried_again_over_a_new_connection() -> None:
    """A timeout always closes, marks uncertain and tries the same delivery again."""
    decision = decide_on_timeout(SENT, POLICY, NOW, 0.0)
    assert decision.closes
    assert decision.retry_in_s == 1.0
    settlement = settled(decision)
    assert settlement.state is DeliveryState.PENDING
    assert settlement.uncertain is True
    assert settlement.attempt is not None
    assert settlement.attempt.outcome is AttemptOutcome.TIMEOUT


def test_a_timeout_budget_parks() -> None:
    """on_timeout: {retry: 20, then: park} means 20 further attempts after the first."""
    policy = replace(POLICY, on_timeout=RetryBudget(attempts=20))
    late = replace(SENT, tries=Tries(count=30, silences=19, first_silence_at=NOW))
    assert settled(decide_on_timeout(late, policy, NOW, 0.0)).state is DeliveryState.PENDING
    last = replace(SENT, tries=Tries(count=30, silences=20, first_silence_at=NOW))
    decision = decide_on_timeout(last, policy, NOW, 0.0)
    assert settled(decision).state is DeliveryState.PARKED
    assert settled(decision).uncertain is True
    assert settled(decision).park is not None
    assert decision.closes


def test_acks_of_others_only_are_recorded_as_mismatch() -> None:
    """A timeout during which only other messages' acks came is told as such."""
    decision = decide_on_timeout(replace(SENT, is_mismatched=True), POLICY, NOW, 0.0)
    assert settled(decision).attempt is not None
    assert settled(decision).attempt.outcome is AttemptOutcome.MISMATCH  # type: ignore[union-attr]


def test_garbage_closes_and_is_tried_again() -> None:
    """An unreadable answer proves nothing: uncertain, new connection, same bytes."""
    decision = decide_on_garbage(SENT, "no MSA in the answer", POLICY, NOW, 0.0, raw=b"junk")
    settlement = settled(decision)
    assert decision.closes
    assert settlement.state is DeliveryState.PENDING
    assert settlement.uncertain is True
    assert settlement.attempt is not None
    assert settlement.attempt.outcome is AttemptOutcome.GARBAGE
    assert settlement.attempt.ack == b"junk"


@pytest.mark.parametrize("is_sent", [False, True])
def test_connection_trouble_is_retried_for_ever(is_sent: bool) -> None:
    """Refused and reset connections are tried again without a budget."""
    attempt = replace(SENT, is_sent=is_sent, tries=Tries(count=10_000))
    outcome = AttemptOutcome.BROKEN if is_sent else AttemptOutcome.REFUSED
    decision = decide_on_trouble(attempt, outcome, "reset", POLICY, NOW, 1.0)
    assert settled(decision).state is DeliveryState.PENDING
    assert decision.retry_in_s == 225.0
    assert settled(decision).uncertain is (True if is_sent else None)


@pytest.mark.parametrize(
    ("promises", "promised"),
    [
        (("", ""), True),
        (("AL", "NE"), True),
        (("NE", "AL"), True),
        (("", "SU"), True),
        (("NE", "NE"), False),
        (("NE", ""), False),
        (("ER", "NE"), False),
        (("ER", "ER"), False),
    ],
)
def test_what_msh_15_and_16_promise(promises: tuple[str, str], promised: bool) -> None:
    """Only AL and SU promise an answer to what went well; both empty is original mode."""
    assert is_ack_promised(promises) is promised


def test_no_ack_promised_and_none_came() -> None:
    """Silence after NE/NE parks instead of sending twice; an ack that comes decides."""
    attempt = replace(SENT, delivery=replace(DELIVERY, promises=("NE", "NE")))
    for decision in (
        decide_on_timeout(attempt, POLICY, NOW, 0.0),
        decide_on_trouble(
            attempt, AttemptOutcome.BROKEN, "closed", POLICY, NOW, 0.0, is_clean_close=True
        ),
    ):
        settlement = settled(decision)
        assert settlement.state is DeliveryState.PARKED
        assert settlement.park is not None
        assert settlement.park.code is ParkCode.NO_ACK_PROMISED
        assert settlement.uncertain is True
    assert settled(on_ack("AA", attempt)).state is DeliveryState.DELIVERED
    reset = decide_on_trouble(attempt, AttemptOutcome.BROKEN, "reset", POLICY, NOW, 0.0)
    assert settled(reset).state is DeliveryState.PENDING


def test_written_is_delivered_where_no_ack_is_wanted() -> None:
    """With ack: none a delivery ends when its bytes are handed over."""
    assert settled(decide_on_written(SENT, NOW)).state is DeliveryState.DELIVERED


@pytest.mark.parametrize(("code", "is_parked"), [("AE", True), ("CR", True), ("AA", False)])
def test_a_late_nack_reopens(code: str, is_parked: bool) -> None:
    """A refusal that comes after the settlement parks late_nack; a late AA changes nothing."""
    ack: Any = FakeAck(code)
    settlement = decide_on_late_nack("20261121-1.1", 7, ack, POLICY, NOW, raw=b"x")
    assert (settlement is not None) is is_parked
    if settlement is not None:
        assert settlement.state is DeliveryState.PARKED
        assert settlement.park is not None
        assert settlement.park.code is ParkCode.LATE_NACK


def test_expiry_is_decided_at_the_head() -> None:
    """What waited longer than expire_after is not sent any more."""
    policy = replace(POLICY, expire_after_s=10.0)
    assert decide_before_send(DELIVERY, 7, policy, NOW) is None
    settlement = decide_before_send(DELIVERY, 7, policy, NOW + 0.5)
    assert settlement is not None
    assert settlement.state is DeliveryState.EXPIRED


def test_a_stored_due_time_is_capped() -> None:
    """After the clock was set back a year, a lane waits five minutes, not a year."""
    assert wait_before(replace(DELIVERY, due_at=NOW + 3e7), POLICY, NOW) == 300.0
    assert wait_before(replace(DELIVERY, due_at=NOW - 5), POLICY, NOW) == 0.0
    assert wait_before(replace(DELIVERY, due_at=NOW + 5), POLICY, NOW) == 5.0


def test_stored_attempts_give_the_budgets_back_after_a_restart() -> None:
    """Nacks and silences are counted apart, each from its own first time."""
    attempts = [
        Attempt(1.0, 0.1, AttemptOutcome.REFUSED),
        Attempt(2.0, 0.1, AttemptOutcome.NACK, "AE"),
        Attempt(3.0, 0.1, AttemptOutcome.TIMEOUT),
        Attempt(4.0, 0.1, AttemptOutcome.NACK, "AE"),
    ]
    tries = Tries(4, 2, {("AE", ""): (2, 2.0)}, 1, 3.0, AttemptOutcome.NACK)
    assert tries_of(attempts) == tries


def test_each_rule_of_on_ack_has_a_budget_of_its_own() -> None:
    """Answers under another entry use nothing up; AE and CE under one entry share it."""
    rules = {"AE": RetryBudget(3), "AE/207": RetryBudget(2), "AR": RetryBudget(0)}
    policy = replace(POLICY, on_ack=rules)
    answers = ["AE", "AE/207", "CE", "AE/207", "AE", "AE/207"]
    ends = []
    tries = NO_TRIES
    for number, answer in enumerate(answers):
        code, _, error_code = answer.partition("/")
        decision = on_ack(code, replace(SENT, tries=tries), policy, error_code)
        ends.append(settled(decision).state)
        tries = tries.plus(AttemptOutcome.NACK, NOW + number, code, error_code)
    assert ends == [DeliveryState.PENDING] * 5 + [DeliveryState.PARKED]
    assert settled(decision).park is not None
    assert settled(decision).park.reason == "the receiver answered AE (207), 3 times"


def test_a_stored_nack_counts_under_its_error_code() -> None:
    """After a restart the budget of AR/207 goes on where it was."""
    ack = b"MSH|^~\\&|L|L|H|H|20261121||ACK|R1|P|2.5\rMSA|AR|X1\rERR|||207^x\r"
    attempts = [Attempt(float(at), 0.1, AttemptOutcome.NACK, "AR", ack) for at in (2, 3)]
    assert tries_of(attempts).by_code == {("AR", "207"): (2, 2.0)}
