"""The order of events in lanes: head, send, settle, commit, next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.testing import MemoryReactorClock

from engine.delivery.channel import OutboundChannel
from engine.delivery.lane import LaneState
from engine.delivery.policy import DeliveryPolicy
from engine.delivery.settlement import (
    Decision,
    decide_on_ack,
    decide_on_timeout,
    decide_on_trouble,
)
from engine.delivery.tries import Try
from engine.hl7.ack import Ack, AckLevel, Verdict
from engine.model.errors import Fenced, MedbusError, StoreFull
from engine.model.records import Attempt, DueDelivery, Park, Settlement
from engine.model.retry import Backoff, RetryBudget
from engine.model.states import AttemptOutcome, DeliveryState, ParkCode
from engine.store.records import StoredAttempt
from tests.support.lanes import EPOCH, QueueStore, due, seams_for


class HandSender:
    """A sender whose tries end when the test says how."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.attempt: Try | None = None
        self._done: Callable[[Decision], None] | None = None
        self.probes: list[Callable[[bool], None]] = []
        self.is_stopped = False

    def send(self, attempt: Try, done: Callable[[Decision], None]) -> None:
        """Note it."""
        assert self.attempt is None, "two in flight"
        self.attempt, self._done = replace(attempt, is_sent=True), done
        self._bench.sent.append(attempt.delivery.seq)

    def probe(self, done: Callable[[bool], None]) -> None:
        """Note it."""
        self.probes.append(done)

    def stop(self) -> None:
        """Note it."""
        self.is_stopped = True

    def cut_off(self) -> None:
        """End the try in flight."""
        self.end("broken")

    def end(self, how: str) -> None:
        """End the try in flight: an ack code, "timeout", "refused" or "broken"."""
        attempt, done = self.attempt, self._done
        assert attempt is not None
        assert done is not None
        self.attempt = self._done = None
        policy, now = self._bench.policy, self._bench.channel.seams.clock.now()
        if how == "timeout":
            done(decide_on_timeout(attempt, policy, now, 0.0))
        elif how in ("refused", "broken"):
            done(decide_on_trouble(attempt, AttemptOutcome(how), "no", policy, now, 0.0))
        else:
            verdict = {"A": Verdict.ACCEPT, "E": Verdict.ERROR, "R": Verdict.REJECT}[how[1]]
            ack = Ack(AckLevel.APPLICATION, verdict, how, b"")
            done(decide_on_ack(attempt, ack, policy, now, 0.0, raw=b""))


class Bench:
    """A channel with hand-driven senders over a hand-driven store."""

    def __init__(self, lanes: int = 1, **policy: Any) -> None:
        self.policy = DeliveryPolicy(**policy)
        self.store = QueueStore(lanes)
        self.reactor = MemoryReactorClock()
        self.sent: list[int] = []
        self.senders: list[HandSender] = []
        self.settled: list[tuple[int, DeliveryState]] = []
        self.channel = OutboundChannel(
            "lis",
            self.policy,
            lane_count=lanes,
            seams=seams_for(self.reactor, self.store),
            make_sender=self._make_sender,
            on_settled=lambda delivery, s: self.settled.append((delivery.seq, s.state)),
        )

    def _make_sender(self, channel: OutboundChannel, lane: int) -> HandSender:
        self.senders.append(HandSender(self))
        return self.senders[-1]

    def start(self, *deliveries: DueDelivery) -> Bench:
        """Start with *deliveries* owed."""
        self.store.add(*deliveries)
        self.channel.start([index + 1 for index in range(self.channel.lane_count)])
        return self

    def accept(self, *deliveries: DueDelivery) -> None:
        """Commit new deliveries and offer them."""
        self.store.add(*deliveries)
        self.channel.offer(deliveries)

    def state(self, lane: int = 0) -> LaneState:
        """Return what a lane does."""
        return self.channel.status().lanes[lane]


def key(text: str) -> bytes:
    """Return an order key whose lane is its first character's number modulo the lanes."""
    return bytes(7) + text.encode()[:1]


