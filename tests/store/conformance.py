"""
What every store must do; run against SQLite and against the twin in memory.

A subclass gives the fixture ``store``.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Event, Thread

import pytest

from engine.model.errors import Conflict, NotFound, QueueChanged
from engine.model.records import Accepted, RouteResult, Settlement
from engine.model.states import AttemptOutcome, DeliveryState, MessageState, ParkCode, RouteOutcome
from engine.store.interface import Store
from engine.store.operation_records import OperationItem
from engine.store.records import AckGiven, AuditRecord, IntakeLoss, MessageFilter, Switch
from tests.store.builders import (
    DAY,
    NEXT_DAY,
    NOON,
    accept,
    arrival,
    attempt,
    commit,
    delivered,
    delivery,
    due,
    ids,
    key,
    keyed,
    operate,
    operation,
    parked,
    refused,
    settle,
    states,
)
from tests.store.vault_conformance import VaultConformance


class AcceptConformance:
    """Arrivals."""

    def test_what_was_accepted_can_be_read_back(self, store: Store) -> None:
        """Bytes, facts, routes, deliveries and the ack are as they were given."""
        results = (
            RouteResult("adt_to_lis", RouteOutcome.QUEUED),
            RouteResult("adt_to_pacs", RouteOutcome.FILTERED, "outpatient"),
        )
        message = arrival(
            7,
            delivery(1, body=b"out", control_id="OUT7", file_name="a.hl7", promises=("AL", "NE")),
            routes=results,
            warnings=("bom", "stray_line"),
            snapshot_id="abc",
        )
        (answer,) = accept(store, message)
        assert answer == Accepted(
            f"{DAY}-7",
            MessageState.ACCEPTED,
            1,
            b"ACK 7",
            delivery_states=(DeliveryState.PENDING,),
        )
        stored = store.get_message(f"{DAY}-7")
        assert (stored.control_id, stored.ack_code, stored.size_bytes) == (
            "C7",
            "AA",
            len(message.body),
        )
        assert stored.routes == results
        assert stored.warnings == ("bom", "stray_line")
        assert stored.snapshot_id == "abc"
        assert [one.control_id for one in stored.deliveries] == ["OUT7"]
        assert store.get_body(f"{DAY}-7") == message.body
        assert store.get_ack(f"{DAY}-7") == b"ACK 7"
        assert store.get_output(f"{DAY}-7.1") == b"out"
        (one,) = store.next(store.lane_open("lis", 0, 1), 5)
        assert (one.body, one.control_id, one.file_name, one.promises) == (
            b"out",
            "OUT7",
            "a.hl7",
            ("AL", "NE"),
        )
        assert (one.received_at, one.inbound, one.route) == (NOON + 7, "his_adt", "adt_to_lis")

    def test_an_output_equal_to_the_input_is_the_input(self, store: Store) -> None:
        """A pass-through delivery sends exactly the received bytes."""
        message = arrival(1, delivery(body=b"same"), body=b"same")
        accept(store, message)
        assert store.get_output(f"{DAY}-1.1") == b"same"
        assert store.next(store.lane_open("lis", 0, 1), 1)[0].body == b"same"

    def test_order_is_the_order_of_commits_not_of_ids(self, store: Store) -> None:
        """A message with a smaller number that is committed later is sent later."""
        first = accept(store, arrival(5), arrival(2))
        second = accept(store, arrival(1), arrival(9))
        assert [answer.seq for answer in first + second] == [1, 2, 3, 4]
        assert due(store) == ids(5, 2, 1, 9)

    def test_the_next_number_follows_the_largest(self, store: Store) -> None:
        """A new message never gets an id that is taken."""
        assert store.next_number(DAY) == 1
        accept(store, arrival(41), arrival(3))
        assert store.next_number(DAY) == 42
        assert store.next_number(NEXT_DAY) == 1

    def test_one_bad_work_does_not_harm_the_others(self, store: Store) -> None:
        """An id used twice is refused alone; its neighbours are stored."""
        accept(store, arrival(2))
        first, second, third = commit(store, arrival(1), arrival(2, control_id="X"), arrival(3))
        assert isinstance(first, Accepted)
        assert isinstance(second, Conflict)
        assert isinstance(third, Accepted)
        assert due(store) == ids(2, 1, 3)
        assert store.check_ledger(DAY) == ()

    def test_a_rejected_frame_is_kept_and_owes_nothing(self, store: Store) -> None:
        """Its bytes and its reason can be read; no delivery exists."""
        rejected = arrival(
            1,
            state=MessageState.REJECTED,
            ack_code="AR",
            routes=(),
            reject_reason="MSH-10 is empty",
        )
        rejected = replace(rejected, deliveries=())
        (answer,) = accept(store, rejected)
        assert answer.state is MessageState.REJECTED
        assert store.get_body(f"{DAY}-1") == rejected.body
        assert store.get_message(f"{DAY}-1").reject_reason == "MSH-10 is empty"
        assert store.counts().outbounds == {}

    def test_an_ack_that_comes_later_is_kept(self, store: Store) -> None:
        """What delivered_by answered in the end is what show and duplicates repeat."""
        accept(store, arrival(1, ack=b"", ack_code=""))
        commit(store, AckGiven(f"{DAY}-1", b"RSP", "AA"))
        assert store.get_ack(f"{DAY}-1") == b"RSP"
        assert store.get_message(f"{DAY}-1").ack_code == "AA"
        (again,) = accept(store, arrival(2, body=arrival(1).body, control_id="C1"))
        assert again.ack == b"RSP"

    @pytest.mark.parametrize("verb", ["expire", "cancel"])
    def test_what_was_refused_in_the_end_is_tried_anew(self, store: Store, verb: str) -> None:
        """A sender told AE because nothing was delivered can send again; while owed it cannot."""
        accept(store, arrival(1, ack=b"", ack_code=""))
        commit(store, AckGiven(f"{DAY}-1", b"no", "AE"))
        (owed,) = accept(store, arrival(2, body=arrival(1).body, control_id="C1"))
        assert (owed.state, owed.ack) == (MessageState.DUPLICATE, b"")
        operate(store, verb, f"{DAY}-1.1", name="op-2")
        (again,) = accept(store, arrival(3, body=arrival(1).body, control_id="C1"))
        assert again.state is MessageState.ACCEPTED

    def test_what_was_refused_and_delivered_after_all_is_not_sent_twice(self, store: Store) -> None:
        """A resend after a late delivery is a duplicate, and the old AE is not repeated."""
        accept(store, arrival(1, ack=b"", ack_code=""))
        commit(store, AckGiven(f"{DAY}-1", b"no", "AE"))
        settle(store, delivered(f"{DAY}-1.1"))
        (again,) = accept(store, arrival(2, body=arrival(1).body, control_id="C1"))
        assert (again.state, again.ack) == (MessageState.DUPLICATE, b"")

    def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        """Unknown ids are said to be unknown, whatever they look like."""
        for ask in (store.get_message, store.get_body, store.get_ack):
            for identity in (f"{DAY}-1", "20200101-1", "nonsense", ""):
                with pytest.raises(NotFound):
                    ask(identity)
        for ask_delivery in (store.get_delivery, store.get_output):
            for identity in (f"{DAY}-1.1", f"{DAY}-1", "x.1"):
                with pytest.raises(NotFound):
                    ask_delivery(identity)
        (answer,) = store.commit([delivered(f"{DAY}-1.1")])
        assert isinstance(answer, NotFound)


class DuplicateConformance:
    """The same message again."""

    def test_a_resend_gets_the_first_ack_and_owes_nothing(self, store: Store) -> None:
        """The second copy is a small record that points to the first."""
        accept(store, arrival(1))
        (answer,) = accept(store, arrival(2, body=arrival(1).body, control_id="C1"))
        assert (answer.state, answer.ack) == (MessageState.DUPLICATE, b"ACK 1")
        assert answer.duplicate_of == f"{DAY}-1"
        stored = store.get_message(f"{DAY}-2")
        assert (stored.duplicate_of, stored.deliveries, stored.routes) == (f"{DAY}-1", (), ())
        assert store.get_body(f"{DAY}-2") == arrival(1).body
        assert due(store) == ids(1)

    def test_the_running_batch_counts(self, store: Store) -> None:
        """Two copies in one commit: the second is a duplicate of the first."""
        first, second = accept(store, arrival(1), arrival(2, body=arrival(1).body, control_id="C1"))
        assert first.state is MessageState.ACCEPTED
        assert (second.state, second.duplicate_of, second.ack) == (
            MessageState.DUPLICATE,
            f"{DAY}-1",
            b"ACK 1",
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"control_id": "OTHER"},
            {"sender": ("HIS", "OTHER")},
            {"inbound": "other"},
            {"control_id": ""},
            {"duplicate_window_s": 0.0},
            {"received_at": NOON + 86_402},
        ],
    )
    def test_anything_else_is_a_message_of_its_own(
        self, store: Store, change: dict[str, object]
    ) -> None:
        """Other id, sender or channel, an empty id, no window, or later than it: processed."""
        accept(store, arrival(1))
        values: dict[str, object] = {"body": arrival(1).body, "control_id": "C1", **change}
        (answer,) = accept(store, arrival(2, **values))
        assert answer.state is MessageState.ACCEPTED
        assert not answer.same_id_other_bytes

    def test_the_same_id_with_other_bytes_is_told(self, store: Store) -> None:
        """It is processed, and the caller can warn."""
        accept(store, arrival(1))
        (answer,) = accept(store, arrival(2, control_id="C1"))
        assert answer.state is MessageState.ACCEPTED
        assert answer.same_id_other_bytes
        told = store.get_message(answer.message_id).warnings
        assert told == ("same_id_other_bytes",)

    def test_rejected_ones_and_replays_do_not_count(self, store: Store) -> None:
        """A resend after a rejection is tried anew; so is one that was only replayed."""
        accept(store, replace(arrival(1, state=MessageState.REJECTED), deliveries=(), routes=()))
        replay = arrival(2, body=arrival(1).body, control_id="C1", replay_of=f"{DAY}-1")
        accept(store, replay)
        (answer,) = accept(store, arrival(3, body=arrival(1).body, control_id="C1"))
        assert answer.state is MessageState.ACCEPTED

    def test_the_window_reaches_over_midnight(self, store: Store) -> None:
        """A resend of yesterday's message is found in yesterday's file."""
        accept(store, arrival(1))
        again = arrival(
            1, day=NEXT_DAY, body=arrival(1).body, control_id="C1", received_at=NOON + 80_000
        )
        (answer,) = accept(store, again)
        assert (answer.state, answer.duplicate_of) == (MessageState.DUPLICATE, f"{DAY}-1")
        assert answer.ack == b"ACK 1"


class SettleConformance:
    """What becomes of deliveries."""

    def test_a_delivered_one_leaves_the_lane(self, store: Store) -> None:
        """It is final, with its attempt on record."""
        accept(store, arrival(1), arrival(2))
        token = store.lane_open("lis", 0, 1)
        (answer,) = settle(store, delivered(f"{DAY}-1.1", token))
        assert (answer.ok, answer.state) == (True, DeliveryState.DELIVERED)
        assert due(store) == ids(2)
        ((number, tried),) = [(one.number, one.attempt) for one in store.get_attempts(f"{DAY}-1.1")]
        assert (number, tried) == (1, attempt())
        assert store.get_delivery(f"{DAY}-1.1").settled_at == NOON + 100.25

    def test_a_retry_keeps_its_place_and_counts(self, store: Store) -> None:
        """It stays the head, due later, with tries and first failure known."""
        accept(store, arrival(1), arrival(2))
        token = store.lane_open("lis", 0, 1)
        failed = Settlement(
            f"{DAY}-1.1",
            token,
            DeliveryState.PENDING,
            refused("").attempt,
            due_at=NOON + 200,
            uncertain=True,
        )
        settle(store, failed)
        settle(store, replace(failed, due_at=NOON + 300, commit_acked=True))
        head = store.next(token, 5)[0]
        assert head.delivery_id == f"{DAY}-1.1"
        assert (head.attempts, head.due_at, head.first_failure_at) == (2, NOON + 300, NOON + 100)
        assert (head.uncertain, head.commit_acked) == (True, True)

    def test_a_stale_token_changes_nothing(self, store: Store) -> None:
        """Once a lane was opened anew, its old opener can neither settle nor read."""
        accept(store, arrival(1))
        old = store.lane_open("lis", 0, 1)
        new = store.lane_open("lis", 0, 1)
        (answer,) = settle(store, delivered(f"{DAY}-1.1", old))
        assert (answer.ok, answer.state) == (False, DeliveryState.PENDING)
        with pytest.raises(Conflict):
            store.next(old, 1)
        assert settle(store, delivered(f"{DAY}-1.1", new))[0].ok

    def test_another_count_of_lanes_fences_all_old_lanes(self, store: Store) -> None:
        """After a reload with other lanes no old lane can settle."""
        accept(store, arrival(1))
        old = [store.lane_open("lis", lane, 2) for lane in (0, 1)]
        store.lane_open("lis", 0, 3)
        assert [settle(store, delivered(f"{DAY}-1.1", token))[0].ok for token in old] == [
            False,
            False,
        ]

    def test_an_operator_wins_over_a_lane(self, store: Store) -> None:
        """A delivery cancelled in flight stays cancelled; the lane is told."""
        accept(store, arrival(1))
        token = store.lane_open("lis", 0, 1)
        operate(store, "cancel", f"{DAY}-1.1")
        (answer,) = settle(store, delivered(f"{DAY}-1.1", token))
        assert (answer.ok, answer.state) == (False, DeliveryState.CANCELLED)

    def test_how_a_try_ended_is_kept_although_it_was_cancelled_meanwhile(
        self, store: Store
    ) -> None:
        """If this failed, nobody could see that the receiver has what an operator took out."""
        accept(store, arrival(1), arrival(2))
        token = store.lane_open("lis", 0, 1)
        operate(store, "cancel", *ids(1, 2))
        lost = Settlement(
            f"{DAY}-2.1",
            token,
            DeliveryState.PENDING,
            attempt(AttemptOutcome.BROKEN, ""),
            uncertain=True,
        )
        settle(store, delivered(f"{DAY}-1.1", token), lost)
        told = [store.get_delivery(name) for name in ids(1, 2)]
        assert [(one.state, one.attempts, one.uncertain) for one in told] == [
            (DeliveryState.CANCELLED, 1, False),
            (DeliveryState.CANCELLED, 1, True),
        ]
        (tried,) = store.get_attempts(f"{DAY}-1.1")
        assert (tried.attempt.outcome, tried.attempt.code) == (AttemptOutcome.ACKED, "AA")
        assert store.check_ledger(DAY) == ()

    def test_a_late_nack_reopens_a_delivered_one(self, store: Store) -> None:
        """What was taken first and refused later is parked, and holds its followers."""
        accept(store, keyed(1, 1), keyed(2, 1))
        settle(store, delivered(f"{DAY}-1.1"))
        settle(store, refused(f"{DAY}-1.1", code=ParkCode.LATE_NACK))
        assert states(store, *ids(1, 2)) == ["parked", "held"]


class HoldConformance:
    """What waits behind a parked delivery."""

    def test_hold_key_holds_the_same_key_only(self, store: Store) -> None:
        """One patient's later messages wait, everyone else's flow."""
        accept(store, keyed(1, 1), keyed(2, 2), keyed(3, 1), arrival(4))
        (answer,) = settle(store, refused(f"{DAY}-1.1"))
        assert answer.held_keys == (key(1),)
        (late,) = accept(store, keyed(5, 1))
        assert late.delivery_states == (DeliveryState.HELD,)
        assert states(store, *ids(1, 2, 3, 4, 5)) == [
            "parked",
            "pending",
            "held",
            "pending",
            "held",
        ]
        assert due(store) == ids(2, 4)

    def test_continue_and_an_empty_key_hold_nobody(self, store: Store) -> None:
        """A parked delivery without a key, or with continue, lets all others pass."""
        accept(store, keyed(1, 1), arrival(2), keyed(3, 1), arrival(4))
        settle(store, refused(f"{DAY}-1.1", "continue"), refused(f"{DAY}-2.1"))
        assert due(store) == ids(3, 4)

    def test_halt_stops_its_lane_only(self, store: Store) -> None:
        """Other lanes go on; a requeue starts it again with the parked one first."""
        accept(store, *[keyed(n, n) for n in range(1, 9)])
        lane = int.from_bytes(key(1), "big") % 2
        before = due(store, lane=lane, lanes=2), due(store, lane=1 - lane, lanes=2)
        (answer,) = settle(store, refused(f"{DAY}-1.1", "halt"))
        assert answer.halted
        assert store.counts().outbounds["lis"].halted_by == (f"{DAY}-1.1",)
        assert due(store, lane=lane, lanes=2) == []
        assert store.is_halted(store.lane_open("lis", lane, 2))
        assert not store.is_halted(store.lane_open("lis", 1 - lane, 2))
        assert due(store, lane=1 - lane, lanes=2) == before[1]
        operate(store, "requeue", f"{DAY}-1.1")
        assert due(store, lane=lane, lanes=2) == before[0]

    def test_a_requeued_one_goes_first_and_frees_its_followers(self, store: Store) -> None:
        """Requeue puts it at its own place; when it is delivered the held ones follow in order."""
        accept(store, keyed(1, 1), keyed(2, 2), keyed(3, 1), keyed(4, 1))
        settle(store, refused(f"{DAY}-1.1"))
        report = operate(store, "requeue", f"{DAY}-1.1")
        assert (report.done, report.ready) == (1, {"lis"})
        assert due(store) == ids(1, 2)
        settle(store, delivered(f"{DAY}-1.1"))
        told: list[frozenset[str]] = []
        store.tell_ready(told.append)
        assert told == [{"lis"}]
        assert due(store) == ids(2, 3, 4)

    def test_release_lets_followers_pass_and_marks_a_later_requeue(self, store: Store) -> None:
        """The parked one stays parked; requeued afterwards it is out of order."""
        accept(store, keyed(1, 1), keyed(2, 1))
        settle(store, refused(f"{DAY}-1.1"))
        operate(store, "release", f"{DAY}-1.1")
        assert due(store) == ids(2)
        assert store.get_delivery(f"{DAY}-1.1").released
        operate(store, "requeue", f"{DAY}-1.1", name="op-2")
        assert store.get_delivery(f"{DAY}-1.1").out_of_order
        assert due(store) == ids(1, 2)

    def test_cancel_of_the_parked_one_frees_its_followers(self, store: Store) -> None:
        """Nothing stays held behind something that will never be sent."""
        accept(store, keyed(1, 1), keyed(2, 1))
        settle(store, refused(f"{DAY}-1.1"))
        operate(store, "cancel", f"{DAY}-1.1")
        assert due(store) == ids(2)
        assert not store.counts().outbounds["lis"].holds

    def test_a_page_behind_a_cursor_waits_for_the_news(self, store: Store) -> None:
        """Between the release of followers and the lane's hearing of it, nothing overtakes them."""
        accept(store, keyed(1, 1), keyed(2, 2), keyed(3, 1), keyed(4, 2), keyed(5, 1))
        settle(store, refused(f"{DAY}-1.1"))
        store.tell_ready(lambda _: None)
        token = store.lane_open("lis", 0, 1)
        cursor = store.next(token, 1)[-1]
        assert cursor.delivery_id == f"{DAY}-2.1"
        operate(store, "release", f"{DAY}-1.1")
        operate(store, "requeue", f"{DAY}-1.1", name="op-2")
        with pytest.raises(QueueChanged):
            store.next(token, 5, cursor)
        told: list[frozenset[str]] = []
        store.tell_ready(told.append)
        assert told == [{"lis"}]
        assert [one.delivery_id for one in store.next(token, 5)] == ids(1, 2, 3, 4, 5)
        assert [one.delivery_id for one in store.next(token, 5, cursor)] == ids(3, 4, 5)
        store.tell_ready(told.append)
        assert len(told) == 1

    def test_whoever_reads_waits_until_the_news_is_told(self, store: Store) -> None:
        """No page comes between the telling and the forgetting: it would reach the lane first."""
        accept(store, keyed(1, 1), keyed(2, 2), keyed(3, 1), keyed(4, 2))
        settle(store, refused(f"{DAY}-1.1"))
        store.tell_ready(lambda _: None)
        token = store.lane_open("lis", 0, 1)
        cursor = store.next(token, 1)[-1]
        operate(store, "release", f"{DAY}-1.1")
        queue: list[str] = []
        asks = Event()

        def read() -> None:
            asks.set()
            store.next(token, 5, cursor)
            queue.append("page")

        reader = Thread(target=read)

        def tell(_: frozenset[str]) -> None:
            reader.start()
            assert asks.wait(60)
            reader.join(0.2)  # as long as it takes a reader that does not wait
            queue.append("wake")

        store.tell_ready(tell)
        reader.join(60)
        assert queue == ["wake", "page"]

    def test_a_parked_one_says_which_keys_are_held_through_merges(self, store: Store) -> None:
        """Lanes must know that others wait, too, though the merge between is in no window."""
        accept(store, keyed(1, 1), keyed(2, 1, 2), keyed(3, 2, 3), keyed(4, 4, 5))
        (answer,) = settle(store, refused(f"{DAY}-1.1"))
        assert answer.held_keys[0] == key(1)
        assert sorted(answer.held_keys) == sorted(map(key, (1, 2, 3)))

    def test_a_held_merge_holds_its_other_keys(self, store: Store) -> None:
        """A merge that waits for one patient is not overtaken by the other's messages."""
        accept(store, keyed(1, 1), keyed(2, 1, 2), keyed(3, 2), keyed(4, 3))
        settle(store, refused(f"{DAY}-1.1"))
        (late,) = accept(store, keyed(5, 2))
        assert late.delivery_states == (DeliveryState.HELD,)
        assert states(store, *ids(1, 2, 3, 4)) == ["parked", "held", "held", "pending"]
        operate(store, "cancel", f"{DAY}-1.1")
        assert due(store) == ids(2, 3, 4, 5)

    @pytest.mark.parametrize("verb", ["cancel", "expire"])
    def test_a_held_merge_that_is_taken_out_frees_its_other_keys(
        self, store: Store, verb: str
    ) -> None:
        """Who waits only for a merge goes on when the merge is cancelled or expires."""
        accept(store, keyed(1, 1))
        settle(store, refused(f"{DAY}-1.1"))
        accept(store, keyed(2, 1, 2), keyed(3, 2))
        assert states(store, *ids(2, 3)) == ["held", "held"]
        assert store.counts().outbounds["lis"].holds
        operate(store, verb, f"{DAY}-2.1")
        assert due(store) == ids(3)

    def test_a_second_parked_one_keeps_its_own_hold(self, store: Store) -> None:
        """Freeing the first follower's hold does not free what waits behind the second."""
        accept(store, keyed(1, 1), keyed(2, 1), keyed(3, 1))
        settle(store, refused(f"{DAY}-1.1"), refused(f"{DAY}-2.1"))
        operate(store, "requeue", *ids(1, 2))
        assert states(store, *ids(1, 2, 3)) == ["pending", "held", "held"]
        settle(store, delivered(f"{DAY}-1.1"))
        assert states(store, *ids(1, 2, 3)) == ["delivered", "pending", "held"]
        settle(store, delivered(f"{DAY}-2.1"))
        assert states(store, *ids(1, 2, 3)) == ["delivered", "delivered", "pending"]

    def test_a_failed_step_holds_as_its_channel_says(self, store: Store) -> None:
        """A delivery parked at accept holds later ones of its key, in the same commit already."""
        first, second = accept(
            store, arrival(1, parked(order_keys=(key(1),), on_park="hold_key")), keyed(2, 1)
        )
        assert first.delivery_states == (DeliveryState.PARKED,)
        assert second.delivery_states == (DeliveryState.HELD,)

    def test_holds_of_one_channel_are_no_business_of_another(self, store: Store) -> None:
        """The same key is held for lis and flows to pacs."""
        accept(store, keyed(1, 1), keyed(2, 1, outbound="pacs"))
        settle(store, refused(f"{DAY}-1.1"))
        assert due(store, "pacs") == ids(2)

    def test_two_thousand_followers_come_back_in_order(self, store: Store) -> None:
        """A release that takes several commits loses and swaps nothing."""
        accept(store, keyed(1, 1))
        accept(store, *[keyed(n, 1) for n in range(2, 2203)])
        settle(store, refused(f"{DAY}-1.1"))
        assert store.counts().outbounds["lis"].held == 2201
        operate(store, "release", f"{DAY}-1.1")
        assert due(store, n=5000) == ids(*range(2, 2203))
        assert store.check_ledger(DAY) == ()


