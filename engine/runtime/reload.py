"""
Reload and rollback: checked whole, then switched channel by channel; a bad one changes nothing.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.config.files import read_site_files
from engine.model.errors import Conflict, MedbusError
from engine.model.finding import Finding
from engine.runtime.certificates import check_certificates
from engine.runtime.changes import Changes, changes_order, find_changes, new_names
from engine.runtime.configuration import (
    Configuration,
    ConfigurationRefused,
    build_configuration,
    keep_order,
    rebuild_configuration,
)
from engine.runtime.desk import new_operation_id
from engine.runtime.logs import start_logging
from engine.runtime.methods import method_records
from engine.store.interface import AuditRecord, Operation, OperationVerb, Store

if TYPE_CHECKING:
    from engine.config.models.site import Site
    from engine.runtime.engine import Engine

log = logging.getLogger(__name__)

#: the store's notes of what runs and what ran before
_RUNNING, _BEFORE = "snapshot_running", "snapshot_before"


class Reloads:
    """Changes of configuration of one engine; one at a time, in operation threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        #: outbound channels whose changed order_by waits until older deliveries have settled
        self.waits_for: frozenset[str] = frozenset()
        self._wanted = engine.desk.configuration

    def take_snapshot(self, configuration: Configuration) -> None:
        """Store what runs from the start on; before the writer has its thread."""
        engine, store = self._engine, self._engine.store
        snapshot_id = store.put_snapshot(configuration.files, at=engine.clock.now())
        _note_running(store, snapshot_id)
        # At every start: another version of medbus may bring another catalogue.
        running = configuration.with_snapshot(snapshot_id)
        for record in method_records(running, at=engine.clock.now(), user="medbus"):
            store.audit(record)
        changes = find_changes(configuration.site, configuration.site, store.counts().outbounds)
        for old, new in changes.renames.items():
            store.apply(self._renaming(old, new, "medbus"))
        _carry_pauses(configuration.site, configuration.site, store)
        store.set_known_outbounds(configuration.site.outbound)
        engine.desk.configuration = configuration.with_snapshot(snapshot_id)

    def reload(self, user: str, *, dry_run: bool, reason: str) -> dict[str, Any]:
        """Take over the site's files; with errors nothing changes and the findings are told."""
        with self._lock:
            engine = self._engine
            try:
                wanted = build_configuration(
                    read_site_files(engine.site_folder),
                    environ=engine.environ,
                    env_name=engine.env_name,
                    keys=engine.desk.keys,
                )
            except ConfigurationRefused as refused:
                log.error("reload refused", extra={"count": len(refused.findings)})
                if not dry_run:
                    engine.desk.audit(user, "reload_refused", "site", reason)
                return _told([], refused.findings, ok=False, applied=False)
            return self._switch(user, "reload", wanted, reason, dry_run=dry_run)

    def rollback(self, user: str, *, reason: str) -> dict[str, Any]:
        """Go back to what ran before the running configuration."""
        with self._lock:
            desk = self._engine.desk
            before = desk.store.get_setting(_BEFORE)
            if not before:
                raise Conflict("there is no configuration before this one")
            files = desk.store.get_snapshot(before)
            try:
                wanted = rebuild_configuration(files, keys=desk.keys)
            except ConfigurationRefused as refused:
                return _told([], refused.findings, ok=False, applied=False)
            return self._switch(user, "rollback", wanted, reason, dry_run=False)

    def _switch(
        self, user: str, verb: str, wanted: Configuration, reason: str, *, dry_run: bool
    ) -> dict[str, Any]:
        engine, desk = self._engine, self._engine.desk
        running = desk.configuration
        changes = find_changes(running.site, wanted.site, desk.store.counts().outbounds)
        findings = (*wanted.findings, *changes.findings)
        rows = [
            {"kind": c.kind, "name": c.name, "change": c.change, "owed": c.owed}
            for c in changes.changes
        ]
        if _needs_restart(running, wanted):
            raise MedbusError(
                "data, timezone and http take effect only at a start",
                code="RUN-040",
                fix="stop the engine and start it again",
            )
        # Before anything is switched: a bad certificate must not end a running channel.
        check_certificates(wanted.site, engine.site_folder)
        if dry_run:
            return _told(rows, findings, ok=True, applied=False)
        snapshot_id = desk.access.write(
            lambda store: store.put_snapshot(wanted.files, at=engine.clock.now())
        )
        if snapshot_id == running.snapshot_id:
            self._put(running)  # certificates are no part of a snapshot, and they may be new
            return _told(rows, findings, ok=True, applied=True, snapshot_id=snapshot_id)
        detail = {"from": running.snapshot_id, "to": snapshot_id}
        desk.audit(user, verb, snapshot_id, reason, detail)
        wanted = wanted.with_snapshot(snapshot_id)
        for record in method_records(wanted, at=engine.clock.now(), user=user):
            desk.access.write(partial(_audit, record))
        self._apply(wanted, changes, user)
        log.info(verb, extra={"snapshot_id": snapshot_id[:12], "count": len(rows), "user": user})
        return _told(rows, findings, ok=True, applied=True, snapshot_id=snapshot_id)

    def _apply(self, wanted: Configuration, changes: Changes, user: str) -> None:
        engine, desk = self._engine, self._engine.desk
        for old, new in changes.renames.items():
            engine.on_loop(lambda name=old: engine.exits.close(name))  # type: ignore[misc]
            desk.access.apply(self._renaming(old, new, user))
        desk.access.write(partial(_carry_pauses, desk.configuration.site, wanted.site))
        desk.access.write(lambda store: store.set_known_outbounds(wanted.site.outbound))
        desk.access.write(lambda store: _note_running(store, wanted.snapshot_id))
        late = {
            name: desk.configuration.site.outbound[name].order_by
            for name, counts in desk.store.counts().outbounds.items()
            if counts.pending and changes_order(desk.configuration.site, wanted.site, name)
        }
        if wanted.site.log != desk.configuration.site.log:
            wanted_log = wanted.site.log
            start_logging(
                level=wanted_log.level, format_name=wanted_log.format, zone=wanted.site.timezone
            )
        self.waits_for = frozenset(late)
        self._wanted = wanted
        self._put(keep_order(wanted, late, desk.keys) if late else wanted)

    def finish_waiting(self) -> None:
        """Switch to changed order keys once nothing is pending under the old ones."""
        with self._lock:
            counts = self._engine.store.counts().outbounds
            if not self.waits_for or any(
                counts[name].pending for name in self.waits_for if name in counts
            ):
                return
            self.waits_for = frozenset()
            self._put(self._wanted)
            log.info("changed order keys are in use", extra={"config": "order_by"})

    def _put(self, configuration: Configuration) -> None:
        engine = self._engine
        engine.desk.configuration = configuration

        async def switch() -> None:
            await engine.exits.apply(configuration)
            await engine.doors.apply(configuration, engine.paused)

        engine.on_loop(switch)

    def _renaming(self, old: str, new: str, user: str) -> Operation:
        return Operation(
            operation_id=new_operation_id(),
            verb=OperationVerb.RENAME,
            at=self._engine.clock.now(),
            actor=user,
            reason="renamed_from",
            old_name=old,
            new_name=new,
        )


