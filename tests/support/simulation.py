"""
Lanes over a store, with everything that can go wrong, in an order that one number decides.

The world is the store (it survives crashes), the receiver (it never forgets), and one engine at a
time. Each step is drawn from the seed: a message comes, a batch is committed, the store does a
slice of its own work or of an operation, a page is read or told, the receiver answers somehow,
time passes, an operator acts, the day changes, the engine crashes.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from engine.delivery.channel import OutboundChannel
from engine.delivery.lane_seams import LaneSeams
from engine.delivery.policy import DeliveryPolicy
from engine.delivery.rendezvous import lanes_of
from engine.delivery.settlement import (
    Decision,
    decide_on_ack,
    decide_on_timeout,
    decide_on_trouble,
)
from engine.delivery.tries import Try
from engine.hl7.ack import Ack, AckLevel, Verdict
from engine.model.records import Accepted, DueDelivery
from engine.model.retry import Backoff, RetryBudget
from engine.model.states import AttemptOutcome, DeliveryState, ParkCode
from engine.store.ids import K_BITS
from engine.store.interface import Store
from engine.store.operation_records import Operation, OperationItem, OperationVerb
from engine.store.records import Settled
from tests.store.builders import DAY, NEXT_DAY, arrival, delivery
from tests.support.lanes import EPOCH, ReactorTime
from tests.support.simulated_store import InMemory, OnDisk, Row, small_slices

_WAITING = (DeliveryState.PENDING, DeliveryState.HELD)
_ON_PARKED = ("requeue", "requeue", "rerun", "release", "cancel")
_ON_WAITING = ("cancel", "expire")
VERDICTS = {"A": Verdict.ACCEPT, "E": Verdict.ERROR, "R": Verdict.REJECT}


class OrderBroken(AssertionError):
    """Something went out that had to wait."""


@dataclass
class Facts:
    """What the world knows of one delivery, whatever engines come and go."""

    name: str
    seq: int
    keys: tuple[bytes, ...]
    #: how often the receiver took it
    taken: int = 0
    #: an engine heard the receiver's AA
    heard: bool = False
    #: tries after which the engine could not know
    unheard: int = 0
    #: an operator let the followers pass
    is_out_of_order: bool = False
    #: an operator put it, or what stands for it, back at its place
    is_requeued: bool = False
    #: it waited behind a parked one: others of its lane, not of its keys, may have passed
    was_held: bool = False


class SimulatedSender:
    """Holds a try until the world answers it."""

    def __init__(self, engine: Engine, lane: int) -> None:
        self._engine = engine
        self.lane = lane
        self.attempt: Try | None = None
        self.done: Callable[[Decision], None] | None = None

    def send(self, attempt: Try, done: Callable[[Decision], None]) -> None:
        """Check the order, and wait."""
        if self.attempt is not None:
            raise OrderBroken("two in flight in one lane")
        self._engine.world.check_order(self._engine, attempt.delivery)
        self.attempt, self.done = attempt, done

    def probe(self, done: Callable[[bool], None]) -> None:
        """The receiver is never away."""
        done(True)

    def cut_off(self) -> None:
        """No channel of the simulation changes."""

    def stop(self) -> None:
        """Forget the try."""
        self.attempt = self.done = None


class Engine:
    """One incarnation of the engine: its channel and what waits on its behalf."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.commits: list[tuple[Any, Callable[[Any], None]]] = []
        self.reads: list[tuple[Callable[[Any], Any], Callable[[Any], None]]] = []
        #: the loop's queue: answers of commits, pages and wakes come to the lanes in this order
        self.told: list[Callable[[], None]] = []
        self.senders: list[SimulatedSender] = []
        #: an operation that is under way, slice by slice
        self.operation: Generator[None, None, Any] | None = None
        #: acked to this engine; its settlement may not be durable yet
        self.acked: set[str] = set()
        self.channel = OutboundChannel(
            "lis",
            world.policy,
            lane_count=world.lanes,
            seams=LaneSeams(
                reactor=world.reactor,
                clock=ReactorTime(world.reactor),
                dice=world.dice.random,
                submit=lambda work, done: self.commits.append((work, done)),
                read=lambda function, done: self.reads.append((function, done)),
            ),
            make_sender=self._make_sender,
        )
        tokens = [world.store.lane_open("lis", lane, world.lanes) for lane in range(world.lanes)]
        self.channel.start(tokens)

    def _make_sender(self, channel: OutboundChannel, lane: int) -> SimulatedSender:
        self.senders.append(SimulatedSender(self, lane))
        return self.senders[-1]

    def commit(self, count: int, *, tells: bool = True) -> None:
        """Make the oldest *count* works durable; they are told later, if the engine lives."""
        batch, self.commits = self.commits[:count], self.commits[count:]
        if not batch:
            return
        answers = self.world.store.commit([work for work, _ in batch])
        for (_, done), answer in zip(batch, answers, strict=True):
            if tells:
                self.told.append(partial(done, answer))

    def read(self) -> None:
        """Run the oldest read; it is told later, when it may be old."""
        if self.reads:
            function, done = self.reads.pop(0)
            try:
                result = function(self.world.store)
            except Exception as error:  # noqa: BLE001 - told as the thread pool does
                result = error
            self.told.append(lambda: done(result))

    def tell(self) -> None:
        """Let the loop run what has waited longest."""
        if self.told:
            self.told.pop(0)()

    def turn(self) -> bool:
        """One slice of an operation, one of the store's own; return whether more waits."""
        self.ready()
        if self.operation is not None and next(self.operation, self) is self:
            self.operation = None
        return self.world.store.step() or self.operation is not None

    def ready(self) -> None:
        """The writer says, before it commits anything else, that the queue was changed."""
        self.world.store.tell_ready(lambda _: self.told.append(self.channel.wake))