def test_what_is_owed_at_start_goes_out_in_order() -> None:
    """After a start everything pending is read from the store and sent one by one."""
    bench = Bench().start(*(due(n) for n in range(1, 200)))
    for _ in range(1, 200):
        bench.senders[0].end("AA")
    assert bench.sent == list(range(1, 200))
    assert bench.channel.is_drained
    assert set(bench.store.states.values()) == {DeliveryState.DELIVERED}


def test_the_next_one_waits_for_the_commit() -> None:
    """With settle_window 1 nothing is sent before the last settlement is durable."""
    bench = Bench().start(due(1), due(2))
    bench.store.commits_at_once = False
    bench.senders[0].end("AA")
    assert bench.sent == [1]
    assert bench.state() is LaneState.SETTLING
    bench.store.commit()
    assert bench.sent == [1, 2]


def test_a_settle_window_lets_sends_run_ahead() -> None:
    """With settle_window 3 at most three settlements wait for their commit."""
    bench = Bench(settle_window=3).start(*(due(n) for n in range(1, 9)))
    bench.store.commits_at_once = False
    for _ in range(3):
        bench.senders[0].end("AA")
    assert bench.sent == [1, 2, 3]
    assert bench.senders[0].attempt is None
    bench.store.commit()
    assert bench.sent == [1, 2, 3, 4]


def test_nothing_runs_ahead_of_a_parking() -> None:
    """Followers of a parked delivery may be held, so its commit is awaited in any window."""
    bench = Bench(settle_window=8, on_park="hold_key")
    bench.start(due(1, keys=(key("a"),)), due(2, keys=(key("a"),)), due(3, keys=(key("b"),)))
    bench.store.commits_at_once = False
    bench.senders[0].end("AR")
    assert bench.sent == [1]
    bench.store.commit()
    assert bench.sent == [1, 3]
    assert bench.store.states["20261121-2.1"] is DeliveryState.HELD


def test_a_caught_up_lane_never_reads_the_store() -> None:
    """What is offered after its commit is sent from memory."""
    bench = Bench().start()
    reads = bench.store.page_reads
    for number in range(1, 50):
        bench.accept(due(number))
        bench.senders[0].end("AA")
    assert bench.sent == list(range(1, 50))
    assert bench.store.page_reads == reads


def test_a_backlog_is_read_in_pages_with_bounded_memory() -> None:
    """A lane that is behind keeps a few hundred deliveries, and loses or swaps none."""
    bench = Bench().start()
    bench.accept(*(due(number) for number in range(1, 2001)))
    window = bench.channel._lanes[0]._window
    for _ in range(2000):
        assert len(window) <= 512
        bench.senders[0].end("AA")
    assert bench.sent == list(range(1, 2001))


def test_offers_while_a_page_is_read_are_found_in_the_store() -> None:
    """What is committed during a page read is neither lost nor sent twice."""
    bench = Bench()
    bench.store.reads_at_once = False
    bench.start(due(1))
    bench.accept(due(2), due(3))
    for _ in range(3):
        bench.store.tell_reads()
        bench.senders[0].end("AA")
        bench.store.tell_reads()
    bench.accept(due(4))
    bench.senders[0].end("AA")
    assert bench.sent == [1, 2, 3, 4]


def test_a_page_that_is_short_for_its_bytes_is_not_the_last() -> None:
    """Large messages make small pages; what is behind them is neither forgotten nor overtaken."""
    bench = Bench()
    bench.store.page_bytes = 10
    bench.start(*(due(number) for number in range(1, 21)))
    bench.accept(due(21))
    for _ in range(21):
        bench.senders[0].end("AA")
    assert bench.sent == list(range(1, 22))


