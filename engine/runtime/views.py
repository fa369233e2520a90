"""Stored records as programs see them: keys of the vocabulary, ISO times, never a body."""

from __future__ import annotations

from datetime import tzinfo
from typing import Any

from engine.model.records import RouteResult, StoredDelivery, StoredMessage
from engine.pipeline.trace import Decision
from engine.runtime.times import show_at
from engine.store.interface import AuditRecord, LedgerRow, StoredAttempt

View = dict[str, Any]


def view_message(message: StoredMessage, zone: tzinfo) -> View:
    """Return a message with its routes and deliveries."""
    return {
        "message_id": message.message_id,
        "seq": message.seq,
        "inbound": message.inbound,
        "received_at": show_at(message.received_at, zone),
        "state": str(message.state),
        "message_type": message.message_type,
        "version": message.version,
        "control_id": message.control_id,
        "ack_code": message.ack_code,
        "bytes": message.size_bytes,
        "peer": message.peer,
        "snapshot_id": message.snapshot_id,
        "reject_reason": message.reject_reason,
        "duplicate_of": message.duplicate_of,
        "replay_of": message.replay_of,
        "replay_as": message.replay_as,
        "warnings": list(message.warnings),
        "routes": [view_route(result) for result in message.routes],
        "deliveries": [view_delivery(delivery, zone) for delivery in message.deliveries],
    }


def tell_decision(decision: Decision) -> str:
    """Return a rule and the values it looked at."""
    values = ", ".join(f"{path} is {value!r}" for path, value in decision.values)
    return f"{decision.rule} ({values})" if values else decision.rule


def view_route(result: RouteResult) -> View:
    """Return what a route did."""
    park = result.park
    return {
        "route": result.route,
        "result": str(result.outcome),
        "reason": result.reason or (park.reason if park else ""),
        "step": park.step if park else "",
        "path": park.path if park else "",
    }


def view_delivery(delivery: StoredDelivery, zone: tzinfo) -> View:
    """Return a delivery; ``note`` says in words what a person should know."""
    return {
        "delivery_id": delivery.delivery_id,
        "message_id": delivery.message_id,
        "route": delivery.route,
        "outbound": delivery.outbound,
        "state": str(delivery.state),
        "due_at": show_at(delivery.due_at, zone),
        "settled_at": show_at(delivery.settled_at, zone),
        "attempts": delivery.attempts,
        "control_id": delivery.control_id,
        "park_code": delivery.park_code,
        "park_reason": delivery.park_reason,
        "park_step": delivery.park_step,
        "uncertain": delivery.uncertain,
        "released": delivery.released,
        "orphaned": delivery.orphaned,
        "out_of_order": delivery.out_of_order,
        "has_body": delivery.has_body,
        "replaces": delivery.replaces,
        "replaced_by": delivery.replaced_by,
        "method": delivery.method,
        "note": note_of(delivery),
    }


def note_of(delivery: StoredDelivery) -> str:
    """Return what is special about a delivery, in a few words."""
    told = []
    if delivery.park_code:
        word = "" if delivery.park_code == "step" else delivery.park_code
        step = f"step {delivery.park_step}" if delivery.park_step else ""
        told.append(f"{' '.join(filter(None, (word, step)))}: {delivery.park_reason}")
    told += [
        word
        for word, on in (
            ("uncertain", delivery.uncertain),
            ("released", delivery.released),
            ("orphaned", delivery.orphaned),
            ("out of order", delivery.out_of_order),
        )
        if on
    ]
    if delivery.replaced_by:
        told.append(f"replaced by {delivery.replaced_by}")
    if delivery.replaces:
        told.append(f"in place of {delivery.replaces}")
    return ", ".join(told)


def view_attempt(stored: StoredAttempt, zone: tzinfo) -> View:
    """Return one try; its ack's bytes are evidence and stay sealed."""
    attempt = stored.attempt
    return {
        "number": stored.number,
        "at": show_at(attempt.at, zone),
        "took_s": round(attempt.took_s, 6),
        "outcome": str(attempt.outcome),
        "code": attempt.code,
        "detail": attempt.detail,
    }


def view_audit(record: AuditRecord, zone: tzinfo) -> View:
    """Return one audit record."""
    return {
        "number": record.seq,
        "at": show_at(record.at, zone),
        "user": record.actor,
        "verb": record.action,
        "subject": record.target,
        "reason": record.reason,
        "operation_id": record.operation_id,
        "detail": dict(record.detail),
    }


def view_ledger(row: LedgerRow, differences: tuple[str, ...]) -> View:
    """Return one line of the ledger; ``difference`` is empty as it must be."""
    return {
        "inbound": row.inbound if row.flow == "live" else f"{row.inbound} ({row.flow})",
        "day": row.day,
        "flow": row.flow,
        "stored": row.stored,
        "accepted": row.accepted,
        "rejected": row.rejected,
        "duplicate": row.duplicate,
        "queued": row.queued,
        "filtered": row.filtered,
        "parked": row.parked_at_step,
        "deliveries": row.created,
        "states": dict(row.deliveries),
        "discarded_bytes": row.discarded_bytes,
        "refused_frames": row.refused_frames,
        "difference": "; ".join(differences),
    }
