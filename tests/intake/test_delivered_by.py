"""Acks that wait for a delivery."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from engine.intake.policy import AckWhen, DeliveredBy
from engine.model.states import DeliveryState
from tests.support.intake import HandReply, IntakeBench, acceptance_for

ADT = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A01|%s|P|2.5\rPID|1||4711^^^H^MR\r"
ANSWER = b"MSH|^~\\&|LIS|L|HIS|H|20261121||RSP^K22|R1|P|2.5\rMSA|AA|X1\rQAK|1|OK\r"


def make(**choices: Any) -> IntakeBench:
    """Return a channel whose ack waits for lis."""
    return IntakeBench(ack=AckWhen.DELIVERED_BY, delivered_by=DeliveredBy("lis", **choices))


def settle(bench: IntakeBench, state: DeliveryState, delivery: str = "20261121-1.1") -> None:
    """Have a delivery settled."""
    bench.channel.delivery_settled(delivery, state, ANSWER, "adt_to_lis")


def code(reply: HandReply) -> str:
    """Return MSA-1."""
    return reply.field("MSA", 1)


def test_aa_once_delivered() -> None:
    """The sender hears AA only when the receiver has it, and the ack is kept for resends."""
    bench = make()
    reply = bench.send(ADT % b"X1")
    assert reply.ack is None
    assert len(bench.offered) == 1
    settle(bench, DeliveryState.PENDING)
    assert reply.ack is None
    settle(bench, DeliveryState.DELIVERED)
    assert code(reply) == "AA"
    assert reply.field("MSA", 2) == "X1"
    assert [given.ack for given in bench.writer.acks_given] == [reply.ack]
    assert bench.clock.getDelayedCalls() == []


def test_a_response_that_fails_is_a_plain_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong on the way back, the sender hears AA and the lane goes on."""
    bench = make()

    def respond(*facts: object) -> bytes:
        raise KeyError("nobody expected this")

    monkeypatch.setattr(bench.channel, "_seams", replace(bench.channel._seams, respond=respond))
    reply = bench.send(ADT % b"X1")
    settle(bench, DeliveryState.DELIVERED)
    assert code(reply) == "AA"


@pytest.mark.parametrize("state", [DeliveryState.PARKED, DeliveryState.CANCELLED])
def test_what_is_not_delivered_is_an_error(state: DeliveryState) -> None:
    """Parked or cancelled: the sender hears AE (on_park, on_timeout)."""
    bench = make()
    reply = bench.send(ADT % b"X1")
    settle(bench, state)
    assert code(reply) == "AE"


def test_the_timeout_answers_and_expires() -> None:
    """When the time is up the sender hears on_timeout, and the delivery is taken back."""
    bench = make(timeout_s=15.0, on_timeout="AR")
    reply = bench.send(ADT % b"X1")
    bench.clock.advance(14.9)
    assert reply.ack is None
    bench.clock.advance(0.2)
    assert code(reply) == "AR"
    assert bench.expired == [("lis", "20261121-1.1")]
    settle(bench, DeliveryState.EXPIRED)


def test_nothing_owed_is_on_filtered() -> None:
    """A message that no route sends to lis is answered at once."""
    bench = make(on_filtered="AR")
    assert code(bench.send((ADT % b"X1").replace(b"ADT^A01", b"ORM^O01"))) == "AR"


def test_a_failed_step_is_on_park() -> None:
    """A delivery that is parked from the start is answered at once."""
    bench = make()
    body = (ADT % b"X1").replace(b"ADT^A01", b"ORU^R01") + b"OBX|1|NM|ZZZ||1\r"
    assert code(bench.send(body)) == "AE"


def test_a_refused_message_does_not_wait() -> None:
    """AR for an unreadable message comes at once, as without delivered_by."""
    bench = make()
    assert code(bench.send(b"hello")) == "AR"


def test_a_resend_while_waiting_is_answered_together() -> None:
    """The same message again before the answer: both connections hear the same ack."""
    bench = make()
    first, second = bench.send(ADT % b"X1"), bench.send(ADT % b"X1")
    assert second.ack is None
    settle(bench, DeliveryState.DELIVERED)
    assert first.ack == second.ack != None  # noqa: E711
    third = bench.send(ADT % b"X1")
    assert third.ack == first.ack


@pytest.mark.parametrize(
    ("state", "expected"), [(DeliveryState.DELIVERED, "AA"), (DeliveryState.PARKED, "AE")]
)
def test_a_resend_after_a_restart_sees_how_it_stands(state: DeliveryState, expected: str) -> None:
    """Without a stored ack the state of the first one's deliveries decides."""
    assert code(_resend_after_a_restart(make(), state)) == expected


def test_a_resend_after_a_restart_gets_the_answer_passed_back() -> None:
    """If this failed, a query whose answer was lost in a crash would get a bare AA for ever."""
    bench = make()
    bench.channel._seams = replace(
        bench.seams, respond=lambda route, body, answer, facts: answer + route.encode()
    )
    reply = _resend_after_a_restart(bench, DeliveryState.DELIVERED)
    assert reply.ack == ANSWER + b"adt_to_lis"


def _resend_after_a_restart(bench: IntakeBench, state: DeliveryState) -> HandReply:
    bench.send(ADT % b"X1")
    bench.channel._waits.stop()
    delivery = SimpleNamespace(
        delivery_id="20261121-1.1",
        outbound="lis",
        state=state,
        settled_at=1.0,
        route="adt_to_lis",
    )
    tried = SimpleNamespace(attempt=SimpleNamespace(ack=ANSWER))
    bench.writer.store = SimpleNamespace(
        get_message=lambda message_id: SimpleNamespace(deliveries=[delivery]),
        get_attempts=lambda delivery_id: [tried],
    )
    return bench.send(ADT % b"X1")


def test_the_answer_can_be_passed_back() -> None:
    """With a response the receiver's answer is the ack."""
    bench = make()
    bench.channel._seams = replace(
        bench.seams, respond=lambda route, body, answer, facts: answer + route.encode()
    )
    reply = bench.send(ADT % b"X1")
    settle(bench, DeliveryState.DELIVERED)
    assert reply.ack == ANSWER + b"adt_to_lis"


def test_a_reload_changes_nothing_for_what_has_come_in() -> None:
    """A message taken under delivered_by is answered by its delivery, whatever is loaded since."""
    bench = make()
    bench.writer.commits_at_once = False
    reply = bench.send(ADT % b"X1")
    bench.channel.reconfigure(acceptance_for(bench.compiled))
    bench.writer.commits_at_once = True
    bench.writer.commit()
    assert reply.ack is None
    settle(bench, DeliveryState.DELIVERED)
    assert code(reply) == "AA"
    assert code(bench.send(ADT % b"X2")) == "AA"


def test_who_waits_keeps_what_was_promised_when_it_came() -> None:
    """A reload to another outbound channel or time-out is for the messages after it."""
    bench = make(timeout_s=15.0, on_timeout="AR")
    reply = bench.send(ADT % b"X1")
    other = DeliveredBy("archive", timeout_s=60.0)
    wanted = acceptance_for(bench.compiled, ack=AckWhen.DELIVERED_BY, delivered_by=other)
    bench.channel.reconfigure(wanted)
    bench.clock.advance(15.1)
    assert code(reply) == "AR"
    assert bench.expired == [("lis", "20261121-1.1")]
