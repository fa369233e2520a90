"""Why a delivery was taken out undelivered: what it expired of, or who cancelled it and why."""

from __future__ import annotations

from collections.abc import Iterator

from engine.config.models.site import Site
from engine.config.models.units import format_duration
from engine.model.errors import MedbusError
from engine.model.records import StoredDelivery, StoredMessage
from engine.model.states import NEGATIVE_ACKS
from engine.runtime.advice import Told, advise_replay
from engine.runtime.desk import Desk
from engine.runtime.pending import tell_last, tell_try
from engine.store.interface import AuditRecord

#: configurations before today's that are asked what a delivery expired of
_MOST_SNAPSHOTS = 8
#: how long before it ends a delivery its action may have been audited, and records looked at
_ACTION_WITHIN_S = 3600.0
_MOST_RECORDS = 10_000


def tell_expiry(desk: Desk, message: StoredMessage, delivery: StoredDelivery) -> Told:
    """Return what ran out, by the configuration of that time, and how the last try ended."""
    age_s = delivery.settled_at - message.received_at
    told = f"{format_duration(round(age_s))} after it came"
    for site in _sites_then(desk, message, delivery):
        outbound, inbound = site.outbound.get(delivery.outbound), site.inbound.get(message.inbound)
        limit = outbound.expire_after if outbound is not None else None
        if limit is not None and age_s > limit:
            told = f"older than its expire_after of {format_duration(limit)}"
            break
        ack = inbound.ack if inbound is not None else None
        if ack is not None and ack.delivered_by == delivery.outbound and age_s + 1 > ack.timeout:
            told = "its sender's wait for the answer ran out: ack.timeout of "
            told += f"{message.inbound} is {format_duration(ack.timeout)}"
            break
    tries = desk.store.get_attempts(delivery.delivery_id)
    if not tries:
        told += "; it was never tried"
    else:
        told += f"; {tell_last(delivery.attempts)}: {tell_try(tries[-1])}"
    advice = _advise(desk, delivery)
    if message.ack_code in NEGATIVE_ACKS:
        advice = f"its sender heard {message.ack_code} and may have sent it again; {advice}"
    return Told(told, advice)


def _sites_then(desk: Desk, message: StoredMessage, delivery: StoredDelivery) -> Iterator[Site]:
    """Yield what may have been configured when a delivery ended, the likeliest first."""
    before = [
        snapshot_id
        for snapshot_id, first_used_at in reversed(desk.store.list_snapshots())
        if first_used_at <= delivery.settled_at
    ]
    for snapshot_id in dict.fromkeys([*before[:_MOST_SNAPSHOTS], message.snapshot_id]):
        try:
            yield desk.configuration_of(snapshot_id).site
        except MedbusError:
            continue  # pruned, or of a version whose words are gone


def tell_cancel(desk: Desk, delivery: StoredDelivery) -> Told:
    """Return who cancelled a delivery and why; where others stand in its place, ask about those."""
    if delivery.replaced_by:
        return Told("", f"`medbus show {delivery.replaced_by.partition('.')[0]}`")
    record = _find_action(desk, delivery)
    told = f"by {record.actor}: {record.reason}" if record is not None else ""
    return Told(told, _advise(desk, delivery))


def _advise(desk: Desk, delivery: StoredDelivery) -> str:
    """Return how to send it after all; where somebody did, who follows would send it twice."""
    for replay_id in reversed(desk.store.find_replays(delivery.message_id)):
        made = desk.store.get_message(replay_id).deliveries
        if any(again.outbound == delivery.outbound for again in made):
            return f"it was replayed: `medbus why {replay_id} --to {delivery.outbound}`"
    return advise_replay(delivery)


def _find_action(desk: Desk, delivery: StoredDelivery) -> AuditRecord | None:
    """Return the audit record of the action that ended a delivery: the latest that names it."""
    since, seen, cursor = delivery.settled_at - _ACTION_WITHIN_S, 0, ""
    while seen < _MOST_RECORDS:
        page = desk.store.list_audit(limit=1000, cursor=cursor, since=since)
        for record in page.items:
            if record.at <= delivery.settled_at and _may_have_ended(record, delivery):
                return record
        seen, cursor = seen + len(page.items), page.cursor
        if not cursor:
            break
    return None


def _may_have_ended(record: AuditRecord, delivery: StoredDelivery) -> bool:
    if record.action not in ("cancel", "requeue"):
        return False
    words = record.detail.get("asked", "").split()
    named = [word for word in words if not word.startswith("--") and "-" in word]
    by_filter = any(word.startswith("--") for word in words)
    return by_filter or delivery.delivery_id in named or delivery.message_id in named