def test_what_is_offered_during_the_last_read_is_taken_over() -> None:
    """When the store has nothing older, offers that came meanwhile go from memory, in order."""
    bench = Bench()
    bench.store.reads_at_once = False
    bench.start()
    bench.accept(due(1), due(2))
    bench.store.tell_reads()
    assert bench.store.page_reads == 1
    bench.senders[0].end("AA")
    bench.senders[0].end("AA")
    bench.accept(due(3))
    assert bench.sent == [1, 2, 3]
    assert bench.store.page_reads == 1


@pytest.mark.parametrize("is_read_out", [False, True])
def test_an_offer_later_than_the_page_that_shows_it_sends_nothing_twice(is_read_out: bool) -> None:
    """A page may be faster than the commit's callback: the offer is then known already."""
    bench = Bench()
    bench.store.reads_at_once = False
    bench.start(due(1))
    bench.store.tell_reads()
    if is_read_out:
        bench.store.tell_reads()
    bench.channel.offer([due(1)])
    bench.store.tell_reads()
    bench.senders[0].end("AA")
    bench.store.tell_reads()
    assert bench.sent == [1]
    bench.accept(due(2))
    bench.store.tell_reads()
    assert bench.sent == [1, 2]


def test_a_store_that_cannot_be_read_is_asked_again() -> None:
    """A failed page read costs a second, not the queue."""
    bench = Bench()
    bench.store.broken_reads = 2
    bench.start(due(1))
    assert bench.sent == []
    bench.reactor.advance(1.1)
    bench.reactor.advance(1.1)
    assert bench.sent == [1]


def test_an_error_is_tried_again_after_growing_waits() -> None:
    """AE sends the same delivery again after 1, 2, 4 seconds; nothing overtakes it."""
    bench = Bench().start(due(1), due(2))
    for wait_s in (1.0, 2.0, 4.0):
        bench.senders[0].end("AE")
        assert bench.state() is LaneState.WAITING
        bench.reactor.advance(wait_s - 0.01)
        assert bench.senders[0].attempt is None
        bench.reactor.advance(0.02)
    bench.senders[0].end("AA")
    assert bench.sent == [1, 1, 1, 1, 2]


def test_budgets_survive_a_restart() -> None:
    """Attempts made before a restart count: the eleventh AE parks, whoever saw the first ten."""
    bench = Bench()
    tries = [Attempt(EPOCH, 0.1, AttemptOutcome.NACK, "AE") for _ in range(10)]
    bench.store.attempts["20261121-1.1"] = [
        StoredAttempt(number, each) for number, each in enumerate(tries, 1)
    ]
    bench.start(due(1, attempts=10))
    bench.senders[0].end("AE")
    assert bench.store.states["20261121-1.1"] is DeliveryState.PARKED


def test_tries_that_were_read_for_another_delivery_change_no_budget() -> None:
    """What an operator requeued in front, while they were read, keeps the count of its own."""
    bench = Bench(on_ack={"AE": RetryBudget(attempts=1)})
    bench.store.reads_at_once = False
    bench.start(due(2, attempts=1))
    bench.store.tell_reads()
    tell_page, tell_tries = bench.store.waiting_reads
    bench.store.waiting_reads.clear()
    tell_page()
    bench.store.add(due(1))
    bench.channel.wake()
    bench.store.tell_reads()
    bench.senders[0].end("AE")
    tell_tries()
    bench.reactor.advance(1.1)
    bench.senders[0].end("AE")
    assert bench.sent == [1, 1]
    assert bench.store.states["20261121-1.1"] is DeliveryState.PARKED


def test_a_timeout_budget_parks_and_the_next_goes() -> None:
    """on_timeout {retry: 1, then: park}: two silences, then a person is needed."""
    bench = Bench(on_timeout=RetryBudget(attempts=1)).start(due(1), due(2))
    bench.senders[0].end("timeout")
    bench.reactor.advance(2)
    bench.senders[0].end("timeout")
    assert bench.sent == [1, 1, 2]
    assert bench.settled == [(1, DeliveryState.PARKED)]


