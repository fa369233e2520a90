"""`status` and `handover`: the whole of the engine on one page."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from importlib import metadata

from engine.config.models.outbound import Outbound
from engine.runtime.alarms import Facts, find_alarms, view_alarm
from engine.runtime.desk import Desk
from engine.runtime.selection import each_delivery
from engine.runtime.times import show_at
from engine.runtime.views import View, view_audit, view_ledger
from engine.store.interface import MessageFilter, OutboundCounts

#: what changes nothing: `audit list` has it, the next shift does not need it
_LOOKS = frozenset({"show", "trace", "why", "replay_dry_run", "audit_export", "deid_method"})


def status(desk: Desk) -> View:
    """Return channels with their queues, alarms, and today's ledger."""
    site, engine = desk.configuration.site, desk.engine
    return {
        "site": site.site,
        "version": metadata.version("medbus"),
        "state": "running" if engine is not None else "stopped",
        "started_at": show_at(engine.started_at, site.timezone) if engine else None,
        "snapshot_id": desk.configuration.snapshot_id,
        "store": desk.store.facts().driver,
        "inbound": engine.view_inbounds() if engine else _stopped_inbounds(desk),
        "outbound": _outbounds(desk),
        "alarms": view_alarms(desk),
        "ledger": view_ledgers(desk, [_today(desk)]),
    }


def handover(desk: Desk, since: float) -> View:
    """Return what the next shift needs to know."""
    site = desk.configuration.site
    zone, store, now = site.timezone, desk.store, desk.clock.now()
    days = [
        d for d in store.ledger_days() if d >= (show_at(since, zone) or "")[:10].replace("-", "")
    ]
    records = [r for r in store.list_audit(limit=1000, since=since).items if r.action not in _LOOKS]
    return {
        "site": site.site,
        "state": "running" if desk.engine is not None else "stopped",
        "since": show_at(since, zone),
        "alarms": view_alarms(desk),
        "parked": _parked(desk, now),
        "queues": [row for row in _outbounds(desk) if row["pending"] or row["held"]],
        "paused": [
            {
                "channel": switch.channel,
                "user": switch.actor,
                "at": show_at(switch.at, zone),
                "until": show_at(switch.until, zone),
                "reason": switch.reason,
            }
            for switch in store.switches()
        ],
        "actions": [view_audit(record, zone) for record in reversed(records)],
        "ledger": view_ledgers(desk, days),
    }


def _today(desk: Desk) -> str:
    here = datetime.fromtimestamp(desk.clock.now(), desk.configuration.site.timezone)
    return here.strftime("%Y%m%d")


def view_ledgers(desk: Desk, days: Sequence[str]) -> list[View]:
    """Return the ledger of some days, each line with what does not add up."""
    counted: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    if desk.engine is not None:
        # A running engine recounts all the time; counting rows for each look would be slow.
        differences = list(desk.engine.ledger_differences())
    else:
        differences = [found for day in days for found in desk.store.check_ledger(day)]
    for found in differences:
        counted[found.day, found.inbound, found.flow].append(found.what)
    return [
        view_ledger(
            row,
            # What a recount found is said with its own numbers; the row may be newer by now.
            tuple(counted[day, row.inbound, row.flow]) or row.differences(),
        )
        for day in days
        for row in desk.store.ledger(day)
    ]


def view_alarms(desk: Desk) -> list[View]:
    """Return the alarms; a stopped engine has those that the store alone can tell."""
    if desk.engine is not None:
        return desk.engine.view_alarms()
    site, now = desk.configuration.site, desk.clock.now()
    days = desk.store.ledger_days()
    facts = Facts(
        now=now,
        site=replace(site, inbound={}),
        counts=desk.store.counts(),
        ledger=[d for day in days[-2:] for d in desk.store.check_ledger(day)],
        store_alarms=desk.store.alarms(),
        disk_free_bytes=shutil.disk_usage(desk.data_folder).free,
    )
    return [view_alarm(alarm, now, site) for alarm in find_alarms(facts)]


def _outbounds(desk: Desk) -> list[View]:
    site, now = desk.configuration.site, desk.clock.now()
    counts = desk.store.counts().outbounds
    live = {row["name"]: row for row in desk.engine.view_outbounds()} if desk.engine else {}
    rows = []
    for name in dict.fromkeys([*site.outbound, *counts]):
        owed = counts.get(name, OutboundCounts())
        if name not in site.outbound and not owed.pending + owed.held + owed.parked:
            continue
        row: View = {
            "name": name,
            "state": "stopped" if name in site.outbound else "orphaned",
            "target": target_of(site.outbound[name]) if name in site.outbound else "",
            "rate": 0.0,
            "last_error": "",
            "lanes": 0,
        }
        row.update(live.get(name, {}))
        row.update(
            pending=owed.pending,
            parked=owed.parked,
            held=owed.held,
            oldest_age_s=round(max(now - owed.oldest_at, 0.0), 3) if owed.oldest_at else None,
        )
        rows.append(row)
    return rows


def _stopped_inbounds(desk: Desk) -> list[View]:
    site, counts = desk.configuration.site, desk.store.counts().inbounds
    return [
        {
            "name": name,
            "state": "stopped",
            "listen": str(inbound.mllp.listen),
            "connections": 0,
            "today_count": 0,
            "rate": 0.0,
            "last_message_at": show_at(
                counts[name].last_at if name in counts else 0.0, site.timezone
            ),
            "last_error": "",
        }
        for name, inbound in site.inbound.items()
    ]


def target_of(outbound: Outbound) -> str:
    """Return where an outbound channel delivers to."""
    if outbound.mllp is not None:
        return str(outbound.mllp.connect)
    assert outbound.file is not None
    return outbound.file.directory


def _parked(desk: Desk, now: float) -> list[View]:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for delivery in each_delivery(desk.store, MessageFilter(states=("parked",))):
        groups[delivery.outbound, delivery.park_code].append(delivery.message_id)
    rows = []
    for (outbound, code), ids in sorted(groups.items()):
        oldest = desk.store.get_message(ids[0])
        rows.append(
            {
                "outbound": outbound,
                "park_code": code,
                "count": len(ids),
                "oldest_age_s": round(now - oldest.received_at, 3),
            }
        )
    return rows
