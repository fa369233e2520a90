"""Reloads that fail half-way, and messages that come late under a name that is no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from engine.model.clock import FixedClock
from engine.model.errors import StoreFull
from engine.runtime.configuration import Configuration, build_configuration
from engine.runtime.reload import Reloads
from engine.runtime.store_access import DirectAccess
from engine.security.keyring import KeyRing
from engine.store.interface import Store, Switch
from engine.store.memory_store import MemoryStore
from tests.runtime.running import CHANNELS, SITE
from tests.store.builders import accept, arrival, delivery

T = TypeVar("T")


class Access(DirectAccess):
    """The store of an engine whose disk can be full."""

    is_full = False

    def write(self, function: Callable[[Store], T]) -> T:
        """Write, unless the disk is full."""
        if self.is_full:
            raise StoreFull
        return super().write(function)

    def refuse(self, _: object) -> None:
        """Take nothing."""
        raise StoreFull


class Exits:
    """Channels that note what they are to be, and may fill the disk while they are closed."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.fill = False
        self.applied: list[Configuration] = []

    async def close(self, name: str) -> None:
        """Fill the disk, if wanted."""
        self._access.is_full = self.fill

    async def apply(self, configuration: Configuration) -> None:
        """Note."""
        self.applied.append(configuration)


class Doors:
    """Inbound channels that always open."""

    async def apply(self, configuration: Configuration, paused: object) -> None:
        """Open."""

    async def wait_for_older(self, within_s: float) -> bool:
        """Have nothing under way."""
        return True


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Stand for the loop."""
    return asyncio.run(work())


@pytest.fixture
def engine(tmp_path: Path) -> Any:
    """Return an engine whose channel lis was renamed other."""
    keys = KeyRing.create(tmp_path / "keys")
    channels = CHANNELS.replace("LIS_PORT", "1")
    renamed = channels.replace("  lis:\n", "  other:\n    renamed_from: lis\n")
    before, after = (
        build_configuration(
            {"medbus.yaml": SITE.encode(), "channels/a.yaml": text.encode()},
            environ={},
            env_name=None,
            keys=keys,
        )
        for text in (channels, renamed.replace("to: lis", "to: other"))
    )
    store = MemoryStore()
    store.put_setting("snapshot_before", store.put_snapshot(before.files, at=0.0))
    running = after.with_snapshot(store.put_snapshot(after.files, at=0.0))
    access = Access(store)
    desk = SimpleNamespace(
        configuration=running, store=store, access=access, keys=keys, audit=lambda *args: None
    )
    return SimpleNamespace(
        before=before,
        desk=desk,
        store=store,
        clock=FixedClock(),
        exits=Exits(access),
        doors=Doors(),
        on_loop=run,
        paused=frozenset,
        is_stopping=False,
        site_folder=tmp_path,
    )


def test_channels_to_be_renamed_go_on_when_the_reload_fails(engine: Any) -> None:
    """If this failed, a full disk in that moment would leave a channel closed for good."""
    running, engine.exits.fill = engine.desk.configuration, True
    with pytest.raises(StoreFull):
        Reloads(engine).rollback("me", reason="it was better")
    assert engine.exits.applied == [running]
    assert engine.desk.configuration is running


def test_what_comes_late_under_the_old_name_is_handed_over(engine: Any) -> None:
    """If this failed, a replay that was under way while a channel was renamed would stay behind."""
    reloads = Reloads(engine)
    assert reloads.rollback("me", reason="it was better")["applied"]
    accept(engine.store, arrival(1, delivery(outbound="other")))
    reloads.finish_waiting()
    owed = {name: counts.pending for name, counts in engine.store.counts().outbounds.items()}
    assert owed == {"lis": 1}


def test_a_start_that_is_cut_short_is_made_up_for(
    engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, a rename that is taken back could leave a queue behind, or unpause it."""
    store, renamed = engine.store, engine.desk.configuration
    store.put_setting("snapshot_running", renamed.snapshot_id)
    store.put_switch(Switch("outbound", "other", actor="me", reason="repair", at=0.0))
    accept(store, arrival(1, delivery(outbound="other")))
    with monkeypatch.context() as patched:
        patched.setattr(store, "apply", Access(store).refuse)
        with pytest.raises(StoreFull):
            Reloads(engine).take_snapshot(engine.before)
    Reloads(engine).take_snapshot(engine.before)
    assert [switch.channel for switch in store.switches()] == ["lis"]
    assert store.counts().outbounds["lis"].pending == 1
