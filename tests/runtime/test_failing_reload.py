"""A reload that fails half-way: what ran goes on."""

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
from engine.store.interface import Store
from engine.store.memory_store import MemoryStore
from tests.runtime.running import CHANNELS, SITE

T = TypeVar("T")


class Access(DirectAccess):
    """The store of an engine whose disk can be full."""

    is_full = False

    def write(self, function: Callable[[Store], T]) -> T:
        """Write, unless the disk is full."""
        if self.is_full:
            raise StoreFull
        return super().write(function)


class Exits:
    """Channels that fill the disk while they are closed, and note what they are to be."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self.applied: list[Configuration] = []

    async def close(self, name: str) -> None:
        """Fill the disk."""
        self._access.is_full = True

    async def apply(self, configuration: Configuration) -> None:
        """Note."""
        self.applied.append(configuration)


class Doors:
    """Inbound channels that always open."""

    async def apply(self, configuration: Configuration, paused: object) -> None:
        """Open."""


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Stand for the loop."""
    return asyncio.run(work())


def test_channels_to_be_renamed_go_on_when_the_reload_fails(tmp_path: Path) -> None:
    """If this failed, a full disk in that moment would leave a channel closed for good."""
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
    exits = Exits(access)
    desk = SimpleNamespace(
        configuration=running, store=store, access=access, keys=keys, audit=lambda *args: None
    )
    engine: Any = SimpleNamespace(
        desk=desk,
        store=store,
        clock=FixedClock(),
        exits=exits,
        doors=Doors(),
        on_loop=run,
        paused=frozenset,
        is_stopping=False,
        site_folder=tmp_path,
    )
    with pytest.raises(StoreFull):
        Reloads(engine).rollback("me", reason="it was better")
    assert exits.applied == [running]
    assert desk.configuration is running
