"""The part of the store in memory that is no messages: settings, pauses, snapshots, audit."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace

from engine.deid.vault import LookUp, Original
from engine.model.errors import NotFound, Usage
from engine.model.records import LinkedNumber, NewDelivery
from engine.store.records import (
    AuditRecord,
    AuditVerdict,
    Page,
    Switch,
)


class MemoryVault:
    """What vault.db is on disk."""

    def __init__(self) -> None:
        self._links: dict[tuple[str, str], Original] = {}
        self.look_ups: list[tuple[LookUp, bool]] = []

    def keep(self, links: Iterable[LinkedNumber]) -> None:
        """See the protocol."""
        for link in links:
            original = Original(link.key_name, link.domain, link.original)
            self._links.setdefault((link.key_name, link.pseudonym), original)

    def find_original(self, asked: LookUp) -> Original | None:
        """See the protocol."""
        if not asked.by.strip() or not asked.purpose.strip():
            raise Usage("a look-up names who asks and for what purpose")
        names = [asked.key_name] if asked.key_name else list(self.counts())
        found = [self._links.get((name, asked.pseudonym)) for name in names]
        original = next(filter(None, found), None)
        self.look_ups.append((asked, original is not None))
        return original

    def counts(self) -> dict[str, int]:
        """See the protocol."""
        return dict(sorted(Counter(name for name, _ in self._links).items()))

    def destroy(self, key_name: str) -> int:
        """See the protocol."""
        gone = [place for place in self._links if place[0] == key_name]
        for place in gone:
            del self._links[place]
        return len(gone)

    def close(self) -> None:
        """See the protocol."""


class MemoryControl:
    """What control.db is on disk."""

    def __init__(self) -> None:
        #: None until there is something to keep
        self.vault: MemoryVault | None = None
        self._lock = threading.RLock()
        self._snapshots: dict[str, tuple[float, dict[str, bytes]]] = {}
        self._switches: dict[tuple[str, str], Switch] = {}
        self._settings: dict[str, str] = {}
        self._audit: list[AuditRecord] = []

    def _keep_links(self, deliveries: Iterable[NewDelivery]) -> None:
        links = [link for delivery in deliveries for link in delivery.links]
        if links:
            self.vault = self.vault or MemoryVault()
            self.vault.keep(links)

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
