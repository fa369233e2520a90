"""What becomes of a frame: which ack, what is kept, what is owed."""

from __future__ import annotations

from typing import Any

import pytest

from engine.hl7.ack import parse_ack
from engine.intake.policy import AckWhen
from engine.model.errors import Fenced, MedbusError, StoreFull
from engine.model.records import Arrival
from engine.model.states import DeliveryState, MessageState, RouteOutcome
from tests.support.intake import HandReply, IntakeBench

ADT = b"MSH|^~\\&|HIS|H|LIS|L|20261121||ADT^A01|%s|P|2.5\rPID|1||4711^^^H^MR\r"


def adt(control_id: bytes = b"X1") -> bytes:
    """Return an admission."""
    return ADT % control_id


def last(bench: IntakeBench) -> Arrival:
    """Return what was stored last."""
    return bench.writer.arrivals[-1]


def code(reply: HandReply) -> str:
    """Return MSA-1."""
    return reply.field("MSA", 1)


def test_a_message_is_stored_before_it_is_acked() -> None:
    """No ack leaves before the commit; then AA, and the delivery is offered."""
    bench = IntakeBench()
    bench.writer.commits_at_once = False
    reply = bench.send(adt())
    assert reply.ack is None
    assert bench.offered == []
    bench.writer.commit()
    assert code(reply) == "AA"
    assert reply.field("MSA", 2) == "X1"
    assert reply.field("MSH", 3) == "LIS"
    assert reply.field("MSH", 5) == "HIS"
    assert [due.delivery_id for due in bench.offered] == ["20261121-1.1"]
    assert b"|LIS|" in bench.offered[0].body
    assert last(bench).body == adt()
    assert last(bench).message_type == "ADT^A01"
    assert last(bench).snapshot_id == "s1"
    assert last(bench).peer == "127.0.0.1:4000"


def test_a_filtered_message_is_acked() -> None:
    """What no route wants is stored, owes nothing and gets AA."""
    bench = IntakeBench()
    reply = bench.send(adt().replace(b"ADT^A01", b"ORM^O01"))
    assert code(reply) == "AA"
    assert {result.outcome for result in last(bench).routes} == {RouteOutcome.FILTERED}
    assert bench.offered == []


@pytest.mark.parametrize(
    ("body", "policy", "error", "place"),
    [
        (b"hello", {}, "100", "MSH"),
        (b"", {}, "100", ""),
        (adt(b""), {}, "101", "MSH"),
        (adt(b"  "), {}, "101", "MSH"),
        (adt(), {"processing_ids": frozenset("T")}, "202", "MSH"),
        (adt() + b"this is a note\r", {"rejects_stray_lines": True}, "100", ""),
    ],
)
def test_what_is_refused_is_kept(
    body: bytes, policy: dict[str, Any], error: str, place: str
) -> None:
    """A refused frame gets AR with the condition code and is stored with its bytes."""
    bench = IntakeBench(**policy)
    reply = bench.send(body)
    assert code(reply) == "AR"
    assert reply.field("ERR", 3).split("^")[0] == error
    assert last(bench).state is MessageState.REJECTED
    assert last(bench).body == body
    assert last(bench).reject_reason
    assert last(bench).deliveries == ()
    assert bench.channel.counts.rejected == 1


def test_accept_rules_can_be_lenient() -> None:
    """missing_control_id: accept takes a message without MSH-10."""
    bench = IntakeBench(needs_control_id=False)
    assert code(bench.send(adt(b""))) == "AA"


def test_a_failed_step_is_acked_and_parked() -> None:
    """ack_anyway: AA, and each outbound channel of the route has a parked delivery."""
    bench = IntakeBench()
    body = adt().replace(b"ADT^A01", b"ORU^R01") + b"OBX|1|NM|ZZZ||1\r"
    assert code(bench.send(body)) == "AA"
    assert [new.park is not None for new in last(bench).deliveries] == [True, True]
    assert bench.offered == []


def test_a_failed_step_can_refuse_the_message() -> None:
    """on_step_failure: reject answers AE, owes nothing and says which step."""
    bench = IntakeBench(rejects_step_failure=True)
    body = adt().replace(b"ADT^A01", b"ORU^R01") + b"OBX|1|NM|ZZZ||1\r"
    reply = bench.send(body)
    assert code(reply) == "AE"
    assert last(bench).state is MessageState.REJECTED
    assert "step 1" in last(bench).reject_reason
    assert last(bench).deliveries == ()


