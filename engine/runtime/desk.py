"""What every operation works with, in a running engine and in a stopped one."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from engine.model.clock import Clock
from engine.model.errors import Conflict
from engine.runtime.configuration import Configuration, rebuild_configuration
from engine.runtime.python_workers import PythonWorkers
from engine.runtime.store_access import StoreAccess
from engine.security.keyring import KeyRing
from engine.store.interface import AuditRecord, LedgerDifference, Store


class RunningEngine(Protocol):
    """The engine as operations see it; every method may be called from any thread."""

    started_at: float
    is_stopping: bool

    def view_inbounds(self) -> list[dict[str, Any]]:
        """Return the state of every inbound channel."""
        ...

    def view_outbounds(self) -> list[dict[str, Any]]:
        """Return the state of every outbound channel, without its queue."""
        ...

    def view_alarms(self) -> list[dict[str, Any]]:
        """Return what a person must look at now."""
        ...

    def ledger_differences(self) -> Sequence[LedgerDifference]:
        """Return what the last recount found."""
        ...

    def draw_message_id(self, at: float) -> str:
        """Return a new message id."""
        ...

    def switch(self, kind: str, channel: str) -> None:
        """Pause or resume a channel as the store's switches say."""
        ...

    def wake(self, outbounds: frozenset[str]) -> None:
        """Have these outbound channels look for deliveries."""
        ...

    def taken_out(self, delivery_ids: Sequence[str]) -> None:
        """Tell the senders who wait for deliveries that were cancelled."""
        ...

    def reload(self, user: str, *, dry_run: bool, reason: str) -> dict[str, Any]:
        """Take over the site's files as they are now."""
        ...

    def rollback(self, user: str, *, reason: str) -> dict[str, Any]:
        """Go back to the configuration before the running one."""
        ...

    def stop(self, *, drain: bool, within_s: float) -> None:
        """Begin to stop."""
        ...


@dataclass(slots=True)
class Desk:
    """The tools of the operations; ``configuration`` is replaced by a reload."""

    site_folder: Path
    data_folder: Path
    access: StoreAccess
    keys: KeyRing
    clock: Clock
    workers: PythonWorkers
    configuration: Configuration
    engine: RunningEngine | None = None
    _snapshots: dict[str, Configuration] = field(default_factory=dict)
    #: who is told of progress, per operation thread
    _told: threading.local = field(default_factory=threading.local)

    @property
    def store(self) -> Store:
        """The store, for reading."""
        return self.access.store

    @contextmanager
    def telling(self, progress: Callable[[str], None] | None) -> Iterator[None]:
        """Have the progress of this thread's operation told to *progress*."""
        self._told.progress = progress
        try:
            yield
        finally:
            self._told.progress = None

    def progress(self, text: str) -> None:
        """Say how far a long operation is."""
        tell = getattr(self._told, "progress", None)
        if tell is not None:
            tell(text)

    def audit(
        self,
        user: str,
        verb: str,
        subject: str,
        reason: str = "",
        detail: Mapping[str, str] | None = None,
    ) -> None:
        """Leave the record of an action, before it is done."""
        record = AuditRecord(
            seq=0,
            at=self.clock.now(),
            actor=user,
            action=verb,
            target=subject,
            reason=reason,
            detail=detail or {},
        )
        self.access.write(lambda store: store.audit(record))

    def configuration_of(self, snapshot_id: str) -> Configuration:
        """Return the configuration that ran under *snapshot_id*."""
        if snapshot_id in ("", self.configuration.snapshot_id):
            return self.configuration
        found = self._snapshots.get(snapshot_id)
        if found is None:
            files = self.store.get_snapshot(snapshot_id)
            found = rebuild_configuration(files, keys=self.keys).with_snapshot(snapshot_id)
            if len(self._snapshots) >= 4:
                self._snapshots.pop(next(iter(self._snapshots)))
            self._snapshots[snapshot_id] = found
        return found

    def forget_snapshots(self) -> None:
        """Let go of configurations that ran before: they hold keys."""
        self._snapshots.clear()

    def demand_engine(self, verb: str) -> RunningEngine:
        """Return the running engine; refuse when there is none."""
        if self.engine is None:
            raise Conflict(f"{verb} needs a running engine", fix="start it with `medbus run`")
        return self.engine


def new_operation_id() -> str:
    """Return an id no other operation has."""
    return uuid.uuid4().hex
