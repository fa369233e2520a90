"""
Reload and rollback: checked whole, then switched channel by channel; a bad one changes nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.config.files import read_site_files
from engine.model.errors import Conflict, MedbusError
from engine.model.finding import Finding
from engine.runtime.certificates import check_certificates
from engine.runtime.changes import Changes, find_changes, find_old_order, new_names
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
from engine.store.interface import AuditRecord, Operation, OperationVerb, OutboundCounts, Store

if TYPE_CHECKING:
    from engine.config.models.site import Site
    from engine.runtime.engine import Engine

log = logging.getLogger(__name__)

#: the store's notes of what runs, what ran before, and whose order keys are kept for what is owed
_RUNNING, _BEFORE, _ORDER = "snapshot_running", "snapshot_before", "snapshot_order"
#: how long a rename waits for messages whose steps were begun under the old name
_OLDER_S = 30.0


class Reloads:
    """Changes of configuration of one engine; one at a time, in operation threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        #: outbound channels whose changed order_by waits until older deliveries have settled
        self.waits_for: frozenset[str] = frozenset()
        self._wanted = engine.desk.configuration
        #: outbound channels that the last reload renamed, by their old names
        self._renames: Mapping[str, str] = {}

    def take_snapshot(self, configuration: Configuration) -> None:
        """Store what runs from the start on; before the writer has its thread."""
        engine, store = self._engine, self._engine.store
        snapshot_id = store.put_snapshot(configuration.files, at=engine.clock.now())
        was = store.get_setting(_RUNNING)
        before = (self._site_of(was) if was != snapshot_id else None) or configuration.site
        # At every start: another version of medbus may bring another catalogue.
        running = configuration.with_snapshot(snapshot_id)
        for record in method_records(running, at=engine.clock.now(), user="medbus"):
            store.audit(record)
        changes = find_changes(before, configuration.site, store.counts().outbounds)
        for old, new in changes.renames.items():
            store.apply(self._renaming(old, new, "medbus"))
        _carry_pauses(before, configuration.site, store)
        store.set_known_outbounds(configuration.site.outbound)
        self._wanted = running
        ordered = self._site_of(store.get_setting(_ORDER)) or before
        engine.desk.configuration = self._with_old_order(ordered, running)
        _note_order(store, was if self.waits_for else "")
        # Last: a start that is cut short is made up for by the next one.
        _note_running(store, snapshot_id)

    def _site_of(self, snapshot_id: str) -> Site | None:
        """Return the site that ran as this snapshot; None where that is not known any more."""
        if not snapshot_id:
            return None
        try:
            files = self._engine.store.get_snapshot(snapshot_id)
            return rebuild_configuration(files, keys=self._engine.desk.keys).site
        except MedbusError:
            return None  # another version of medbus wrote it

    def _with_old_order(self, before: Site, wanted: Configuration) -> Configuration:
        """Keep changed order keys as they were where deliveries still wait under them."""
        late = {
            name: order_by
            for name, counts in self._engine.store.counts().outbounds.items()
            if counts.needs_its_order
            and (order_by := find_old_order(before, wanted.site, name)) is not None
        }
        self.waits_for = frozenset(late)
        return keep_order(wanted, late, self._engine.desk.keys) if late else wanted

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
        before, waits_for = self._engine.desk.configuration, self.waits_for
        try:
            running = self._hand_on(wanted, changes.renames, user)
        except BaseException:
            self.waits_for = waits_for
            with suppress(MedbusError):
                self._put(before)  # the channels that were to be renamed go on
            raise
        self._wanted, self._renames = wanted, changes.renames
        self._put(running)

    def _hand_on(
        self, wanted: Configuration, renames: Mapping[str, str], user: str
    ) -> Configuration:
        """Note what is to run, give queues to renamed channels; return what can run now."""
        engine, desk = self._engine, self._engine.desk
        before = desk.configuration
        for old, new in renames.items():
            # The new one, too, where it runs already: it must not send what comes to it paused.
            for name in (old, new):
                engine.on_loop(lambda name=name: engine.exits.close(name))  # type: ignore[misc]
        self._hand_over(renames, user)
        desk.access.write(partial(_carry_pauses, before.site, wanted.site))
        desk.access.write(lambda store: store.set_known_outbounds(wanted.site.outbound))
        running = self._with_old_order(before.site, wanted)
        if wanted.site.log != before.site.log:
            wanted_log = wanted.site.log
            start_logging(
                level=wanted_log.level, format_name=wanted_log.format, zone=wanted.site.timezone
            )
        ordered = before.snapshot_id if self.waits_for else ""
        desk.access.write(lambda store: _note_order(store, ordered))
        if renames:
            # What was accepted meanwhile went to the old names. It comes first: only once nothing
            # more can, and all is handed over, the new ones begin to send.
            engine.on_loop(lambda: self._route_anew(running))
            self._hand_over(renames, user)
        # Last: a reload that is cut short is made up for by the next start.
        desk.access.write(lambda store: _note_running(store, wanted.snapshot_id))
        return running

    async def _route_anew(self, running: Configuration) -> None:
        """Have the inbound channels take *running*, and wait for what came under another."""
        engine = self._engine
        if engine.is_stopping:
            return  # nothing opens any more
        await engine.doors.apply(running, engine.paused)
        if not await engine.doors.wait_for_older(_OLDER_S):
            log.warning("did not end in time", extra={"subject": "senders", "limit": _OLDER_S})

    def _hand_over(self, renames: Mapping[str, str], user: str) -> None:
        """Give what channels owe to those that have their place."""
        access = self._engine.desk.access
        # By the writer: what was submitted before is committed, and counted.
        counts = access.write(lambda store: store.counts().outbounds)
        for old in _owing(renames, counts):
            access.apply(self._renaming(old, renames[old], user))

    def finish_waiting(self) -> None:
        """
        Switch to changed order keys once nothing is pending under the old ones.

        What came late under the old name of a renamed channel (a replay, a step that took very
        long) is handed over, too.
        """
        with self._lock:
            counts = self._engine.store.counts().outbounds
            if _owing(self._renames, counts):
                self._hand_over(self._renames, "medbus")
            if not self.waits_for or any(
                counts[name].needs_its_order for name in self.waits_for if name in counts
            ):
                return
            self.waits_for = frozenset()
            self._engine.desk.access.write(lambda store: _note_order(store, ""))
            self._put(self._wanted)
            log.info("changed order keys are in use", extra={"config": "order_by"})

    def _put(self, configuration: Configuration) -> None:
        engine = self._engine
        engine.desk.configuration = configuration

        async def switch() -> None:
            await engine.exits.apply(configuration)
            if engine.is_stopping:
                return  # nothing opens any more
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


def _owing(renames: Mapping[str, str], counts: Mapping[str, OutboundCounts]) -> list[str]:
    """Return the old names that something is still owed to."""
    return [
        old
        for old in renames
        if old in counts and counts[old].pending + counts[old].held + counts[old].parked
    ]


def _note_running(store: Store, snapshot_id: str) -> None:
    was = store.get_setting(_RUNNING)
    if was and was != snapshot_id:
        store.put_setting(_BEFORE, was)
    store.put_setting(_RUNNING, snapshot_id)


def _note_order(store: Store, snapshot_id: str) -> None:
    """Note whose order keys are kept, the oldest where several changes wait; "" ends it."""
    if not (snapshot_id and store.get_setting(_ORDER)):
        store.put_setting(_ORDER, snapshot_id)


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
