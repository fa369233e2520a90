"""Both stores, driven alike by chance: they must never disagree, and the ledger always adds up."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.model.records import Accepted, Arrival, NewDelivery, Settlement
from engine.model.states import DeliveryState, ParkCode
from engine.store.memory_store import MemoryStore
from engine.store.operation_records import OperationItem
from engine.store.records import MessageFilter
from engine.store.settings import StoreSettings
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import (
    DAY,
    NEXT_DAY,
    NOON,
    arrival,
    attempt,
    delivered,
    delivery,
    key,
    operation,
    parked,
    refused,
    settle_down,
)

#: what is proven here does not depend on a disk, and hundreds of small stores are quicker without
_MEMORY_DISK = next((one for one in ("/dev/shm",) if Path(one).is_dir()), None)
_OUTBOUNDS = ("lis", "pacs")
_keys = st.lists(st.integers(1, 4), max_size=3, unique=True).map(lambda n: tuple(map(key, n)))
_on_park = st.sampled_from(["hold_key", "continue", "halt"])


@st.composite
def outputs(draw: st.DrawFn) -> list[NewDelivery]:
    """Return the deliveries of a message."""
    found = []
    for number in range(1, draw(st.integers(1, 3)) + 1):
        make = parked if draw(st.integers(0, 7)) == 0 else delivery
        found.append(
            make(
                number,
                draw(st.sampled_from(_OUTBOUNDS)),
                order_keys=draw(_keys),
                on_park=draw(_on_park),
            )
        )
    return found


class TwoStores(RuleBasedStateMachine):
    """SQLite beside the twin in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=_MEMORY_DISK))
        self.settings = StoreSettings(now=lambda: NOON, min_free_bytes=0, min_free_share=0.0)
        self.disk = SqliteStore(self.folder / "data", settings=self.settings)
        self.memory = MemoryStore(now=lambda: NOON)
        self.numbers = {DAY: 0, NEXT_DAY: 0}
        self.operations = 0
        self.day = DAY

    def teardown(self) -> None:
        """Close and remove."""
        self.disk.close()
        shutil.rmtree(self.folder)

    # -- rules ---------------------------------------------------------------------------------

    @rule(batch=st.lists(st.tuples(outputs(), st.integers(1, 30)), min_size=1, max_size=4))
    def accept(self, batch: list[tuple[list[NewDelivery], int]]) -> None:
        """Messages come, some for the second time."""
        self.commit([self.new_arrival(new, control) for new, control in batch])

    @rule(data=st.data(), on_park=_on_park, park=st.booleans())
    def settle(self, data: st.DataObject, on_park: str, park: bool) -> None:
        """A receiver takes or refuses something that waits."""
        chosen = self.choose(data, DeliveryState.PENDING)
        if chosen:
            self.commit([refused(chosen, on_park) if park else delivered(chosen)])

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """A try failed and will be repeated."""
        chosen = self.choose(data, DeliveryState.PENDING)
        if chosen:
            self.commit(
                [
                    Settlement(
                        chosen,
                        0,
                        DeliveryState.PENDING,
                        attempt(),
                        due_at=NOON + 5,
                        uncertain=True,
                    )
                ]
            )

    @rule(data=st.data())
    def late_nack(self, data: st.DataObject) -> None:
        """Something taken is refused after all."""
        chosen = self.choose(data, DeliveryState.DELIVERED)
        if chosen:
            self.commit([refused(chosen, code=ParkCode.LATE_NACK)])

    @rule(data=st.data(), verb=st.sampled_from(["requeue", "release", "cancel", "expire"]))
    def operate(self, data: st.DataObject, verb: str) -> None:
        """An operator acts on anything."""
        chosen = self.choose(data)
        if chosen:
            self.apply(verb, (OperationItem(chosen),))

    @rule(data=st.data(), new=outputs())
    def rerun(self, data: st.DataObject, new: list[NewDelivery]) -> None:
        """A parked one is replaced by what its route gives now."""
        chosen = self.choose(data, DeliveryState.PARKED)
        if chosen:
            self.apply("requeue", (OperationItem(chosen, tuple(new)),))

    @rule()
    def rename(self) -> None:
        """A channel takes over another's queue."""
        self.apply("rename", (), old_name="pacs", new_name="lis")

    @precondition(lambda self: self.day == DAY)
    @rule()
    def midnight(self) -> None:
        """The day changes."""
        self.day = NEXT_DAY

    @rule()
    def restart(self) -> None:
        """The engine stops and starts."""
        self.disk.close()
        self.disk = SqliteStore(self.folder / "data", settings=self.settings)

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def agree(self) -> None:
        """After every rule the two give the same answers."""
        settle_down(self.disk)
        self.same_deliveries()
        self.same_lanes()
        self.same_counts_and_ledger()

    def same_deliveries(self) -> None:
        """Every delivery is in the same state with the same marks."""
        everything = MessageFilter()
        disk = self.disk.find_deliveries(everything).items
        memory = self.memory.find_deliveries(everything).items
        differing = [pair for pair in zip(disk, memory, strict=True) if pair[0] != pair[1]]
        assert differing == []

    def same_lanes(self) -> None:
        """Every lane would send the same, in the same order."""
        for outbound in _OUTBOUNDS:
            for lanes in (1, 3):
                for lane in range(lanes):
                    found = [
                        store.next(store.lane_open(outbound, lane, lanes), 500)
                        for store in (self.disk, self.memory)
                    ]
                    assert found[0] == found[1]

    def same_counts_and_ledger(self) -> None:
        """Depths agree, and counters agree with rows."""
        assert self.disk.counts().outbounds == self.memory.counts().outbounds
        for day in (DAY, NEXT_DAY):
            assert self.disk.check_ledger(day) == ()
            assert self.disk.ledger(day) == self.memory.ledger(day)

    # -- inside --------------------------------------------------------------------------------

    def new_arrival(self, new: list[NewDelivery], control: int) -> Arrival:
        self.numbers[self.day] += 1
        n = self.numbers[self.day]
        return arrival(
            n,
            *new,
            day=self.day,
            received_at=NOON + n + (43_200 if self.day == NEXT_DAY else 0),
            control_id=f"C{control}",
            body=b"body %d" % (control % 20),
        )

    def commit(self, work: list[Arrival] | list[Settlement]) -> None:
        answers = [list(store.commit(work)) for store in (self.disk, self.memory)]
        settle_down(self.disk)
        for disk, memory in zip(*answers, strict=True):
            if isinstance(disk, Accepted):
                assert disk == memory
            else:
                assert type(disk) is type(memory)
                assert getattr(disk, "ok", None) == getattr(memory, "ok", None)

    def apply(self, verb: str, items: tuple[OperationItem, ...], **names: str) -> None:
        self.operations += 1
        wanted = operation(verb, items=items, name=f"op-{self.operations}", **names)
        reports = [store.apply(wanted) for store in (self.disk, self.memory)]
        settle_down(self.disk)
        told = [
            [(item.delivery_id, bool(item.problem), item.replaced_by) for item in report.items]
            for report in reports
        ]
        assert told[0] == told[1]
        assert reports[0].done == reports[1].done

    def choose(self, data: st.DataObject, state: DeliveryState | None = None) -> str:
        where = MessageFilter(states=(state.value,) if state else ())
        found = [one.delivery_id for one in self.memory.find_deliveries(where).items]
        return data.draw(st.sampled_from(found)) if found else ""


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(
    max_examples=20,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