class LaneConformance:
    """Who sends what."""

    def test_lanes_share_the_work_without_loss(self, store: Store) -> None:
        """Each single-key delivery is in exactly one lane, in order."""
        accept(store, *[keyed(n, n % 7) for n in range(1, 50)], arrival(50))
        for lanes in (1, 2, 3, 8, 13):
            shares = [due(store, lane=lane, lanes=lanes) for lane in range(lanes)]
            assert sorted(one for share in shares for one in share) == sorted(ids(*range(1, 51)))
            for share in shares:
                assert share == sorted(share, key=lambda one: int(one[9:-2]))
            assert f"{DAY}-50.1" in shares[0]

    def test_a_merge_is_in_every_lane_of_its_keys(self, store: Store) -> None:
        """Both lanes see it, so that both can wait for it."""
        accept(store, keyed(1, 1, 2))
        wanted = {int.from_bytes(key(n), "big") % 5 for n in (1, 2)}
        found = {lane for lane in range(5) if due(store, lane=lane, lanes=5)}
        assert found == wanted

    def test_paging_goes_on_behind_the_last(self, store: Store) -> None:
        """Pages of any size give the same as one large page."""
        accept(store, *[keyed(n, n % 3) for n in range(1, 30)])
        token = store.lane_open("lis", 0, 2)
        whole = [one.delivery_id for one in store.next(token, 100)]
        paged: list[str] = []
        last = None
        while page := store.next(token, 4, last):
            paged += [one.delivery_id for one in page]
            last = page[-1]
        assert paged == whole

    def test_days_are_sent_in_order(self, store: Store) -> None:
        """What waits since yesterday goes before what came today."""
        accept(store, arrival(1), arrival(2))
        accept(store, arrival(1, day=NEXT_DAY, control_id="N1"))
        assert due(store) == [*ids(1, 2), *ids(1, day=NEXT_DAY)]

    def test_there_is_no_lane_beyond_the_count(self, store: Store) -> None:
        """A lane number out of range is refused."""
        with pytest.raises(Conflict):
            store.lane_open("lis", 3, 3)


