"""The part of the store in memory that is no messages: settings, pauses, snapshots, audit."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import replace

from engine.model.errors import NotFound
from engine.store.records import (
    AuditRecord,
    AuditVerdict,
    Page,
    Switch,
)


class MemoryControl:
    """What control.db is on disk."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._snapshots: dict[str, tuple[float, dict[str, bytes]]] = {}
        self._switches: dict[tuple[str, str], Switch] = {}
        self._settings: dict[str, str] = {}
        self._audit: list[AuditRecord] = []

    def put_snapshot(self, files: Mapping[str, bytes], *, at: float) -> str:
        """See the interface."""
        sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        text = json.dumps(sums, sort_keys=True, separators=(",", ":"))
        snapshot_id = hashlib.sha256(text.encode()).hexdigest()[:16]
        self._snapshots.setdefault(snapshot_id, (at, dict(files)))
        return snapshot_id

    def put_switch(self, switch: Switch) -> None:
        """See the interface."""
        self._switches[switch.kind, switch.channel] = switch

    def drop_switch(self, kind: str, channel: str) -> None:
        """See the interface."""
        self._switches.pop((kind, channel), None)

    def put_setting(self, name: str, value: str) -> None:
        """See the interface."""
        self._settings[name] = value

    def audit(self, record: AuditRecord) -> int:
        """See the interface."""
        with self._lock:
            self._audit.append(replace(record, seq=len(self._audit) + 1))
            return len(self._audit)

    def get_snapshot(self, snapshot_id: str) -> dict[str, bytes]:
        """See the interface."""
        found = self._snapshots.get(snapshot_id)
        if found is None:
            raise NotFound(f"there is no configuration snapshot {snapshot_id}")
        return dict(found[1])

    def list_snapshots(self) -> tuple[tuple[str, float], ...]:
        """See the interface."""
        ordered = sorted((at, identity) for identity, (at, _) in self._snapshots.items())
        return tuple((identity, at) for at, identity in ordered)

    def switches(self) -> tuple[Switch, ...]:
        """See the interface."""
        return tuple(self._switches[key] for key in sorted(self._switches))

    def get_setting(self, name: str) -> str:
        """See the interface."""
        return self._settings.get(name, "")

    def list_audit(
        self, *, limit: int = 100, cursor: str = "", since: float | None = None
    ) -> Page[AuditRecord]:
        """See the interface."""
        before = int(cursor) if cursor else 1 << 62
        found = [
            one
            for one in reversed(self._audit)
            if one.seq < before and (since is None or one.at >= since)
        ][:limit]
        return Page(tuple(found), str(found[-1].seq) if len(found) == limit else "")

    def verify_audit(self) -> AuditVerdict:
        """See the interface: nobody can reach it."""
        return AuditVerdict(True, len(self._audit), head=str(len(self._audit)))