def test_halt_stops_the_lane_until_somebody_acts() -> None:
    """on_park: halt sends nothing behind a parked delivery until the queue is changed."""
    bench = Bench(on_park="halt").start(due(1), due(2))
    bench.senders[0].end("AR")
    assert bench.state() is LaneState.HALTED
    bench.accept(due(3))
    assert bench.sent == [1]
    bench.channel.wake()
    bench.senders[0].end("AA")
    assert bench.sent == [1, 2, 3]


def test_a_late_refusal_halts_as_any_other() -> None:
    """on_park: halt: what is in memory behind a late refusal waits too."""
    bench = Bench(on_park="halt").start(due(1), due(2), due(3))
    bench.senders[0].end("AA")
    late = Settlement(
        "20260101-1.1", 1, DeliveryState.PARKED, park=Park(ParkCode.LATE_NACK, ""), on_park="halt"
    )
    bench.store.add(due(9, delivery_id=late.delivery_id))
    bench.channel.note(0, due(9, delivery_id=late.delivery_id), late)
    bench.senders[0].end("AA")
    assert (bench.sent, bench.state()) == ([1, 2], LaneState.HALTED)


@pytest.mark.parametrize("on_park", ["halt", "continue", "hold_key"])
def test_what_was_parked_with_halt_still_halts_after_a_restart_or_a_reload(on_park: str) -> None:
    """Nothing new passes older ones that wait behind a halt, whatever on_park says by now."""
    bench = Bench(on_park=on_park)
    bench.store.halted = True
    bench.start()
    bench.accept(due(2))
    assert (bench.sent, bench.state()) == ([], LaneState.HALTED)
    bench.store.halted = False
    bench.store.add(due(1))
    bench.channel.wake()
    bench.senders[0].end("AA")
    assert bench.sent == [1, 2]


def test_a_halt_that_was_read_before_an_operator_acted_says_nothing() -> None:
    """If this failed, a lane would stand for ever when a release and a read cross."""
    bench = Bench()
    bench.store.halted, bench.store.reads_at_once = True, False
    bench.start()
    (read,) = bench.store.waiting_reads
    bench.store.waiting_reads.clear()
    bench.store.halted = False
    bench.store.add(due(1))
    bench.channel.wake()
    bench.store.reads_at_once = True
    read()
    assert bench.sent == [1]


def test_a_requeued_delivery_does_not_wait_for_the_next_one_s_back_off() -> None:
    """An operator's requeue during a try that fails goes out at once, before the failed one."""
    bench = Bench(on_park="continue").start(due(1), due(2))
    bench.senders[0].end("AR")
    bench.store.states["20261121-1.1"] = DeliveryState.PENDING
    bench.channel.wake()
    bench.senders[0].end("timeout")
    assert bench.sent == [1, 2, 1]


def test_a_back_off_from_before_a_restart_ends_early_too() -> None:
    """A fresh lane learns from the stored tries why it waits, and looks for the peer."""
    bench = Bench()
    tried = Attempt(EPOCH, 0.1, AttemptOutcome.REFUSED)
    bench.store.attempts["20261121-1.1"] = [StoredAttempt(1, tried)]
    bench.start(due(1, attempts=1, due_at=EPOCH + 300.0))
    bench.reactor.advance(5.0)
    assert bench.sent == []
    bench.senders[0].probes[-1](True)
    assert bench.sent == [1]


def test_a_requeued_delivery_goes_out_at_its_own_place() -> None:
    """After wake the lane reads from the start: what an operator requeued comes first again."""
    bench = Bench().start(due(1), due(2), due(3))
    bench.senders[0].end("AR")
    bench.store.states["20261121-1.1"] = DeliveryState.PENDING
    bench.channel.wake()
    assert bench.sent == [1, 2]
    bench.senders[0].end("AA")
    bench.senders[0].end("AA")
    bench.senders[0].end("AA")
    assert bench.sent == [1, 2, 1, 3]