class OperateConformance:
    """Operators' actions."""

    def test_an_operation_is_applied_once(self, store: Store) -> None:
        """The same operation id again changes nothing and is not audited twice."""
        accept(store, keyed(1, 1))
        settle(store, refused(f"{DAY}-1.1"))
        operate(store, "requeue", f"{DAY}-1.1")
        settle(store, refused(f"{DAY}-1.1"))
        operate(store, "requeue", f"{DAY}-1.1")
        assert states(store, f"{DAY}-1.1") == ["parked"]
        assert len(store.list_audit().items) == 1

    def test_each_item_is_reported_with_what_was_wrong(self, store: Store) -> None:
        """Things that cannot be done are told one by one, the others are done."""
        accept(store, arrival(1), arrival(2), arrival(3, parked()))
        settle(store, refused(f"{DAY}-1.1", "continue"))
        report = operate(store, "requeue", *ids(1, 2, 3, 9))
        assert [bool(item.problem) for item in report.items] == [False, True, True, True]
        assert report.done == 1
        assert "pending" in report.items[1].problem
        assert "route has to be run again" in report.items[2].problem

    @pytest.mark.parametrize("code", [ParkCode.LEAK, ParkCode.STEP, ParkCode.CHARSET])
    def test_a_leak_can_never_be_sent_as_it_is(self, store: Store, code: ParkCode) -> None:
        """Neither requeue nor release makes a leaked, failed or unwritable output sendable."""
        park = parked().park
        assert park is not None
        output = parked(body=b"secret", park=park._replace(code=code))
        accept(store, arrival(1, output))
        operate(store, "requeue", f"{DAY}-1.1")
        operate(store, "release", f"{DAY}-1.1", name="op-2")
        operate(store, "requeue", f"{DAY}-1.1", name="op-3")
        assert states(store, f"{DAY}-1.1") == ["parked"]
        assert due(store) == []

    def test_a_rerun_takes_the_place_of_the_parked_one(self, store: Store) -> None:
        """The old one is cancelled and linked; the new ones stand before later messages."""
        accept(store, arrival(1, parked(order_keys=(key(1),), on_park="hold_key")), keyed(2, 1))
        new = (
            delivery(0, body=b"rerun a", order_keys=(key(1),)),
            delivery(0, body=b"rerun b", order_keys=(key(1),)),
        )
        item = OperationItem(f"{DAY}-1.1", new, "snap")
        report = operate(store, "requeue", items=(item,))
        assert report.items[0].replaced_by == (f"{DAY}-1.2", f"{DAY}-1.3")
        old = store.get_delivery(f"{DAY}-1.1")
        assert (old.state, old.replaced_by) == (
            DeliveryState.CANCELLED,
            f"{DAY}-1.2 {DAY}-1.3",
        )
        assert store.get_delivery(f"{DAY}-1.2").replaces == f"{DAY}-1.1"
        assert store.get_output(f"{DAY}-1.3") == b"rerun b"
        assert due(store)[:1] == [f"{DAY}-1.2"]
        settle(store, delivered(f"{DAY}-1.2"))
        settle(store, delivered(f"{DAY}-1.3"))
        assert due(store) == ids(2)
        assert store.check_ledger(DAY) == ()

    def test_a_rerun_for_another_channel_is_told_to_both(self, store: Store) -> None:
        """The lanes of the channel that gets the new one look for it in front of their cursor."""
        accept(store, arrival(1, parked()), arrival(2, delivery(1, outbound="archive")))
        assert due(store, "archive") == ids(2)
        new = delivery(0, outbound="archive", body=b"rerun")
        item = OperationItem(f"{DAY}-1.1", (new,), "snap")
        report = operate(store, "requeue", items=(item,))
        told: list[frozenset[str]] = []
        store.tell_ready(told.append)
        assert (report.ready, told) == ({"lis", "archive"}, [{"lis", "archive"}])
        assert due(store, "archive") == [f"{DAY}-1.2", *ids(2)]

    def test_a_rerun_that_wants_nothing_frees_its_followers(self, store: Store) -> None:
        """Filtered now: the old one is cancelled and nothing stands in its place."""
        accept(store, arrival(1, parked(order_keys=(key(1),), on_park="hold_key")), keyed(2, 1))
        item = OperationItem(f"{DAY}-1.1", (), "snap", "its route filters it now: not ours")
        operate(store, "requeue", items=(item,))
        told = store.get_delivery(f"{DAY}-1.1")
        assert (told.state, told.park_code) == (DeliveryState.CANCELLED, "step")
        assert told.park_reason == (
            "no such code in table units; requeued: its route filters it now: not ours"
        )
        assert states(store, *ids(1, 2)) == ["cancelled", "pending"]

    def test_a_replay_is_a_new_record_once_per_operation(self, store: Store) -> None:
        """It is linked to the old one, counted apart, and not made twice by one action."""
        accept(store, arrival(1))
        store.apply(operation("replay", f"{DAY}-1"))
        assert [one.operation_id for one in store.unfinished()] == ["op-1"]
        replay = arrival(
            1,
            day=NEXT_DAY,
            replay_of=f"{DAY}-1",
            replay_as="sent",
            operation_id="op-1",
            routes=(),
            duplicate_window_s=0.0,
        )
        (first,) = accept(store, replay)
        (again,) = accept(store, replace(replay, message_id=f"{NEXT_DAY}-2"))
        assert (again.message_id, again.seq) == (first.message_id, first.seq)
        store.finish("op-1")
        assert store.unfinished() == ()
        assert store.find_replays(f"{DAY}-1") == (f"{NEXT_DAY}-1",)
        assert due(store) == [*ids(1), *ids(1, day=NEXT_DAY)]
        (row,) = store.ledger(NEXT_DAY)
        assert (row.flow, row.stored, row.created) == ("replay", 1, 1)
        assert store.check_ledger(NEXT_DAY) == ()

    def test_expire_is_for_what_waits(self, store: Store) -> None:
        """Pending ones expire; delivered ones do not."""
        accept(store, arrival(1), arrival(2))
        settle(store, delivered(f"{DAY}-1.1"))
        report = operate(store, "expire", *ids(1, 2))
        assert [bool(item.problem) for item in report.items] == [True, False]
        assert states(store, *ids(1, 2)) == ["delivered", "expired"]

    def test_a_renamed_channel_keeps_its_queue_and_its_holds(self, store: Store) -> None:
        """Everything owed goes over, parked and held included, in order."""
        accept(store, keyed(1, 1), keyed(2, 2), keyed(3, 1))
        settle(store, refused(f"{DAY}-1.1"))
        report = operate(store, "rename", old_name="lis", new_name="lab")
        assert report.done == 3
        assert due(store) == []
        assert due(store, "lab") == ids(2)
        accept(store, keyed(4, 1, outbound="lab"))
        assert states(store, *ids(3, 4)) == ["held", "held"]
        operate(store, "cancel", f"{DAY}-1.1", name="op-2")
        assert due(store, "lab") == ids(2, 3, 4)

    def test_a_channel_the_configuration_lost_is_orphaned(self, store: Store) -> None:
        """Its queue is kept and shown as orphaned until the channel is back."""
        accept(store, arrival(1))
        store.set_known_outbounds(["pacs"])
        assert store.get_delivery(f"{DAY}-1.1").orphaned
        assert store.counts().outbounds["lis"].orphaned
        store.set_known_outbounds(["lis"])
        assert not store.get_delivery(f"{DAY}-1.1").orphaned