@dataclass
class World:
    """The store, the receiver, the operator, and the seed that moves them."""

    seed: int
    #: where its store lies; None: in memory
    folder: Path | None = None
    dice: random.Random = field(init=False)
    reactor: MemoryReactorClock = field(init=False)
    place: InMemory | OnDisk = field(init=False)
    rush: int = field(init=False)
    care: int = field(init=False)
    news: int = field(init=False)
    haste: int = field(init=False)
    facts: dict[str, Facts] = field(default_factory=dict)
    crashes: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    #: order keys by message
    keys: dict[str, tuple[bytes, ...]] = field(default_factory=dict)
    #: how all deliveries stand
    rows: dict[str, Row] = field(default_factory=dict)
    #: messages whose sender was, or would have been, told that they are stored
    acked: set[str] = field(default_factory=set)
    #: the store has more to do by itself
    is_busy: bool = False
    day: str = DAY
    _numbers: int = 0
    _operations: int = 0

    def __post_init__(self) -> None:
        self.dice = dice = random.Random(self.seed)
        self.reactor = MemoryReactorClock()
        now = lambda: EPOCH + self.reactor.seconds()  # noqa: E731
        self.place = OnDisk(self.folder, now) if self.folder else InMemory(now)
        self.lanes = dice.choice([1, 1, 2, 3, 4])
        self.policy = DeliveryPolicy(
            backoff=Backoff(0.5, 2.0, 4.0),
            on_ack={"AE": RetryBudget(attempts=2), "AR": RetryBudget(attempts=0)},
            on_timeout=dice.choice([RetryBudget(), RetryBudget(attempts=1)]),
            on_park=dice.choice(["hold_key", "continue"] + ["halt"] * (self.lanes == 1)),
            settle_window=dice.choice([1, 1, 2, 5]),
        )
        #: weights of this world: messages that come, what operators do, how soon news of the
        #: queue is told, how fast the loop is
        self.rush = dice.choice([6, 12, 20])
        self.care = dice.choice([1, 3])
        self.news = dice.choice([1, 2, 6])
        self.haste = dice.choice([8, 14, 24])
        #: how much the store gets done of what it does by itself; messages before midnight
        self.slices = dice.choice([1, 4, 12])
        self.late = dice.choice([5, 30, 1000])
        #: how often the receiver refuses
        self.refusals = dice.choice([1, 2, 6])
        self.engine = Engine(self)

    @property
    def store(self) -> Store:
        """The store as it is now."""
        return self.place.store

    # -- what can happen -------------------------------------------------------------------

    def step(self) -> None:
        """Let one thing happen."""
        moves: list[tuple[Callable[[], None], int]] = [
            (self.message, self.rush),
            (self.commit, 10),
            (self.engine.read, 8),
            (self.engine.ready, self.news),
            (self.engine.tell, self.haste),
            (self.answer, 14),
            (self.time, 4),
            (self.turn, self.slices),
            (self.operator, self.care),
            (self.midnight, 1 if self.day == DAY and self._numbers > self.late else 0),
            (self.crash, 1 if self.crashes < 5 else 0),
        ]
        move = self.dice.choices([m for m, _ in moves], [w for _, w in moves])[0]
        self.steps[move.__name__] += 1
        move()

    def message(self) -> None:
        """A message is accepted: it is offered when its commit is told."""
        self._numbers += 1
        number = self._numbers
        count = self.dice.choice([0, 1, 1, 1, 2, 2, 3])
        keys = tuple(bytes([0] * 7 + [n]) for n in self.dice.sample(range(6), count))
        new = delivery(1, order_keys=keys, control_id=f"C{number}", on_park=self.policy.on_park)
        engine = self.engine

        def done(accepted: Any) -> None:
            if isinstance(accepted, Accepted):
                self.acked.add(accepted.message_id)
            if isinstance(accepted, Accepted) and engine is self.engine:
                [state] = accepted.delivery_states
                self.learn()
                self.facts[f"{accepted.message_id}.1"].was_held |= state is DeliveryState.HELD
                if state is DeliveryState.PENDING:
                    engine.channel.offer([self._due(accepted, new)])

        self.keys[f"{self.day}-{number}"] = keys
        engine.commits.append((arrival(number, new, day=self.day), done))

    def midnight(self) -> None:
        """The day changes: what comes from now on lies in another file."""
        self.day = NEXT_DAY

    def turn(self) -> None:
        """The store does something by itself, or goes on with an operation."""
        self.engine.turn()
        self.learn()

    def commit(self) -> None:
        """Some of what waits becomes durable."""
        self.engine.ready()
        self.engine.commit(self.dice.randint(1, 6))
        self.learn()

    def answer(self) -> None:
        """The receiver answers one of the tries in flight, in one of many ways."""
        busy = [sender for sender in self.engine.senders if sender.attempt is not None]
        if busy:
            words = ["AA"] * 10 + ["AE", "timeout", "lost", "refused", "broken"]
            words += ["AR"] * self.refusals
            self._end(self.dice.choice(busy), self.dice.choice(words))

    def time(self) -> None:
        """Time passes."""
        self.reactor.advance(self.dice.choice([0.0, 0.3, 1.0, 5.0]))

    def operator(self) -> None:
        """Somebody acts on something that is parked, now and then on something that waits."""
        if self.engine.operation is not None:
            return
        parked = [n for n, row in self.rows.items() if row.state is DeliveryState.PARKED]
        waiting = [n for n, row in self.rows.items() if row.state in _WAITING]
        if waiting and self.dice.random() < 0.1:
            names, verbs = waiting, _ON_WAITING
        elif parked:
            names, verbs = parked, _ON_PARKED
        else:
            return
        chosen = self.dice.sample(names, min(len(names), self.dice.choice([1, 1, 1, 4])))
        self._begin(self.dice.choice(verbs), sorted(chosen))

    def _begin(self, verb: str, names: list[str]) -> None:
        self._operations += 1
        self.steps[verb] += 1
        items = []
        for name in names:
            self.facts[name].is_out_of_order |= verb == "release"
            self.facts[name].is_requeued |= verb in ("requeue", "rerun")
            new = delivery(
                1, order_keys=self.facts[name].keys, control_id=name, on_park=self.policy.on_park
            )
            items.append(OperationItem(name, (new,) if verb == "rerun" else None))
        asked = OperationVerb.REQUEUE if verb == "rerun" else OperationVerb(verb)
        operation = Operation(
            f"op{self._operations}", asked, EPOCH, "test", "simulated", tuple(items)
        )
        self.engine.ready()
        self.engine.operation = self.store.begin(operation)
        self.engine.turn()
        self.learn()

    def crash(self) -> None:
        """The engine dies: some of its last commit may be durable, nothing of it was told."""
        self.crashes += 1
        self.engine.commit(self.dice.randint(0, len(self.engine.commits)), tells=False)
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        self.learn()
        if self.engine.operation is not None:
            self.engine.operation.close()
        self.store.tell_ready(lambda _: None)
        self.place.crash()
        self.learn()
        self.engine = Engine(self)

    # -- the receiver ----------------------------------------------------------------------

    def _end(self, sender: SimulatedSender, word: str) -> None:
        attempt, done = sender.attempt, sender.done
        assert attempt is not None
        assert done is not None
        sender.attempt = sender.done = None
        facts = self.facts[attempt.delivery.delivery_id]
        now = EPOCH + self.reactor.seconds()
        policy, dice = self.policy, self.dice.random()
        attempt.is_sent = word != "refused"
        if word in ("AA", "lost") or (word in ("timeout", "broken") and self.dice.random() < 0.5):
            facts.taken += 1
            facts.unheard += word != "AA"
        if word == "AA":
            facts.heard = True
            self.engine.acked.add(facts.name)
        if word in ("timeout", "lost"):
            done(decide_on_timeout(attempt, policy, now, dice))
        elif word in ("refused", "broken"):
            outcome = AttemptOutcome(word)
            done(decide_on_trouble(attempt, outcome, word, policy, now, dice))
        else:
            ack = Ack(AckLevel.APPLICATION, VERDICTS[word[1]], word, b"")
            done(decide_on_ack(attempt, ack, policy, now, dice, raw=b"ack"))

    # -- what must hold --------------------------------------------------------------------

    def learn(self) -> None:
        """Note deliveries that have become durable, and how all of them stand."""
        self.rows = self.place.rows()
        for name, row in self.rows.items():
            facts = self.facts.get(name)
            if facts is None:
                message, _, number = name.partition(".")
                facts = self.facts[name] = Facts(name, row.seq, self.keys[message])
                if number != "1":
                    # It stands for others, at their place.
                    facts.is_requeued = True
                    facts.is_out_of_order = any(
                        one.is_out_of_order for one in self.facts.values() if one.seq == row.seq
                    )
        if self.policy.on_park == "hold_key":
            self._learn_who_waits()

    def _learn_who_waits(self) -> None:
        """A row may say pending still: the store gets to it slice by slice."""
        held: set[bytes] = set()
        for facts in sorted(self.facts.values(), key=lambda one: one.seq):
            row = self.rows[facts.name]
            waits = row.state in _WAITING and not held.isdisjoint(facts.keys)
            facts.was_held |= waits or row.state is DeliveryState.HELD
            came_back = facts.is_requeued and row.state is DeliveryState.PENDING
            if waits or came_back or _holds(row):
                held.update(facts.keys)

    def check_order(self, engine: Engine, due: DueDelivery) -> None:
        """Raise when *due* goes out although something before it had to go first."""
        self.learn()
        mine = set(lanes_of(due, self.lanes))
        for other in self.facts.values():
            if other.seq >= due.seq or other.name in engine.acked or other.is_out_of_order:
                continue
            state = self.rows[other.name].state
            keys = set(other.keys) & set(due.order_keys)
            lanes = {int.from_bytes(key, "big") % self.lanes for key in other.keys} or {0}
            if other.is_requeued:
                # What it held while it was parked still waits for it.
                comes_first = bool(keys) and self.policy.on_park != "continue"
            else:
                # While followers of others are let go slice by slice, those of a lane may pass too.
                only_keys = other.was_held or (self.folder and self.policy.on_park == "hold_key")
                comes_first = bool(keys) if only_keys else bool(mine & lanes)
            if state is DeliveryState.PENDING and comes_first and not self._settles(other.name):
                raise OrderBroken(f"{due.delivery_id} went out before {other.name}")
            holds = state in (DeliveryState.PARKED, DeliveryState.HELD) and bool(keys)
            if holds and self.policy.on_park == "hold_key":
                raise OrderBroken(f"{due.delivery_id} passed {other.name}, which is {state}")
            if state is DeliveryState.PARKED and self.policy.on_park == "halt":
                raise OrderBroken(f"{due.delivery_id} passed the halt at {other.name}")

    def _settles(self, name: str) -> bool:
        """Return whether a parking or an end of *name* is on its way to the store."""
        return any(
            getattr(work, "delivery_id", "") == name and work.state is not DeliveryState.PENDING
            for work, _ in self.engine.commits
        )

    def settle_down(self) -> None:
        """No more trouble: the receiver takes everything, until nothing moves any more."""
        for _ in range(10_000):
            for sender in self.engine.senders:
                if sender.attempt is not None:
                    self._end(sender, "AA")
            self.engine.commit(100)
            self.engine.read()
            self.is_busy = self.engine.turn()
            self.engine.ready()
            while self.engine.told:
                self.engine.tell()
            self.learn()
            self.reactor.advance(1.0)
            if self._is_quiet():
                self.reactor.advance(10.0)
                if self._is_quiet():
                    return
        raise AssertionError("it never became quiet")

    def _is_quiet(self) -> bool:
        engine = self.engine
        return not (engine.commits or engine.reads or engine.told or self.is_busy) and not any(
            sender.attempt for sender in engine.senders
        )

    def check_end(self) -> None:
        """Nothing accepted is lost, nothing is stuck, nothing went out twice without a reason."""
        allowed = self.crashes * self.policy.settle_window * self.lanes
        doubled = 0
        assert self.acked <= {name.partition(".")[0] for name in self.facts}, "some are lost"
        for facts in self.facts.values():
            state = self.rows[facts.name].state
            assert state is not DeliveryState.PENDING or self._is_behind_a_halt(), (
                f"{facts.name} is still pending"
            )
            assert state is not DeliveryState.HELD or self._is_behind_a_hold(facts), (
                f"{facts.name} is still held"
            )
            if state is DeliveryState.DELIVERED:
                assert facts.taken >= 1, f"{facts.name} is delivered, the receiver never saw it"
                assert facts.heard, f"{facts.name} is delivered without an ack"
            if state is DeliveryState.PARKED:
                code = self.store.get_delivery(facts.name).park_code
                assert code in (ParkCode.NACK, ParkCode.TIMEOUT)
            may_repeat = facts.is_out_of_order or facts.is_requeued
            doubled += max(facts.taken - 1 - facts.unheard, 0) * (not may_repeat)
        assert doubled <= allowed, f"{doubled} sent twice, {allowed} allowed"
        assert [one for day in (DAY, NEXT_DAY) for one in self.store.check_ledger(day)] == []

    def _is_behind_a_halt(self) -> bool:
        return self.policy.on_park == "halt" and any(
            row.state is DeliveryState.PARKED and not row.is_released for row in self.rows.values()
        )

    def _is_behind_a_hold(self, facts: Facts) -> bool:
        return any(
            row.seq < facts.seq
            and not set(self.facts[name].keys).isdisjoint(facts.keys)
            and (row.state is DeliveryState.HELD or _holds(row))
            for name, row in self.rows.items()
        )

    def _due(self, accepted: Accepted, new: Any) -> DueDelivery:
        return DueDelivery(
            delivery_id=f"{accepted.message_id}.1",
            seq=accepted.seq,
            number=1,
            outbound="lis",
            route=new.route,
            inbound="his_adt",
            body=new.body,
            control_id=new.control_id,
            promises=("", ""),
            order_keys=new.order_keys,
            file_name="",
            received_at=EPOCH,
            due_at=0.0,
            attempts=0,
            place=1 << K_BITS | 1,
        )


def simulate(seed: int, folder: Path | None = None, steps: int = 400) -> World:
    """
    Run one world to its end and check it; raises AssertionError with what went wrong.

    Args:
        folder: where a store on disk is to lie; without one the world has the twin in memory.
    """
    with small_slices(1 + seed % 3):
        world = World(seed, folder)
        try:
            for _ in range(steps):
                world.step()
            world.settle_down()
            world.check_end()
        finally:
            world.place.close()
    return world


def _holds(row: Row) -> bool:
    return row.state is DeliveryState.PARKED and not row.is_released


__all__ = ["OrderBroken", "Settled", "World", "simulate"]