def _audit(record: AuditRecord, store: Store) -> None:
    store.audit(record)


def _carry_pauses(before: Site, after: Site, store: Store) -> None:
    """Pause a renamed channel as it was paused under its old name."""
    names = {
        "inbound": new_names(before.inbound, after.inbound),
        "outbound": new_names(before.outbound, after.outbound),
    }
    for switch in store.switches():
        if new := names[switch.kind].get(switch.channel):
            store.put_switch(replace(switch, channel=new))
            store.drop_switch(switch.kind, switch.channel)


def _note_running(store: Store, snapshot_id: str) -> None:
    was = store.get_setting(_RUNNING)
    if was and was != snapshot_id:
        store.put_setting(_BEFORE, was)
    store.put_setting(_RUNNING, snapshot_id)


def _needs_restart(running: Configuration, wanted: Configuration) -> bool:
    a, b = running.site, wanted.site
    return a.data != b.data or a.timezone != b.timezone or a.http != b.http


def _told(
    changes: list[dict[str, Any]],
    findings: tuple[Finding, ...] | list[Finding],
    *,
    ok: bool,
    applied: bool,
    snapshot_id: str = "",
) -> dict[str, Any]:
    return {
        "ok": ok,
        "applied": applied,
        "snapshot_id": snapshot_id,
        "changes": changes,
        "findings": [
            {
                "code": f.code,
                "severity": str(f.severity),
                "what": f.what,
                "fix": f.fix,
                "where": str(f.mark) if f.mark else "",
                "text": str(f),
            }
            for f in findings
        ],
    }