class ReadConformance:
    """Finding things."""

    def test_filters_find_what_they_say(self, store: Store) -> None:
        """Every filter of `medbus messages` selects exactly its messages, newest first."""
        accept(
            store,
            arrival(1),
            arrival(2, message_type="ORU^R01", inbound="lis_oru"),
            arrival(3, delivery(outbound="pacs"), routes=(RouteResult("x", RouteOutcome.QUEUED),)),
            arrival(4, parked()),
            arrival(5, body=arrival(1).body, control_id="C1"),
        )
        settle(store, delivered(f"{DAY}-2.1"))

        def found(**filters: object) -> list[int]:
            page = store.find_messages(MessageFilter(**filters))  # type: ignore[arg-type]
            return [int(one.message_id[9:]) for one in page.items]

        assert found() == [5, 4, 3, 2, 1]
        assert found(inbounds=("lis_oru",)) == [2]
        assert found(message_types=("ORU",)) == [2]
        assert found(message_types=("ADT^*",)) == [5, 4, 3, 1]
        assert found(message_types=("ADT^A01", "ORU^R01")) == [5, 4, 3, 2, 1]
        assert found(message_types=("AD",)) == []
        assert found(outbounds=("pacs",)) == [3]
        assert found(routes=("x",)) == [3]
        assert found(routes=("x", "adt_to_lis")) == [4, 3, 2, 1]
        assert found(states=("duplicate",)) == [5]
        assert found(states=("parked",)) == [4]
        assert found(states=("pending",)) == [3, 1]
        assert found(states=("pending", "parked")) == [4, 3, 1]
        assert found(states=("delivered",)) == [2]
        assert found(states=("duplicate", "delivered")) == [5, 2]
        assert found(states=("pending",), outbounds=("lis",)) == [1]
        assert found(park_codes=("step",)) == [4]
        assert found(since=NOON + 3) == [5, 4, 3]
        assert found(until=NOON + 3) == [2, 1]
        assert found(ids=(f"{DAY}-2", f"{DAY}-4.1")) == [4, 2]

    def test_terms_find_without_case_and_width(self, store: Store) -> None:
        """A patient is found by the id in any writing; two terms must both hold."""
        accept(store, *[arrival(n) for n in range(1, 8)])
        assert [
            one.message_id for one in store.find_messages(MessageFilter(patient=" p1 ")).items
        ] == [f"{DAY}-{n}" for n in (7, 4, 1)]
        assert [
            one.message_id
            for one in store.find_messages(MessageFilter(patient="\uff301", control_id="c4")).items
        ] == [f"{DAY}-4"]
        assert store.find_messages(MessageFilter(visit="P1")).items == ()

    def test_pages_of_messages_join_without_gap(self, store: Store) -> None:
        """Reading page by page gives every message once, over days."""
        accept(store, *[arrival(n) for n in range(1, 8)])
        accept(store, *[arrival(n, day=NEXT_DAY, control_id=f"N{n}") for n in range(1, 4)])
        found, cursor = [], ""
        while True:
            page = store.find_messages(MessageFilter(), limit=3, cursor=cursor)
            found += [one.message_id for one in page.items]
            cursor = page.cursor
            if not cursor:
                break
        assert found == [f"{NEXT_DAY}-{n}" for n in (3, 2, 1)] + [
            f"{DAY}-{n}" for n in range(7, 0, -1)
        ]

    def test_deliveries_are_selected_one_by_one(self, store: Store) -> None:
        """A selection for requeue names deliveries, oldest first, and pages."""
        accept(store, arrival(1, delivery(1), delivery(2, "pacs")), arrival(2), arrival(3))
        settle(store, refused(f"{DAY}-1.1", "continue"), refused(f"{DAY}-3.1", "continue"))

        def found(limit: int = 100, cursor: str = "", **filters: object) -> list[str]:
            where = MessageFilter(**filters)  # type: ignore[arg-type]
            page = store.find_deliveries(where, limit=limit, cursor=cursor)
            if page.cursor:
                return [one.delivery_id for one in page.items] + found(
                    limit, page.cursor, **filters
                )
            return [one.delivery_id for one in page.items]

        assert found(states=("parked",)) == ids(1, 3)
        assert found(outbounds=("pacs",)) == [f"{DAY}-1.2"]
        assert found(ids=(f"{DAY}-1",)) == [f"{DAY}-1.1", f"{DAY}-1.2"]
        assert found(ids=(f"{DAY}-1.2", f"{DAY}-2")) == [f"{DAY}-1.2", f"{DAY}-2.1"]
        assert found(limit=1) == [f"{DAY}-1.1", f"{DAY}-1.2", *ids(2, 3)]
        assert (
            store.find_deliveries(MessageFilter(park_codes=("nack",))).items[0].park_reason
            == "AR from the receiver"
        )

    def test_counts_are_what_is_owed(self, store: Store) -> None:
        """Depths follow every move; the oldest is the oldest that waits."""
        accept(store, keyed(1, 1), keyed(2, 1), keyed(3, 2), arrival(4, delivery(1, "pacs")))
        settle(store, refused(f"{DAY}-1.1"))
        counts = store.counts()
        lis = counts.outbounds["lis"]
        assert (lis.pending, lis.held, lis.parked, lis.oldest_at) == (1, 1, 1, NOON + 2)
        assert counts.outbounds["pacs"].pending == 1
        assert counts.seq == 4
        assert counts.inbounds["his_adt"].accepted == 4
        assert counts.inbounds["his_adt"].last_at == NOON + 4

    def test_the_ledger_adds_up(self, store: Store) -> None:
        """The three equations hold after everything that can happen to messages."""
        filtered = (RouteResult("a", RouteOutcome.FILTERED, "no"),)
        accept(
            store,
            keyed(1, 1),
            keyed(2, 1),
            replace(arrival(3, routes=filtered), deliveries=()),
            replace(arrival(4, state=MessageState.REJECTED, routes=()), deliveries=()),
            arrival(5, body=arrival(3).body, control_id="C3"),
            arrival(6, parked(), routes=(RouteResult("a", RouteOutcome.PARKED),)),
        )
        settle(store, refused(f"{DAY}-1.1"))
        operate(store, "cancel", f"{DAY}-6.1")
        commit(store, IntakeLoss("his_adt", DAY, 17, 2), IntakeLoss("his_adt", DAY, 3))
        (row,) = store.ledger(DAY)
        assert (row.stored, row.accepted, row.rejected, row.duplicate) == (6, 4, 1, 1)
        assert (row.route_results, row.queued, row.filtered, row.parked_at_step) == (4, 2, 1, 1)
        assert row.created == 3
        assert {name: count for name, count in row.deliveries.items() if count} == {
            "parked": 1,
            "held": 1,
            "cancelled": 1,
        }
        assert (row.discarded_bytes, row.refused_frames) == (20, 2)
        assert row.differences() == ()
        assert store.check_ledger(DAY) == ()
        assert store.ledger_days()[0] == DAY