def test_a_wake_in_the_middle_of_a_try_sends_nothing_twice() -> None:
    """Changes from outside during a try or its commit neither repeat nor lose a delivery."""
    bench = Bench().start(due(1), due(2))
    bench.channel.wake()
    bench.store.commits_at_once = False
    bench.senders[0].end("AA")
    bench.channel.wake()
    assert bench.sent == [1]
    bench.store.commit()
    assert bench.sent == [1, 2]
    bench.senders[0].end("AE")
    bench.channel.wake()
    bench.store.commit()
    bench.reactor.advance(1.1)
    assert bench.sent == [1, 2, 2]


def test_pause_lets_the_try_finish() -> None:
    """Pausing waits for the try in flight and its commit, then nothing goes until resume."""
    bench = Bench().start(due(1), due(2))
    quiet: list[Any] = []
    bench.channel.pause().addCallback(quiet.append)
    assert quiet == []
    bench.senders[0].end("AA")
    assert quiet == [None]
    assert bench.sent == [1]
    bench.channel.resume()
    assert bench.sent == [1, 2]


def test_pause_interrupts_a_back_off() -> None:
    """No timer of a paused channel sends anything; resume tries at once."""
    bench = Bench().start(due(1))
    bench.senders[0].end("refused")
    bench.channel.pause()
    bench.reactor.advance(600)
    assert bench.sent == [1]
    bench.channel.resume()
    assert bench.sent == [1, 1]


def test_back_off_ends_early_when_another_lane_gets_through() -> None:
    """A lane waiting for an unreachable peer goes on as soon as a sibling has connected."""
    bench = Bench(lanes=2).start(due(1, keys=(bytes([0]) * 8,)), due(2, keys=(bytes(7) + b"\1",)))
    bench.senders[0].end("refused")
    bench.senders[1].end("refused")
    assert bench.sent == [1, 2]
    bench.channel.connected(1)
    assert bench.sent == [1, 2, 1]


def test_a_receiver_that_hangs_up_gets_the_whole_wait() -> None:
    """If this failed, one that takes each message and hangs up would get it every five seconds."""
    bench = Bench(backoff=Backoff(40.0, 2.0, 300.0)).start(due(1))
    bench.senders[0].end("broken")
    bench.reactor.pump([1.0] * 12)
    for probe in bench.senders[0].probes:
        probe(True)
    assert bench.sent == [1]
    bench.reactor.pump([1.0] * 30)
    assert bench.sent == [1, 1]
    bench.senders[0].end("broken")
    bench.reactor.pump([1.0] * 6)
    bench.senders[0].probes[-1](False)
    bench.reactor.pump([1.0] * 6)
    bench.senders[0].probes[-1](True)
    assert bench.sent == [1, 1, 1], "it was away in between"


def test_back_off_ends_early_when_a_probe_gets_through() -> None:
    """A long wait looks every few seconds whether the peer is back."""
    bench = Bench().start(due(1))
    for wait_s in (1, 2, 4, 8):
        bench.senders[0].end("refused")
        bench.reactor.pump([1.0] * wait_s)
    bench.senders[0].end("refused")
    assert len(bench.sent) == 5
    bench.reactor.advance(5.0)
    assert bench.senders[0].probes
    assert len(bench.sent) == 5
    bench.senders[0].probes[-1](True)
    assert len(bench.sent) == 6


def test_a_sick_lane_does_not_hold_up_a_healthy_one() -> None:
    """Deliveries of other lanes flow while one lane waits."""
    a, b = bytes(8), bytes(7) + b"\1"
    bench = Bench(lanes=2)
    bench.start(*(due(n, keys=(a if n % 2 else b,)) for n in range(1, 11)))
    bench.senders[0].end("timeout")
    for _ in range(5):
        bench.senders[1].end("AA")
    assert bench.sent == [1, 2, 4, 6, 8, 10]