@pytest.mark.parametrize(
    ("wanted", "good", "bad"),
    [
        ((b"", b""), "AA", "AR"),
        ((b"AL", b"NE"), "CA", "CR"),
        ((b"ER", b"NE"), "", "CR"),
        ((b"SU", b""), "CA", ""),
        ((b"NE", b"NE"), "", ""),
        ((b"NE", b"AL"), "AA", "AR"),
    ],
)
def test_enhanced_mode_is_honoured(wanted: tuple[bytes, bytes], good: str, bad: str) -> None:
    """MSH-15 and MSH-16 decide which ack is sent, and whether one is sent at all."""
    bench = IntakeBench(processing_ids=frozenset("P"))
    for processing_id, expected in ((b"P", good), (b"T", bad)):
        body = adt(b"X" + processing_id).replace(b"|P|2.5", b"|%s|2.5|||%s|%s" % (
            processing_id, *wanted,
        ))  # fmt: skip
        reply = bench.send(body)
        assert (code(reply) if reply.ack else "") == expected
        assert last(bench).ack_code == expected


def test_ack_none_answers_nothing_at_all() -> None:
    """ack: none stores everything and stays silent, refusals included."""
    bench = IntakeBench(ack=AckWhen.NONE)
    assert bench.send(adt()).ack == b""
    assert bench.send(b"hello").ack == b""
    assert len(bench.writer.arrivals) == 2


def test_a_full_store_is_our_fault() -> None:
    """StoreFull: AE, so that the sender keeps it and tries again."""
    bench = IntakeBench()
    bench.writer.answer = StoreFull()
    reply = bench.send(adt())
    assert code(reply) == "AE"
    assert reply.field("ERR", 3).split("^")[0] == "207"
    assert bench.channel.counts.not_stored == 1


def test_a_fence_closes_unanswered() -> None:
    """After an I/O error nothing is answered: the row may or may not be there."""
    bench = IntakeBench()
    bench.writer.answer = Fenced()
    reply = bench.send(adt())
    assert reply.ack is None
    assert reply.is_hung_up


def test_any_other_store_error_is_ae() -> None:
    """An item that the store cannot take gets AE, and the channel goes on."""
    bench = IntakeBench()
    bench.writer.answer = MedbusError("no")
    assert code(bench.send(adt())) == "AE"
    bench.writer.answer = None
    assert code(bench.send(adt())) == "AA"


def test_a_duplicate_gets_the_stored_ack_and_nothing_else() -> None:
    """The same message again: the first one's ack byte for byte, no second delivery."""
    bench = IntakeBench()
    first, second = bench.send(adt()), bench.send(adt())
    assert second.ack == first.ack
    assert len(bench.offered) == 1
    assert bench.channel.counts.duplicates == 1


def test_held_deliveries_are_not_offered() -> None:
    """What the store holds at accept does not reach a lane."""
    bench = IntakeBench()
    bench.writer.delivery_state = DeliveryState.HELD
    bench.send(adt())
    assert bench.offered == []


def test_a_defect_of_ours_is_ae_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    """An exception nobody expected does not lose the message: it is stored, answered AE."""
    bench = IntakeBench()

    def broken(message: Any, arrived: Any) -> Any:
        raise ZeroDivisionError("secret value")

    bench.channel.acceptance._run = broken
    reply = bench.send(adt())
    assert code(reply) == "AE"
    assert last(bench).state is MessageState.REJECTED
    assert b"secret" not in (reply.ack or b"")


def test_oversize_is_refused_by_its_head() -> None:
    """A frame beyond the limit gets AR with its own control id, and nothing is stored."""
    bench = IntakeBench()
    reply: Any = HandReply()
    bench.channel.take_oversize(adt(b"BIG") + b"x" * 100, reply)
    assert code(reply) == "AR"
    assert reply.field("MSA", 2) == "BIG"
    assert bench.writer.arrivals == []


PYTHON = """
inbound:
  his: {mllp: {listen: "127.0.0.1:2575"}}
outbound:
  lis: {mllp: {connect: "127.0.0.1:6661"}}
routes:
  slow:
    from: his
    types: [ADT^A08]
    steps:
      - python: slow:wait
    to: lis
  quick:
    from: his
    types: [ADT^A01]
    to: lis
"""


