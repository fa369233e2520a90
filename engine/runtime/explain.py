"""
`trace` and `why`: what happened to a message, told from evidence and from a new run on paper.

Rules of this file: the new run uses the configuration snapshot that routed the message, so it
says what ran then; nothing is stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.config.models.units import format_duration
from engine.hl7.errors import Hl7Error
from engine.model.errors import MedbusError
from engine.model.records import StoredDelivery, StoredMessage
from engine.model.states import DeliveryState, MessageState, RouteOutcome
from engine.pipeline.trace import Decision, Recorder, StepRecord
from engine.runtime.bodies import read_message
from engine.runtime.desk import Desk
from engine.runtime.differences import message_changes
from engine.runtime.pending import tell_try, tell_wait
from engine.runtime.rerun import run_again
from engine.runtime.selection import LeftOut, each_delivery, each_message
from engine.runtime.times import show_at
from engine.runtime.views import View, note_of, view_attempt, view_message, view_route
from engine.store.interface import MessageFilter

#: earlier deliveries looked at to find what holds one
_MOST_BLOCKERS = 1000
#: held merges followed from one to the next
_MOST_LINKS = 10


def trace(desk: Desk, message: StoredMessage) -> View:
    """Return arrival, steps as field diffs, attempts and replays of one message."""
    zone = desk.configuration.site.timezone
    steps, note = _steps(desk, message)
    return {
        "message": view_message(message, zone),
        "routes": [
            {**view_route(result), "steps": steps.get(result.route, [])}
            for result in message.routes
        ],
        "inbound_steps": steps.get("", []),
        "note": note,
        "deliveries": [
            {
                "delivery_id": delivery.delivery_id,
                "outbound": delivery.outbound,
                "state": str(delivery.state),
                "method": delivery.method,
                "note": note_of(delivery),
                "attempts": [
                    view_attempt(stored, zone)
                    for stored in desk.store.get_attempts(delivery.delivery_id)
                ],
            }
            for delivery in message.deliveries
        ],
        "replays": [
            {
                "message_id": replay_id,
                "replay_as": desk.store.get_message(replay_id).replay_as,
            }
            for replay_id in desk.store.find_replays(message.message_id)
        ],
    }


def _steps(desk: Desk, message: StoredMessage) -> tuple[dict[str, list[View]], str]:
    """Return each route's steps as they ran, and what should be said about the run."""
    if message.state is not MessageState.ACCEPTED:
        return {}, f"the message is {message.state}: no route ran"
    recorder = Recorder()
    try:
        configuration = desk.configuration_of(message.snapshot_id)
        run_again(desk, configuration, message, recorder=recorder)
    except (MedbusError, Hl7Error) as error:
        return {}, f"the steps cannot be shown: {error}"
    steps: dict[str, list[View]] = {}
    route = ""
    for record in recorder.records:
        route = record.owner if record.place == "route" else route
        steps.setdefault("" if record.place == "inbound" else route, []).append(_view_step(record))
    for name, decision in recorder.route_decisions.items():
        row = {
            "step": "when",
            "kind": "when",
            "element": "",
            "outcome": "not met",
            "why": tell_decision(decision),
        }
        steps.setdefault(name, []).append({**row, "changes": []})
    return steps, ""


def _view_step(record: StepRecord) -> View:
    changes = []
    if record.before is not None and record.after is not None:
        changes = message_changes(record.before, record.after)
    place = f"{record.owner}: " if record.place == "outbound" else ""
    part = f" (part {record.part})" if record.part > 1 else ""
    return {
        "step": f"{place}{record.number}{part}",
        "kind": record.kind,
        "element": record.element,
        "outcome": record.outcome,
        "why": tell_decision(record.decision) if record.decision is not None else "",
        "changes": changes,
        "log": list(record.log),
    }


def tell_decision(decision: Decision) -> str:
    """Return a rule and the values it looked at."""
    values = ", ".join(f"{path} is {value!r}" for path, value in decision.values)
    return f"{decision.rule} ({values})" if values else decision.rule


def why(desk: Desk, ids: Sequence[str], where: MessageFilter, outbound: str, limit: int) -> View:
    """Return one line per message: what became of it for *outbound*."""
    zone = desk.configuration.site.timezone
    if ids:
        found = list(each_message(desk.store, ids, None))
    else:
        found = list(desk.store.find_messages(where, limit=limit).items)
    rows: list[View] = []
    for message in found[:limit]:
        if isinstance(message, LeftOut):
            raise MedbusError(f"{message.id}: {message.reason}", code="RUN-002")
        rows.append(
            {
                "message_id": message.message_id,
                "received_at": show_at(message.received_at, zone),
                "message_type": message.message_type,
                "control_id": message.control_id,
                "outbound": outbound,
                "why": tell_why(desk, message, outbound),
            }
        )
    return {"items": rows, "next": ""}


def tell_why(desk: Desk, message: StoredMessage, outbound: str) -> str:
    """Return in words where a message went, or what stopped it."""
    if message.state is MessageState.REJECTED:
        return f"rejected: {message.reject_reason}"
    if message.state is MessageState.DUPLICATE:
        return f"a duplicate of {message.duplicate_of}"
    mine = [d for d in message.deliveries if d.outbound == outbound]
    if mine:
        return "; ".join(_tell_delivery(desk, message, delivery) for delivery in mine)
    return _tell_routes(desk, message, outbound)


