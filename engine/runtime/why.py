"""
`why`: what became of a message for one receiver, and what a person can do about it.

Rules of this file: every answer says where the message is, why, and the next step where there is
one; a duplicate is answered for the message that it repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.hl7.errors import Hl7Error
from engine.model.errors import MedbusError, NotFound
from engine.model.records import RouteResult, StoredDelivery, StoredMessage
from engine.model.states import FINAL_STATES, DeliveryState, MessageState, RouteOutcome
from engine.pipeline.trace import Decision, Recorder
from engine.runtime.advice import Told, advise_parked
from engine.runtime.blockers import tell_hold
from engine.runtime.desk import Desk
from engine.runtime.endings import tell_cancel, tell_expiry
from engine.runtime.names import outbound_names
from engine.runtime.pending import tell_wait
from engine.runtime.rerun import run_again
from engine.runtime.selection import LeftOut, each_message
from engine.runtime.times import show_at
from engine.runtime.views import View, note_of, tell_decision, view_message
from engine.store.interface import MessageFilter, OutboundCounts

#: a delivery that moves on while it is looked at is looked at again, so often
_MOST_LOOKS = 3


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
        told = tell_why(desk, message, outbound)
        rows.append(
            {
                "message_id": message.message_id,
                "received_at": show_at(message.received_at, zone),
                "message_type": message.message_type,
                "control_id": message.control_id,
                "outbound": outbound,
                "why": told.why,
                "next_step": told.next_step,
            }
        )
    return {"items": rows, "next": ""}


def tell_why(desk: Desk, message: StoredMessage, outbound: str) -> Told:
    """Return in words where a message went, or what stopped it."""
    if message.state is MessageState.REJECTED:
        told, heard = f"rejected: {message.reject_reason}", message.ack_code or "no answer"
        return Told(told, f"its sender heard {heard} and has to mend it and send again")
    if message.state is MessageState.DUPLICATE:
        return _tell_duplicate(desk, message, outbound)
    names = outbound_names(desk.configuration.site, outbound)
    mine = [d for d in message.deliveries if d.outbound in names]
    if not mine:
        return _tell_routes(desk, message, outbound, names)
    told_all = [_tell_now(desk, message, delivery) for delivery in mine]
    return Told(
        "; ".join(_tell_place(desk, delivery, told.why) for delivery, told in told_all),
        "; ".join(dict.fromkeys(told.next_step for _, told in told_all if told.next_step)),
    )


def _tell_duplicate(desk: Desk, message: StoredMessage, outbound: str) -> Told:
    """Return what became of the message that this one repeats."""
    told = f"a duplicate of {message.duplicate_of}"
    try:
        first = tell_why(desk, desk.store.get_message(message.duplicate_of), outbound)
    except NotFound:
        return Told(f"{told}, which is not in the store any more")
    return Told(f"{told}; that one: {first.why}", first.next_step)


def _tell_place(desk: Desk, delivery: StoredDelivery, why: str) -> str:
    place = f"{delivery.delivery_id} by {delivery.route}: {delivery.state}"
    if delivery.settled_at:
        at = show_at(delivery.settled_at, desk.configuration.site.timezone) or ""
        place += f" {at[:19].replace('T', ' ')}"
    joint = " " if delivery.state is DeliveryState.HELD else ", "
    return f"{place}{joint}{why}" if why else place


def view_explained(desk: Desk, message: StoredMessage) -> View:
    """Return a message whose deliveries say why they are where they are, and the next step."""
    told_all = [_tell_now(desk, message, delivery) for delivery in message.deliveries]
    message = replace(message, deliveries=tuple(delivery for delivery, _ in told_all))
    view = view_message(message, desk.configuration.site.timezone)
    for row, (_, told) in zip(view["deliveries"], told_all, strict=True):
        row["why"], row["next_step"] = told
    return view


def _tell_now(
    desk: Desk, message: StoredMessage, delivery: StoredDelivery
) -> tuple[StoredDelivery, Told]:
    """Tell about a delivery as it is now: it may move on while its tries are read."""
    told = tell_delivery(desk, message, delivery)
    for _ in range(_MOST_LOOKS):
        if delivery.state in FINAL_STATES:
            break
        now = desk.store.get_delivery(delivery.delivery_id)
        if now == delivery:
            break
        delivery = now
        told = tell_delivery(desk, message, delivery)
    return delivery, told


def tell_delivery(desk: Desk, message: StoredMessage, delivery: StoredDelivery) -> Told:
    """Return why a delivery is in its state; the note that is kept with it included."""
    told = Told("")
    if delivery.state is DeliveryState.HELD:
        told = tell_hold(desk, delivery)
    elif delivery.state is DeliveryState.PENDING:
        told = tell_wait(desk, delivery)
    elif delivery.state is DeliveryState.EXPIRED:
        told = tell_expiry(desk, message, delivery)
    elif delivery.state is DeliveryState.CANCELLED:
        told = tell_cancel(desk, delivery)
    elif delivery.state is DeliveryState.PARKED:
        owed = desk.store.counts().outbounds.get(delivery.outbound, OutboundCounts())
        holds = owed.held > 0 or delivery.delivery_id in owed.halted_by
        told = Told("", advise_parked(delivery, holds_others=holds))
    note = note_of(delivery)
    return Told(", ".join(filter(None, (told.why, note))), told.next_step)


def _tell_routes(desk: Desk, message: StoredMessage, outbound: str, names: frozenset[str]) -> Told:
    """Return what kept a message from having a delivery to an outbound channel at all."""
    try:
        site = desk.configuration_of(message.snapshot_id).site
    except MedbusError:
        site = desk.configuration.site
    leading = [name for name, route in site.routes.items() if names.intersection(route.to)]
    results = [result for result in message.routes if result.route in leading]
    filtered = [result for result in results if result.outcome is RouteOutcome.FILTERED]
    again = f"`medbus replay {message.message_id} --as received --to {outbound}`"
    if message.replay_of and len(filtered) < max(len(results), 1):
        return Told(
            f"a replay of {message.replay_of} that made nothing for {outbound}",
            f"`medbus why {message.replay_of} --to {outbound}`",
        )
    if results:
        decisions = _decisions(desk, message)
        told = [_tell_result(result, outbound, decisions) for result in results]
        return Told("; ".join(told), f"if it should go there, mend what filters it, then {again}")
    went = ", ".join(dict.fromkeys(d.outbound for d in message.deliveries))
    return Told(
        f"no route from {message.inbound} goes to {outbound}"
        + (f"; it went to {went}" if went else ""),
        f"if it should go there, add a route, then {again}",
    )


def _tell_result(result: RouteResult, outbound: str, decisions: dict[str, Decision]) -> str:
    if result.outcome is not RouteOutcome.FILTERED:
        return f"{result.route}: filtered by the steps of {outbound} itself"
    reason = result.reason
    if result.route in decisions:
        reason = f"when is not met: {tell_decision(decisions[result.route])}"
    return f"{result.route}: filtered, {reason}"


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
