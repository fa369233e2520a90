"""
The operations: one method per verb, the same for commands, the control socket and the web.

Rules of this file: arguments and results are what JSON can say; an action is audited before it
is done; what changes deliveries is first prepared (counted, shown) and then performed on exactly
what was shown.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.model.errors import Conflict, NotFound, Usage
from engine.model.states import DeliveryState
from engine.runtime import house, overview, relinking, replays
from engine.runtime import trace as tracing
from engine.runtime import why as reasons
from engine.runtime.bodies import open_body
from engine.runtime.desk import Desk, new_operation_id
from engine.runtime.names import demand_names, demand_outbound
from engine.runtime.prepared import Prepared, prepare_change, prepare_replay
from engine.runtime.replay_plan import Choice, plan_replay, read_choice
from engine.runtime.replay_preview import preview
from engine.runtime.selection import APPLIES, check_ids, parse_filter
from engine.runtime.times import parse_later, parse_when, show_at
from engine.runtime.views import View, view_audit, view_message
from engine.store.interface import (
    MessageFilter,
    Operation,
    OperationReport,
    Switch,
)

#: prepared actions kept until they are performed or pushed out by newer ones
_PREPARED_KEPT = 16


class Operations:
    """Everything a person or a program may ask of medbus about its data."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._prepared: OrderedDict[str, Prepared] = OrderedDict()
        self._verbs: dict[str, Callable[[str, Mapping[str, Any]], Any]] = {
            "status": self.status,
            "messages": self.messages,
            "message": self.message,
            "show": self.show,
            "trace": self.trace,
            "why": self.why,
            "prepare": self.prepare,
            "perform": self.perform_prepared,
            "replay_dry_run": self.replay_dry_run,
            "pause": self.pause,
            "resume": self.resume,
            "handover": self.handover,
            "audit_list": self.audit_list,
            "audit_export": self.audit_export,
            "audit_verify": self.audit_verify,
            "keys_init": self.keys_status,
            "keys_rotate": self.keys_rotate,
            "keys_status": self.keys_status,
            "keys_destroy": self.keys_destroy,
            "relink": self.relink,
            "prune": self.prune,
            "backup": self.backup,
            "reload": self.reload,
            "rollback": self.rollback,
            "stop": self.stop,
        }

    def perform(
        self,
        user: str,
        verb: str,
        arguments: Mapping[str, Any],
        progress: Callable[[str], None] | None = None,
    ) -> Any:
        """Do *verb* for *user*; the way every caller comes in."""
        method = self._verbs.get(verb)
        if method is None:
            raise Usage(f"there is no operation {verb!r}")
        with self.desk.telling(progress):
            return method(user, arguments)

    # -- looking -------------------------------------------------------------------------------

    def status(self, user: str, _: Mapping[str, Any]) -> View:
        """Return channels, queues, alarms and today's ledger."""
        return overview.status(self.desk)

    def handover(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return what the next shift needs to know."""
        return overview.handover(self.desk, self._moment(asked.get("since") or "8h"))

    def messages(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return a page of messages, newest first."""
        where = self._filter(asked)
        cursor = str(asked.get("cursor") or "")
        limit = int(asked.get("limit") or 50)
        page = self.desk.store.find_messages(where, limit=limit, cursor=cursor)
        if not page.items:
            self._demand_names(where)
        zone = self.desk.configuration.site.timezone
        return {"items": [view_message(m, zone) for m in page.items], "next": page.cursor}

    def message(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return the facts of one message."""
        found = self.desk.store.get_message(_message_id(asked["id"]))
        return reasons.view_explained(self.desk, found)

    def show(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return a body; the look is audited before it is granted."""
        what, outbound = str(asked["what"]), str(asked.get("outbound") or "")
        found = self.desk.store.get_message(_message_id(asked["id"]))
        detail = {"what": what} | ({"outbound": outbound} if outbound else {})
        self.desk.audit(user, "show", asked["id"], str(asked.get("reason") or ""), detail)
        return open_body(self.desk, found, str(asked["id"]), what, outbound)

    def trace(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return a message's way through the configuration that routed it."""
        found = self.desk.store.get_message(_message_id(asked["id"]))
        self.desk.audit(user, "trace", found.message_id, str(asked.get("reason") or ""))
        return tracing.trace(self.desk, found)

    def why(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return for each message what became of it for one outbound channel."""
        outbound = str(asked["to"])
        demand_outbound(outbound, self.desk.configuration.site, self.desk.store.counts())
        ids = list(asked.get("ids") or ())
        check_ids(ids)
        filters = asked.get("filters") or {}
        where = self._filter(filters)
        # The answer quotes values of the message.
        detail = {"to": outbound, "asked": _typed(ids, filters)}
        self.desk.audit(user, "why", " ".join(ids[:20]), detail=detail)
        told = reasons.why(self.desk, ids, where, outbound, int(asked.get("limit") or 50))
        if not told["items"]:
            self._demand_names(where)
        return told

    # -- changing deliveries -------------------------------------------------------------------

    def prepare(self, user: str, asked: Mapping[str, Any]) -> View:
        """Count what a verb would act on, and remember exactly that under a token."""
        verb = str(asked["verb"])
        ids = list(asked.get("ids") or ())
        check_ids(ids)
        filters = asked.get("filters") or {}
        where = self._filter(filters) if filters or not ids else None
        if verb == "replay":
            prepared = prepare_replay(self.desk, ids, where, self._replay_choice(asked))
        elif verb in APPLIES:
            prepared = prepare_change(self.desk, verb, ids, where)
        else:
            raise Usage(f"{verb!r} is nothing to be prepared")
        if where is not None and not prepared.count and not prepared.left_out:
            self._demand_names(where)
        prepared.typed = _typed(ids, filters)
        token = new_operation_id()
        self._prepared[token] = prepared
        while len(self._prepared) > _PREPARED_KEPT:
            self._prepared.popitem(last=False)
        return {
            "token": token,
            "count": prepared.count,
            "unit": "messages" if verb == "replay" else "deliveries",
            "by_outbound": [
                {"outbound": outbound, "state": state, "count": count}
                for (outbound, state), count in sorted(prepared.by_outbound.items())
            ],
            "left_out": [{"id": left.id, "reason": left.reason} for left in prepared.left_out],
            "cancels": [
                {"id": item.item_id, "reason": item.why_nothing}
                for item in prepared.items
                if item.why_nothing
            ],
        }

    def perform_prepared(self, user: str, asked: Mapping[str, Any]) -> View:
        """Do what was prepared, on exactly that; audited by the store before it is applied."""
        prepared = self._prepared.pop(str(asked["token"]), None)
        if prepared is None:
            raise Conflict("this was done already, or prepared too long ago", fix="start over")
        reason = str(asked.get("reason") or "").strip()
        if not reason:
            raise Usage("this wants a reason")
        operation = Operation(
            operation_id=new_operation_id(),
            verb=prepared.verb,
            at=self.desk.clock.now(),
            actor=user,
            reason=reason,
            items=tuple(prepared.items),
            detail={"asked": prepared.typed} | prepared.detail,
        )
        if prepared.replay is not None:
            return replays.perform(self.desk, operation, prepared.replay)
        # Lanes hold a window in memory: what was taken out of it must not be sent any more.
        concerned = frozenset(outbound for outbound, _ in prepared.by_outbound)
        return self._report(self.desk.access.apply(operation), concerned)

    def replay_dry_run(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return what a replay would send and what would differ; audited, for it shows values."""
        ids = list(asked.get("ids") or ())
        check_ids(ids)
        filters = asked.get("filters") or {}
        where = self._filter(filters) if filters or not ids else None
        plan = plan_replay(self.desk, ids, where, self._replay_choice(asked))
        if where is not None and not plan.message_ids and not plan.left_out:
            self._demand_names(where)
        reason, detail = str(asked.get("reason") or ""), {"asked": _typed(ids, filters)}
        self.desk.audit(user, "replay_dry_run", " ".join(ids[:20]), reason, detail)
        return preview(self.desk, plan)

    def _report(self, report: OperationReport, concerned: frozenset[str]) -> View:
        if self.desk.engine is not None:
            self.desk.engine.wake(report.ready | concerned)
            self.desk.engine.taken_out(
                [
                    item.delivery_id
                    for item in report.items
                    if item.after is DeliveryState.CANCELLED and not item.replaced_by
                ]
            )
        return {
            "operation_id": report.operation_id,
            "done": report.done,
            "failed": [
                {"id": item.delivery_id, "reason": item.problem}
                for item in report.items
                if item.problem
            ],
            "created": [made for item in report.items for made in item.replaced_by],
        }

    # -- switches ------------------------------------------------------------------------------

    def pause(self, user: str, asked: Mapping[str, Any]) -> View:
        """Pause a channel until resumed, or until a time."""
        channel = str(asked["channel"])
        kind, now = self._kind_of(channel), self.desk.clock.now()
        zone, until = self.desk.configuration.site.timezone, 0.0
        if asked.get("until"):
            until = parse_later(str(asked["until"]), now=now, zone=zone)
        reason = str(asked.get("reason") or "")
        detail = {"until": show_at(until, zone) or "resumed"}
        self.desk.audit(user, "pause", channel, reason, detail)
        switch = Switch(kind, channel, now, user, reason, until)
        self.desk.access.write(lambda store: store.put_switch(switch))
        if self.desk.engine is not None:
            self.desk.engine.switch(kind, channel)
        return {"channel": channel, "state": "paused", "until": show_at(until, zone)}

    def resume(self, user: str, asked: Mapping[str, Any]) -> View:
        """Let a paused channel go on."""
        channel = str(asked["channel"])
        # Also one that was removed while it was paused.
        paused = {switch.channel: switch.kind for switch in self.desk.store.switches()}
        kind = paused.get(channel) or self._kind_of(channel)
        self.desk.audit(user, "resume", channel, str(asked.get("reason") or ""))
        self.desk.access.write(lambda store: store.drop_switch(kind, channel))
        if self.desk.engine is not None:
            self.desk.engine.switch(kind, channel)
        return {"channel": channel, "state": "resumed", "until": None}

    # -- audit, keys, house --------------------------------------------------------------------

    def audit_list(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return audit records, newest first."""
        zone = self.desk.configuration.site.timezone
        since = self._moment(asked["since"]) if asked.get("since") else None
        wanted = {"user": asked.get("user"), "verb": asked.get("verb")}
        limit, cursor = int(asked.get("limit") or 50), str(asked.get("cursor") or "")
        items: list[View] = []
        while len(items) < limit:
            page = self.desk.store.list_audit(limit=1000, cursor=cursor, since=since)
            for record in page.items:
                shown = view_audit(record, zone)
                if all(not value or shown[key] == value for key, value in wanted.items()):
                    items.append(shown)
            cursor = page.cursor
            if not cursor:
                break
        return {"items": items[:limit], "next": cursor}

    def audit_export(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return a page of audit records for a file; the export itself is audited."""
        if not asked.get("cursor"):
            self.desk.audit(user, "audit_export", "audit")
        return self.audit_list(user, {**asked, "limit": 1000})

    def audit_verify(self, user: str, _: Mapping[str, Any]) -> View:
        """Check that the audit chain is whole."""
        verdict = self.desk.store.verify_audit()
        return {
            "ok": verdict.ok,
            "count": verdict.count,
            "problem": verdict.problem,
            "head": verdict.head,
        }

    def keys_status(self, user: str, _: Mapping[str, Any]) -> View:
        """Return which keys there are; never their bytes."""
        return house.view_keys(self.desk)

    def keys_rotate(self, user: str, asked: Mapping[str, Any]) -> View:
        """Wrap every key under a new master key."""
        self.desk.audit(user, "keys_rotate", "master", str(asked.get("reason") or ""))
        self.desk.access.write(lambda _: self.desk.keys.rotate_master())
        return house.view_keys(self.desk)

    def keys_destroy(self, user: str, asked: Mapping[str, Any]) -> View:
        """Destroy a named key and what the vault keeps under it; counted first, audited."""
        return relinking.destroy_key(self.desk, user, asked)

    def relink(self, user: str, asked: Mapping[str, Any]) -> View:
        """Return what pseudonyms stand for, to whom the site allows it; audited first."""
        return relinking.relink(self.desk, user, asked)

    def prune(self, user: str, asked: Mapping[str, Any]) -> View:
        """Delete what retention says may go."""
        dry_run, is_right = bool(asked.get("dry_run")), bool(asked.get("clock_is_right"))
        if not dry_run:
            detail = {"clock_is_right": "yes"} if is_right else None
            self.desk.audit(user, "prune", "store", str(asked.get("reason") or ""), detail)
        return house.prune(self.desk, dry_run=dry_run, clock_is_right=is_right)

    def backup(self, user: str, asked: Mapping[str, Any]) -> View:
        """Write a consistent copy of the store."""
        self.desk.audit(user, "backup", "store", detail={"folder": str(asked["folder"])})
        return house.backup(self.desk, str(asked["folder"]), with_keys=bool(asked["with_keys"]))

    # -- the engine itself ---------------------------------------------------------------------

    def reload(self, user: str, asked: Mapping[str, Any]) -> View:
        """Take over the site's files."""
        engine = self.desk.demand_engine("reload")
        return engine.reload(
            user, dry_run=bool(asked.get("dry_run")), reason=str(asked.get("reason") or "")
        )

    def rollback(self, user: str, asked: Mapping[str, Any]) -> View:
        """Go back to the configuration before."""
        engine = self.desk.demand_engine("rollback")
        return engine.rollback(user, reason=str(asked.get("reason") or ""))

    def stop(self, user: str, asked: Mapping[str, Any]) -> View:
        """Begin to stop the engine."""
        engine = self.desk.demand_engine("stop")
        drain = bool(asked.get("drain"))
        self.desk.audit(user, "stop", "engine", detail={"drain": str(drain).lower()})
        pending = sum(c.pending for c in self.desk.store.counts().outbounds.values())
        engine.stop(drain=drain, within_s=float(asked.get("within_s") or 60.0))
        return {"state": "stopping", "pending": pending}

    # -- inside --------------------------------------------------------------------------------

    def _filter(self, filters: Mapping[str, Any]) -> MessageFilter:
        zone = self.desk.configuration.site.timezone
        return parse_filter(filters, now=self.desk.clock.now(), zone=zone)

    def _demand_names(self, where: MessageFilter) -> None:
        demand_names(where, self.desk.configuration.site, self.desk.store.counts())

    def _moment(self, text: str) -> float:
        zone = self.desk.configuration.site.timezone
        return parse_when(text, now=self.desk.clock.now(), zone=zone)

    def _kind_of(self, channel: str) -> str:
        site = self.desk.configuration.site
        if channel in site.inbound:
            return "inbound"
        if channel in site.outbound:
            return "outbound"
        known = ", ".join([*site.inbound, *site.outbound])
        raise NotFound(f"there is no channel {channel!r}", fix=f"channels are {known}")

    def _replay_choice(self, asked: Mapping[str, Any]) -> Choice:
        where = self._filter(asked.get("filters") or {})
        return read_choice(asked, where, self.desk.configuration.site.outbound)


def _typed(ids: Sequence[str], filters: Mapping[str, Any]) -> str:
    """Return a selection as it was typed: patient data may be in it, and the audit is sealed."""
    return " ".join([*ids, *(f"--{name} {value}" for name, value in filters.items())])


def _message_id(given: str) -> str:
    check_ids([given])
    return given.partition(".")[0]