def _tell_delivery(desk: Desk, message: StoredMessage, delivery: StoredDelivery) -> str:
    zone = desk.configuration.site.timezone
    told = f"{delivery.delivery_id} by {delivery.route}: {delivery.state}"
    if delivery.settled_at:
        told += f" {(show_at(delivery.settled_at, zone) or '')[:19].replace('T', ' ')}"
    if delivery.state is DeliveryState.HELD:
        told += _tell_blockers(desk, delivery)
    if delivery.state is DeliveryState.PENDING and (wait := tell_wait(desk, delivery)):
        told += f", {wait}"
    if delivery.state is DeliveryState.EXPIRED:
        told += f", {_tell_expiry(desk, message, delivery)}"
    note = note_of(delivery)
    return f"{told}, {note}" if note else told


def _tell_expiry(desk: Desk, message: StoredMessage, delivery: StoredDelivery) -> str:
    """Return what ran out, and how the last try ended."""
    site = desk.configuration.site
    outbound, inbound = site.outbound.get(delivery.outbound), site.inbound.get(message.inbound)
    limit = outbound.expire_after if outbound is not None else None
    age_s = delivery.settled_at - message.received_at
    if limit is not None and age_s > limit:
        told = f"older than its expire_after of {format_duration(limit)}"
    elif inbound is not None and inbound.ack.delivered_by == delivery.outbound:
        told = "its sender's wait for the answer ran out: ack.timeout of "
        told += f"{message.inbound} is {format_duration(inbound.ack.timeout)}"
    else:
        told = f"{format_duration(round(age_s))} after it came"
    tries = desk.store.get_attempts(delivery.delivery_id)
    if not tries:
        return f"{told}; it was never tried"
    return f"{told}; the last of {delivery.attempts} tries: {tell_try(tries[-1])}"


def _tell_blockers(desk: Desk, held: StoredDelivery) -> str:
    """Return what *held* waits behind; through merges, up to the one that needs a person."""
    between: list[str] = []
    blocker = find_blocker(desk, held)
    while (
        blocker is not None and blocker.state is DeliveryState.HELD and len(between) < _MOST_LINKS
    ):
        between.append(blocker.delivery_id)
        blocker = find_blocker(desk, blocker)
    by_way = f", by way of {', '.join(between)}" if between else ""
    if blocker is None:
        return f" behind {between[-1]}" if between else ""
    told = f" behind {blocker.delivery_id}, {blocker.state}"
    note = note_of(blocker)
    return f"{told}: {note}{by_way}" if note else f"{told}{by_way}"


def find_blocker(desk: Desk, held: StoredDelivery) -> StoredDelivery | None:
    """Return the delivery that *held* waits behind: the earliest that shares an order key."""
    mine = _order_texts(desk, held)
    where = MessageFilter(outbounds=(held.outbound,), states=("parked", "held"))
    for number, other in enumerate(each_delivery(desk.store, where)):
        if number > _MOST_BLOCKERS or other.seq >= held.seq:
            return None
        if not other.released and mine & _order_texts(desk, other):
            return other
    return None


def _order_texts(desk: Desk, delivery: StoredDelivery) -> frozenset[str]:
    compiled = desk.configuration.compiled.outbound.get(delivery.outbound)
    if compiled is None:
        return frozenset()
    try:
        body = desk.store.get_body(delivery.message_id)
        message = read_message(desk, body, delivery.inbound)
    except (MedbusError, Hl7Error):
        return frozenset()
    return frozenset(text for path in compiled.order_by for text in message.get_all(path) if text)


def _tell_routes(desk: Desk, message: StoredMessage, outbound: str) -> str:
    try:
        site = desk.configuration_of(message.snapshot_id).site
    except MedbusError:
        site = desk.configuration.site
    leading = [name for name, route in site.routes.items() if outbound in route.to]
    told = []
    decisions = _decisions(desk, message)
    for result in message.routes:
        if result.route not in leading:
            continue
        reason = result.reason or (result.park.reason if result.park else "")
        if result.route in decisions:
            reason = f"when is not met: {tell_decision(decisions[result.route])}"
        word = "parked" if result.outcome is RouteOutcome.PARKED else "filtered"
        told.append(f"{result.route}: {word}, {reason}" if reason else f"{result.route}: {word}")
    if told:
        return "; ".join(told)
    if message.replay_of:
        return f"a replay of {message.replay_of} that was not for {outbound}"
    return f"no route from {message.inbound} goes to {outbound}"


def _decisions(desk: Desk, message: StoredMessage) -> dict[str, Decision]:
    """Return what the routes' own conditions looked at, where they were not met."""
    if not any(result.reason.startswith("when is not met") for result in message.routes):
        return {}
    recorder = Recorder()
    try:
        configuration = desk.configuration_of(message.snapshot_id)
        run_again(desk, configuration, message, recorder=recorder)
    except (MedbusError, Hl7Error):
        return {}
    return recorder.route_decisions
