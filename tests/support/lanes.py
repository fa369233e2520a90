"""A store that commits when the test says so, and what else a lane is handed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from twisted.internet.testing import MemoryReactorClock

from engine.delivery.lane import LaneSeams
from engine.model.errors import Conflict
from engine.model.records import DueDelivery, Settlement
from engine.model.states import DeliveryState
from engine.store.records import Settled, StoredAttempt

EPOCH = 1_793_500_200.0


def due(number: int, *, keys: tuple[bytes, ...] = (), control_id: str = "", **more: Any) -> Any:
    """Return delivery *number*, with its number as control id."""
    control = control_id or f"C{number}"
    body = f"MSH|^~\\&|A|B|C|D|20261121||ADT^A01|{control}|P|2.5\r".encode()
    values: dict[str, Any] = {
        "delivery_id": f"20261121-{number}.1",
        "seq": number,
        "number": 1,
        "outbound": "lis",
        "route": "r",
        "inbound": "his",
        "body": body,
        "control_id": control,
        "promises": ("", ""),
        "order_keys": keys,
        "file_name": "",
        "received_at": EPOCH,
        "due_at": 0.0,
        "attempts": 0,
        "place": 1,
    }
    return DueDelivery(**{**values, **more})


class ReactorTime:
    """The clock of the engine, driven by the test's reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def now(self) -> float:
        """Return the wall time."""
        return EPOCH + float(self._reactor.seconds())

    def monotonic(self) -> float:
        """Return seconds that only grow."""
        return float(self._reactor.seconds())


@dataclass
class QueueStore:
    """Deliveries of one outbound channel; commits and reads happen when the test says so."""

    lanes: int = 1
    commits_at_once: bool = True
    reads_at_once: bool = True
    rows: dict[str, DueDelivery] = field(default_factory=dict)
    states: dict[str, DeliveryState] = field(default_factory=dict)
    settlements: list[Settlement] = field(default_factory=list)
    waiting_commits: list[tuple[Settlement, Callable[[Any], None]]] = field(default_factory=list)
    waiting_reads: list[Callable[[], None]] = field(default_factory=list)
    attempts: dict[str, list[StoredAttempt]] = field(default_factory=dict)
    #: what the next commits answer instead
    answers: list[Any] = field(default_factory=list)
    page_reads: int = 0
    #: a page ends before it is larger, one delivery apart
    page_bytes: int = 1_000_000_000
    #: the next reads fail
    broken_reads: int = 0
    #: something was parked with halt
    halted: bool = False

    def add(self, *deliveries: DueDelivery) -> None:
        """Have *deliveries* pending."""
        for delivery in deliveries:
            self.rows[delivery.delivery_id] = delivery
            self.states[delivery.delivery_id] = DeliveryState.PENDING

    def submit(self, work: Any, done: Callable[[Any], None]) -> None:
        """Queue a settlement, or commit it at once."""
        self.waiting_commits.append((work, done))
        if self.commits_at_once:
            self.commit()

    def commit(self) -> None:
        """Commit what waits and tell, in order."""
        waiting, self.waiting_commits = self.waiting_commits, []
        told = [(done, self._apply(work)) for work, done in waiting]
        for done, answer in told:
            done(answer)

    def _apply(self, settlement: Settlement) -> Any:
        if self.answers:
            return self.answers.pop(0)
        self.settlements.append(settlement)
        name = settlement.delivery_id
        if self.states.get(name) in (DeliveryState.CANCELLED, DeliveryState.EXPIRED):
            return Settled(name, self.states[name], ok=False)
        self.states[name] = settlement.state
        held: tuple[bytes, ...] = ()
        if settlement.state is DeliveryState.PARKED and settlement.on_park == "hold_key":
            held = self.rows[name].order_keys
            for other in self.rows.values():
                if other.seq > self.rows[name].seq and set(other.order_keys) & set(held):
                    self.states[other.delivery_id] = DeliveryState.HELD
        halted = settlement.state is DeliveryState.PARKED and settlement.on_park == "halt"
        if settlement.attempt is not None:
            row = self.rows[name]
            self.rows[name] = replace(row, attempts=row.attempts + 1, due_at=settlement.due_at)
        return Settled(name, settlement.state, ok=True, held_keys=held, halted=halted)

    def next(self, token: int, n: int, after: DueDelivery | None = None) -> list[DueDelivery]:
        """Return what is pending in the lane of *token* (its index + 1)."""
        if token <= 0:
            raise Conflict("stale token")
        place = (after.seq, after.place) if after is not None else (0, 0)
        rows = sorted(self.rows.values(), key=lambda each: (each.seq, each.place))
        found = [
            each
            for each in rows
            if self.states[each.delivery_id] is DeliveryState.PENDING
            and (each.seq, each.place) > place
            and self._is_of(each, token - 1)
        ]
        page: list[DueDelivery] = []
        for each in found[:n]:
            if page and sum(len(one.body) for one in page) > self.page_bytes:
                break
            page.append(each)
        return page

    def is_halted(self, token: int) -> bool:
        """Return what the test says."""
        return self.halted

    def get_attempts(self, delivery_id: str) -> tuple[StoredAttempt, ...]:
        """Return the stored attempts."""
        return tuple(self.attempts.get(delivery_id, ()))

    def read(self, function: Callable[[Any], Any], done: Callable[[Any], None]) -> None:
        """Run a read now; tell now, or when the test says so."""
        self.page_reads += 1
        try:
            if self.broken_reads:
                self.broken_reads -= 1
                raise OSError("unreadable")
            result = function(self)
        except Exception as error:  # noqa: BLE001 - told as the thread pool does
            result = error
        if self.reads_at_once:
            done(result)
        else:
            self.waiting_reads.append(lambda: done(result))

    def tell_reads(self) -> None:
        """Tell the results of the reads made so far."""
        waiting, self.waiting_reads = self.waiting_reads, []
        for tell in waiting:
            tell()

    def _is_of(self, delivery: DueDelivery, lane: int) -> bool:
        if not delivery.order_keys:
            return lane == 0
        return lane in {int.from_bytes(key, "big") % self.lanes for key in delivery.order_keys}


def seams_for(reactor: MemoryReactorClock, store: QueueStore, dice: float = 0.0) -> LaneSeams:
    """Return what lanes are handed in tests."""
    return LaneSeams(
        reactor=reactor,
        clock=ReactorTime(reactor),
        dice=lambda: dice,
        submit=store.submit,
        read=store.read,
    )
