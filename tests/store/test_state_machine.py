"""
Both stores, driven alike by chance: they must never disagree, and the ledger always adds up.

In a rush the store on disk is between two of its own slices while messages, settlements and
operations come, is killed there, or copied; when it has come to rest the two agree again.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from engine.model.records import Accepted, Arrival, NewDelivery, Settlement
from engine.model.states import DeliveryState, ParkCode
from engine.store.memory_store import MemoryStore
from engine.store.operation_records import OperationItem
from engine.store.records import AckGiven, IntakeLoss, MessageFilter, Work
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
from tests.support.simulated_store import small_slices

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
        #: rules that come before the store on disk may come to rest
        self.rush = 0
        #: slices it does after each of them
        self.slices = 0
        #: killed or copied: what may have been sent is flagged there
        self.may_be_uncertain = False
        self.small = small_slices(2)
        self.small.__enter__()

    def teardown(self) -> None:
        """Close and remove."""
        self.small.__exit__(None, None, None)
        self.disk.close()
        shutil.rmtree(self.folder)

    # -- rules ---------------------------------------------------------------------------------

    @rule(length=st.integers(2, 6), slices=st.integers(0, 2))
    def hurry(self, length: int, slices: int) -> None:
        """For a while everything comes faster than the store gets done."""
        self.rush, self.slices = length, slices

    @rule(batch=st.lists(st.tuples(outputs(), st.integers(1, 30)), min_size=1, max_size=4))
    def accept(self, batch: list[tuple[list[NewDelivery], int]]) -> None:
        """Messages come, some for the second time, some with an id that another had."""
        self.commit([self.new_arrival(new, control) for new, control in batch])

    @rule(data=st.data(), new=outputs(), times=st.integers(1, 2))
    def replay(self, data: st.DataObject, new: list[NewDelivery], times: int) -> None:
        """An old message is replayed; a replay that was cut short is repeated."""
        chosen = self.choose(data).rpartition(".")[0]
        self.operations += 1
        for _ in range(times if chosen else 0):
            again = {"replay_of": chosen, "replay_as": "sent", "duplicate_window_s": 0.0}
            made = self.new_arrival(new, 1)
            self.commit([replace(made, operation_id=f"replay-{self.operations}", **again)])

    @rule(data=st.data())
    def note(self, data: st.DataObject) -> None:
        """An ack becomes known late, bytes are thrown away."""
        chosen = self.choose(data).rpartition(".")[0]
        late = [AckGiven(chosen, b"MSA|AE", "AE")] if chosen else []
        self.commit([*late, IntakeLoss("his_adt", self.day, 7, 1)])

    @rule(data=st.data(), on_park=_on_park, park=st.booleans())
    def settle(self, data: st.DataObject, on_park: str, park: bool) -> None:
        """A receiver takes or refuses something that waits."""
        chosen = self.choose_due(data)
        if chosen:
            self.commit([refused(chosen, on_park) if park else delivered(chosen)])

    @rule(data=st.data())
    def retry(self, data: st.DataObject) -> None:
        """A try failed and will be repeated."""
        chosen = self.choose_due(data)
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

    @rule(names=st.sets(st.sampled_from(_OUTBOUNDS), min_size=1))
    def configure(self, names: set[str]) -> None:
        """Channels come and go; what a missing one owes is orphaned."""
        for store in (self.disk, self.memory):
            store.set_known_outbounds(names)

    @rule()
    def midnight(self) -> None:
        """The day changes, or a clock is set back."""
        self.day = NEXT_DAY if self.day == DAY else DAY

    @rule()
    def restart(self) -> None:
        """The engine stops and starts."""
        self.disk.close()
        self.disk = SqliteStore(self.folder / "data", settings=self.settings)

    @rule()
    def crash(self) -> None:
        """The engine is killed, maybe between two slices."""
        self.go_on_with(lambda copy: shutil.copytree(self.folder / "data", copy))

    @rule()
    def restore(self) -> None:
        """The data folder is lost and brought back from a backup made just before."""
        self.go_on_with(lambda copy: self.disk.backup(copy, with_master=True))

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def agree(self) -> None:
        """After every rule the two give the same answers, as soon as the one on disk rests."""
        self.rush -= 1
        if self.rush > 0:
            return
        settle_down(self.disk)
        self.same_deliveries()
        self.same_lanes()
        self.same_counts_and_ledger()

    def same_deliveries(self) -> None:
        """Every delivery is in the same state with the same marks."""
        everything = MessageFilter()
        disk = self.alike(self.disk.find_deliveries(everything).items)
        memory = self.alike(self.memory.find_deliveries(everything).items)
        differing = [pair for pair in zip(disk, memory, strict=True) if pair[0] != pair[1]]
        assert differing == []
        for where in (everything, MessageFilter(control_id="C1"), MessageFilter(patient="P1")):
            found = [
                [(one.message_id, one.seq, one.state, one.ack_code, one.replay_of) for one in page]
                for page in (
                    store.find_messages(where, limit=500).items
                    for store in (self.disk, self.memory)
                )
            ]
            assert found[0] == found[1]

    def same_lanes(self) -> None:
        """Every lane would send the same, in the same order."""
        for outbound in _OUTBOUNDS:
            for lanes in (1, 3):
                for lane in range(lanes):
                    found = [
                        self.alike(store.next(store.lane_open(outbound, lane, lanes), 500))
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
            body=b"body %d" % (control % 20 + 20 * (n % 5 == 0)),
        )

    def alike(self, found: Sequence[Any]) -> list[Any]:
        """Return what is to be compared."""
        if not self.may_be_uncertain:
            return list(found)
        return [replace(one, uncertain=False) for one in found]

    def go_on_with(self, make: Callable[[Path], object]) -> None:
        """Open what *make* makes of the store on disk, and forget the old one."""
        copy = self.folder / "copy"
        make(copy)
        self.disk.close()
        shutil.rmtree(self.folder / "data")
        copy.rename(self.folder / "data")
        self.disk = SqliteStore(self.folder / "data", settings=self.settings)
        self.may_be_uncertain = True

    def get_on(self) -> None:
        """Let the store on disk do what it does by itself, all of it or as much as it may."""
        if self.rush <= 0:
            settle_down(self.disk)
        for _ in range(self.slices):
            self.disk.step()

    def commit(self, work: Sequence[Work]) -> None:
        answers = [list(store.commit(work)) for store in (self.disk, self.memory)]
        self.get_on()
        for disk, memory in zip(*answers, strict=True):
            if isinstance(disk, Accepted) and self.rush > 0:
                # Who came while followers were let go is held for a moment more.
                assert replace(disk, delivery_states=memory.delivery_states) == memory
            elif isinstance(disk, Accepted):
                assert disk == memory
            else:
                assert type(disk) is type(memory)
                assert getattr(disk, "ok", None) == getattr(memory, "ok", None)

    def apply(self, verb: str, items: tuple[OperationItem, ...], **names: str) -> None:
        self.operations += 1
        wanted = operation(verb, items=items, name=f"op-{self.operations}", **names)
        reports = [store.apply(wanted) for store in (self.disk, self.memory)]
        self.get_on()
        told = [
            [(item.delivery_id, bool(item.problem), item.replaced_by) for item in report.items]
            for report in reports
        ]
        assert told[0] == told[1]
        assert reports[0].done == reports[1].done

    def choose_due(self, data: st.DataObject) -> str:
        """Return something that a lane may be sending."""
        found = []
        for outbound in _OUTBOUNDS:
            pages = [
                {one.delivery_id for one in store.next(store.lane_open(outbound, 0, 1), 500)}
                for store in (self.disk, self.memory)
            ]
            found += sorted(pages[0] & pages[1])
        return data.draw(st.sampled_from(found)) if found else ""

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
