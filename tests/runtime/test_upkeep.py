"""The quiet work of the engine, driven by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config.load import load_site
from engine.model.clock import FixedClock
from engine.model.errors import PutOff, Stopping
from engine.runtime import house
from engine.runtime.alarms import AlarmBoard
from engine.runtime.ids import IdSource
from engine.runtime.upkeep import Upkeep
from engine.store.interface import LedgerDifference, Switch
from engine.store.memory_store import MemoryStore
from engine.store.records import PruneReport


class Rig:
    """An engine's parts as upkeep sees them, over the store in memory."""

    def __init__(self, folder: Path, at: str) -> None:
        files = {"medbus.yaml": b"site: t\ntimezone: Asia/Shanghai\nalerts: {disk_free: 1KB}\n"}
        loaded = load_site(files, environ={})
        assert loaded.site is not None
        self.clock = FixedClock(datetime.fromisoformat(f"{at}+08:00").timestamp())
        self.store = MemoryStore()
        self.pruned = 0
        self.resumed: list[str] = []
        access = SimpleNamespace(
            write=lambda function: function(self.store), run=self._prune, store=self.store
        )
        configuration = SimpleNamespace(site=loaded.site)
        desk = SimpleNamespace(
            access=access,
            configuration=configuration,
            clock=self.clock,
            audit=lambda *words: None,
            store=self.store,
        )
        engine: Any = SimpleNamespace(
            clock=self.clock,
            store=self.store,
            configuration=configuration,
            desk=desk,
            board=AlarmBoard(),
            started_at=self.clock.now(),
            data_folder=folder,
            site_folder=folder,
            paused=lambda: frozenset(switch.channel for switch in self.store.switches()),
            exits=SimpleNamespace(down_since=dict),
            doors=SimpleNamespace(doors={}),
            ids=IdSource(loaded.site.timezone, lambda day: 1),
            operations=SimpleNamespace(resume=self._resume),
        )
        self.engine = engine
        self.upkeep = Upkeep(engine)

    def _prune(self, steps: Any) -> Any:
        self.pruned += 1
        generator = steps(self.store)
        while True:
            try:
                next(generator)
            except StopIteration as end:
                return end.value

    def _resume(self, user: str, asked: dict[str, Any]) -> None:
        self.resumed.append(asked["channel"])
        self.store.drop_switch("outbound", asked["channel"])

    def codes(self) -> list[str]:
        """Look once; return the codes of the alarms there are."""
        self.upkeep.look()
        site = self.engine.configuration.site
        return [alarm["code"] for alarm in self.engine.board.view(site)]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Return a rig at ten in the morning."""
    return Rig(tmp_path, "2026-11-21T10:00:00")


def test_a_pause_ends_at_its_time_and_not_before(rig: Rig) -> None:
    """If this failed, `pause --until` would never end, or end early."""
    now = rig.clock.now()
    rig.store.put_switch(Switch("outbound", "lis", now, "ida", "upgrade", now + 60))
    rig.store.put_switch(Switch("outbound", "mpi", now, "ida"))
    rig.upkeep._end_pauses()
    assert rig.resumed == []
    rig.clock.advance(61)
    rig.upkeep._end_pauses()
    assert rig.resumed == ["lis"]


def test_retention_is_applied_once_a_night_also_over_restarts(tmp_path: Path) -> None:
    """If this failed, an engine restarted every evening would never delete anything."""
    rig = Rig(tmp_path, "2026-11-21T02:00:00")
    rig.upkeep._prune_at_night()
    assert rig.pruned == 0
    rig.clock.advance(2 * 3600)
    rig.upkeep._prune_at_night()
    rig.upkeep._prune_at_night()
    assert rig.pruned == 1
    assert rig.store.get_setting("pruned_day") == "20261121"
    rig.clock.advance(86400)
    rig.upkeep._prune_at_night()
    assert rig.pruned == 2


def test_retention_put_off_by_a_backup_is_applied_when_it_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, a backup every night at three would mean that nothing is ever deleted."""
    rig = Rig(tmp_path, "2026-11-21T04:00:00")

    def refuse(*_: object, **__: object) -> None:
        raise PutOff()

    with monkeypatch.context() as patched:
        patched.setattr(rig.store, "prune_steps", refuse)
        rig.upkeep._prune_at_night()
        rig.upkeep._prune_at_night()
    assert rig.pruned == 2
    rig.upkeep._prune_at_night()
    rig.upkeep._prune_at_night()
    assert rig.pruned == 3


def test_a_prune_ended_by_a_stop_promises_nothing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, somebody would wait for a prune to go on at the next start by itself."""

    def stop(_: object) -> None:
        raise Stopping()

    monkeypatch.setattr(rig.engine.desk.access, "run", stop)
    with pytest.raises(Stopping, match=r"RUN-046.*prune again"):
        house.prune(rig.engine.desk, dry_run=False)


def test_what_the_clock_stops_is_due_and_not_deleted() -> None:
    """If this failed, a dry run would call days deleted that the run itself keeps."""
    report = PruneReport(("20261001",), ("20260101",), stopped="the clock moved")
    actions = [row["action"] for row in house.view_prune(report)["items"]]
    assert actions == ["bodies due", "due", "stopped"]
    actions = [row["action"] for row in house.view_prune(replace(report, stopped=""))["items"]]
    assert actions == ["bodies deleted", "deleted"]


def test_a_jump_of_the_wall_clock_is_an_alarm_for_an_hour(rig: Rig) -> None:
    """If this failed, a clock set back a day would go unnoticed."""
    rig.upkeep._watch_clock()
    assert rig.codes() == []
    rig.clock.jump(-86400)
    rig.upkeep._watch_clock()
    assert rig.codes() == ["ALM-009"]
    rig.clock.advance(3700)
    rig.upkeep._watch_clock()
    assert rig.codes() == []


def test_a_ledger_that_does_not_add_up_is_an_alarm(rig: Rig) -> None:
    """If this failed, a lost message would stay unseen."""
    rig.upkeep.ledger = (LedgerDifference("20261121", "his", "live", "stored 3 is not 2"),)
    assert rig.codes() == ["ALM-002"]


def test_a_failing_duty_does_not_end_the_others(rig: Rig) -> None:
    """If this failed, one error would switch off every alarm."""

    def fail() -> None:
        raise ValueError("disk")

    rig.upkeep._guarded(fail)
    assert rig.codes() == []