def test_a_merge_waits_for_all_its_keys_and_blocks_them() -> None:
    """A delivery with keys of two lanes goes when both have reached it, before what follows."""
    a, b = bytes(8), bytes(7) + b"\1"
    bench = Bench(lanes=2).start(
        due(1, keys=(a,)), due(2, keys=(b,)), due(3, keys=(a, b)), due(4, keys=(b,)),
        due(5, keys=(a,)),
    )  # fmt: skip
    bench.senders[1].end("AA")
    assert bench.state(1) is LaneState.MEETING
    assert bench.sent == [1, 2]
    bench.senders[0].end("AA")
    assert bench.sent == [1, 2, 3]
    assert bench.senders[1].attempt is None
    bench.senders[0].end("AA")
    assert sorted(bench.sent[3:]) == [4, 5]
    bench.senders[0].end("AA")
    bench.senders[1].end("AA")
    assert bench.channel.is_drained


def test_a_merge_reached_last_by_the_second_lane_goes() -> None:
    """The lane of the first key is told when the other one arrives."""
    a, b = bytes(8), bytes(7) + b"\1"
    bench = Bench(lanes=2).start(due(1, keys=(b,)), due(2, keys=(a, b)))
    assert bench.sent == [1]
    bench.senders[1].end("AA")
    bench.reactor.advance(0)
    assert bench.sent == [1, 2]
    bench.senders[0].end("AA")
    assert bench.channel.is_drained


def test_a_parked_merge_lets_both_lanes_go_on() -> None:
    """Once a merge is parked, other patients of both lanes flow; its own are held."""
    a, b = bytes(8), bytes(7) + b"\1"
    c, d = bytes(7) + b"\2", bytes(7) + b"\3"
    bench = Bench(lanes=2, on_park="hold_key").start(
        due(1, keys=(a, b)), due(2, keys=(a,)), due(3, keys=(b,)), due(4, keys=(c,)),
        due(5, keys=(d,)),
    )  # fmt: skip
    bench.reactor.advance(0)
    bench.senders[0].end("AR")
    assert sorted(bench.sent[1:]) == [4, 5]


def test_the_rate_is_kept_over_all_lanes() -> None:
    """rate: 2/s sends two in each second, also in the first, however long it was idle before."""
    bench = Bench(rate_per_s=2.0).start(*(due(n) for n in range(1, 20)))
    seen = []
    for _ in range(3):
        for _ in range(20):
            if bench.senders[0].attempt is not None:
                bench.senders[0].end("AA")
            bench.reactor.advance(0.05)
        seen.append(len(bench.sent))
    assert seen[0] in (2, 3)
    assert seen[2] in (6, 7)


def test_expired_deliveries_are_not_sent() -> None:
    """expire_after settles what is too old without a try, and the next goes."""
    bench = Bench(expire_after_s=60.0).start(
        due(1, received_at=EPOCH - 61.0), due(2, received_at=EPOCH)
    )
    assert bench.sent == [2]
    assert bench.settled[0] == (1, DeliveryState.EXPIRED)


@pytest.mark.parametrize("place", ["in flight", "committing", "waiting", "behind"])
def test_a_sender_s_wait_that_ran_out_expires_its_delivery(place: str) -> None:
    """expire() takes a delivery out wherever it stands; one in flight gets no further try."""
    bench = Bench().start(due(1), due(2), due(3))
    number = 2 if place == "behind" else 1
    bench.store.commits_at_once = place != "committing"
    if place in ("waiting", "committing"):
        bench.senders[0].end("AE")
    bench.channel.expire(f"20261121-{number}.1")
    bench.store.commits_at_once = True
    bench.store.commit()
    if place in ("in flight", "behind"):
        bench.senders[0].end("AE" if place == "in flight" else "AA")
    assert bench.store.states[f"20261121-{number}.1"] is DeliveryState.EXPIRED
    assert bench.sent == ([1, 3] if place == "behind" else [1, 2])


@pytest.mark.parametrize(("how", "uncertain"), [("timeout", True), ("AE", None)])
def test_what_expires_in_flight_says_whether_the_receiver_may_have_it(
    how: str, uncertain: bool | None
) -> None:
    """A try without an answer leaves its mark although no further one follows."""
    bench = Bench().start(due(1))
    bench.channel.expire("20261121-1.1")
    bench.senders[0].end(how)
    (settlement,) = bench.store.settlements
    assert (settlement.state, settlement.uncertain) == (DeliveryState.EXPIRED, uncertain)