class ControlConformance:
    """Settings, pauses, snapshots, audit."""

    def test_snapshots_are_known_by_their_content(self, store: Store) -> None:
        """The same files are one snapshot, other files another; each comes back whole."""
        files = {"medbus.yaml": b"site: x", "channels/a.yaml": b"\x00\xff"}
        first = store.put_snapshot(files, at=1.0)
        assert store.put_snapshot(dict(reversed(files.items())), at=2.0) == first
        second = store.put_snapshot({**files, "medbus.yaml": b"site: y"}, at=3.0)
        assert second != first
        assert store.get_snapshot(first) == files
        assert store.list_snapshots() == ((first, 1.0), (second, 3.0))
        with pytest.raises(NotFound):
            store.get_snapshot("0")

    def test_pauses_are_kept_until_dropped(self, store: Store) -> None:
        """A pause says who, when, why and until."""
        switch = Switch("outbound", "lis", 1.0, "nurse", "LIS is down", 9.0)
        store.put_switch(switch)
        store.put_switch(replace(switch, reason="still down"))
        assert store.switches() == (replace(switch, reason="still down"),)
        store.drop_switch("outbound", "lis")
        assert store.switches() == ()

    def test_settings_are_kept(self, store: Store) -> None:
        """The last value counts; what was never put is empty."""
        assert store.get_setting("running") == ""
        store.put_setting("running", "a")
        store.put_setting("running", "b")
        assert store.get_setting("running") == "b"

    def test_the_audit_chain_lists_and_verifies(self, store: Store) -> None:
        """Records come back newest first, page by page, numbered without gap."""
        for n in range(1, 6):
            record = AuditRecord(0, float(n), "nurse", "show", f"{DAY}-{n}", "why", "", {"a": "b"})
            assert store.audit(record) == n
        page = store.list_audit(limit=3)
        assert [one.seq for one in page.items] == [5, 4, 3]
        assert page.items[0] == AuditRecord(
            5, 5.0, "nurse", "show", f"{DAY}-5", "why", "", {"a": "b"}
        )
        rest = store.list_audit(limit=3, cursor=page.cursor)
        assert ([one.seq for one in rest.items], rest.cursor) == ([2, 1], "")
        assert [one.seq for one in store.list_audit(since=4.0).items] == [5, 4]
        verdict = store.verify_audit()
        assert (verdict.ok, verdict.count) == (True, 5)


class StoreConformance(
    AcceptConformance,
    DuplicateConformance,
    SettleConformance,
    HoldConformance,
    LaneConformance,
    OperateConformance,
    ReadConformance,
    ControlConformance,
    VaultConformance,
):
    """All of it."""