def test_a_slow_step_does_not_change_the_accept_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages are stored in the order of their frames, also when an earlier one's step is slow."""
    bench = _bench_with_python(monkeypatch)
    from engine.pipeline.steps.base import PythonAnswer

    slow = bench.send(adt(b"1").replace(b"A01", b"A08"))
    quick = bench.send(adt(b"2"))
    slower = bench.send(adt(b"3").replace(b"A01", b"A08"))
    assert bench.writer.arrivals == []
    bench.python_calls[1][1].callback(PythonAnswer(bench.python_calls[1][0].body, ""))
    assert bench.writer.arrivals == []
    assert quick.ack is None
    bench.python_calls[0][1].callback(PythonAnswer(bench.python_calls[0][0].body, ""))
    assert [arrival.control_id for arrival in bench.writer.arrivals] == ["1", "2", "3"]
    assert {code(slow), code(quick), code(slower)} == {"AA"}


def test_an_answer_of_python_after_the_end_stores_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At a stop that cuts a slow step off, its sender was hung up on: nothing follows, no error."""
    from asyncio import CancelledError

    from engine.pipeline.steps.base import PythonAnswer

    bench = _bench_with_python(monkeypatch)
    slow, slower = (bench.send(adt(number).replace(b"A01", b"A08")) for number in (b"1", b"2"))
    bench.channel.abort()
    (first, done), (_, cut_off) = bench.python_calls
    done.callback(PythonAnswer(first.body, ""))
    cut_off.errback(CancelledError())
    assert (bench.writer.arrivals, slow.ack, slower.ack) == ([], None, None)
    assert cut_off.result is None


def test_a_defect_after_a_python_step_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its sender is hung up on, which is logged; the message behind it is stored and answered."""
    bench = _bench_with_python(monkeypatch)

    def broken(body: bytes, facts: Any) -> Any:
        yield "a call"
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(bench.channel.acceptance, "accept", broken)
        first = bench.send(adt())
    second = bench.send(adt(b"X2"))
    bench.python_calls[0][1].callback(None)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [
        ZeroDivisionError
    ]
    assert first.is_hung_up
    assert first.ack is None
    assert [arrival.control_id for arrival in bench.writer.arrivals] == ["X2"]
    assert code(second) == "AA"
    assert bench.channel.in_flight_count == 0


def _bench_with_python(monkeypatch: pytest.MonkeyPatch) -> IntakeBench:
    import tests.support.intake as support

    plain = support.compile_routes
    monkeypatch.setattr(
        support,
        "compile_routes",
        lambda routes: plain(routes, **{"transforms/python/slow.py": "def wait(m, c): return m\n"}),
    )
    return IntakeBench(PYTHON)


BATCH = b"FHS|^~\\&|HIS|H|LIS|L|20261121||||F77\rBHS|^~\\&|HIS|H|LIS|L|20261121||||B88\r%sBTS|%d\r"


def batch(*messages: bytes) -> bytes:
    """Return a batch in one frame."""
    return BATCH % (b"".join(messages), len(messages)) + b"FTS|1\r"


def test_a_batch_is_split_in_order_and_answered_once() -> None:
    """Each message of a batch is stored for itself; one ack names the batch."""
    bench = IntakeBench()
    reply = bench.send(batch(adt(b"1"), adt(b"2"), adt(b"3")))
    assert [arrival.control_id for arrival in bench.writer.arrivals] == ["1", "2", "3"]
    assert [arrival.body for arrival in bench.writer.arrivals] == [adt(b"1"), adt(b"2"), adt(b"3")]
    assert code(reply) == "AA"
    assert reply.field("MSA", 2) == "F77"
    assert reply.field("MSA", 3) == "3 of 3 messages taken"


def test_a_batch_with_one_bad_message_says_which() -> None:
    """The worst verdict answers the frame; the good messages are stored all the same."""
    bench = IntakeBench()
    reply = bench.send(batch(adt(b"1"), adt(b""), adt(b"3")))
    assert code(reply) == "AR"
    assert reply.field("MSA", 3) == "2 of 3 messages taken; not taken: 2"
    assert len(bench.offered) == 2
    assert parse_ack(reply.ack or b"").control_id_bytes == b"F77"


def test_a_batch_sent_again_is_all_duplicates() -> None:
    """A resend of a batch is answered AA again and owes nothing twice."""
    bench = IntakeBench()
    body = batch(adt(b"1"), adt(b"2"))
    bench.send(body)
    assert code(bench.send(body)) == "AA"
    assert len(bench.offered) == 2


def test_a_batch_without_messages_is_one_rejected_frame() -> None:
    """What cannot be split is kept whole."""
    bench = IntakeBench()
    reply = bench.send(batch())
    assert code(reply) == "AR"
    assert last(bench).state is MessageState.REJECTED
    assert last(bench).body == batch()