@pytest.mark.parametrize("why", [StoreFull(), MedbusError("somebody has the file", code="STO-004")])
def test_a_full_or_busy_store_is_asked_again(why: MedbusError) -> None:
    """A settlement that the store refuses for now is offered again; nothing is sent meanwhile."""
    bench = Bench().start(due(1), due(2))
    bench.store.answers = [why, why]
    bench.senders[0].end("AA")
    assert bench.sent == [1]
    bench.reactor.advance(1.1)
    assert bench.sent == [1]
    bench.reactor.advance(1.1)
    assert bench.sent == [1, 2]


def test_a_fence_stops_the_lane() -> None:
    """After the disk failed nothing more is sent."""
    bench = Bench().start(due(1), due(2))
    bench.store.answers = [Fenced()]
    bench.senders[0].end("AA")
    assert bench.sent == [1]
    assert bench.state() is LaneState.STOPPED
    assert bench.senders[0].is_stopped


def test_a_cancelled_delivery_is_not_tried_again() -> None:
    """When an operator cancelled it during a try, its settlement is refused and the next goes."""
    bench = Bench().start(due(1), due(2))
    bench.store.states["20261121-1.1"] = DeliveryState.CANCELLED
    bench.senders[0].end("AE")
    bench.reactor.advance(2)
    assert bench.sent == [1, 2]


def test_a_stale_lane_stops() -> None:
    """A lane whose token is no longer valid sends nothing."""
    bench = Bench()
    bench.store.add(due(1))
    bench.channel.start([0])
    assert bench.sent == []
    assert bench.state() is LaneState.STOPPED


def test_stop_waits_for_the_try_and_leaves_no_timer() -> None:
    """stop() ends quietly: the try in flight is committed, no delayed call stays."""
    bench = Bench().start(due(1), due(2))
    stopped: list[Any] = []
    bench.channel.stop(10.0).addCallback(stopped.append)
    bench.senders[0].end("AA")
    assert stopped == [None]
    assert bench.sent == [1]
    assert bench.reactor.getDelayedCalls() == []


def test_a_channel_that_ends_is_not_resumed() -> None:
    """If this failed, an operator's resume would start tries that a reload then cuts off."""
    bench = Bench(lanes=2).start(due(1, keys=(key("\0"),)), due(2, keys=(key("\1"),)))
    bench.accept(due(3, keys=(key("\0"),)))
    bench.channel.stop(10.0)
    bench.channel.resume()
    bench.senders[0].end("AA")
    bench.senders[1].end("AA")
    assert bench.sent == [1, 2]
    assert bench.state() is LaneState.STOPPED


def test_stop_does_not_wait_for_ever_for_a_try() -> None:
    """A try without an end is cut off: stored as broken and uncertain, and still owed."""
    bench = Bench().start(due(1))
    stopped: list[Any] = []
    bench.channel.stop(10.0).addCallback(stopped.append)
    bench.reactor.advance(9.9)
    assert stopped == []
    bench.reactor.advance(0.2)
    assert stopped == [None]
    (settlement,) = bench.store.settlements
    assert settlement.attempt is not None
    assert settlement.attempt.outcome is AttemptOutcome.BROKEN
    assert (settlement.state, settlement.uncertain) == (DeliveryState.PENDING, True)
    assert bench.reactor.getDelayedCalls() == []


def test_a_listener_that_fails_does_not_stop_the_lane() -> None:
    """What goes wrong in telling of a settled delivery never keeps the next one waiting."""

    def fail(*_: Any) -> None:
        raise RuntimeError("the sender's ack could not be made")

    bench = Bench()
    bench.channel._on_settled = fail
    bench.start(due(1), due(2))
    bench.senders[0].end("AA")
    assert bench.sent == [1, 2]
