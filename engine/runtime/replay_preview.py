"""The dry run of a replay: each field that would differ, and who has newer messages already."""

from __future__ import annotations

from typing import Any

from engine.model.records import NewDelivery, StoredDelivery, StoredMessage
from engine.model.states import DeliveryState
from engine.runtime.desk import Desk
from engine.runtime.differences import field_changes
from engine.runtime.replay_plan import Plan, resendable, run_today
from engine.runtime.views import View
from engine.store.interface import MessageFilter

#: outbound channel, what it got before, what it would get
_Output = tuple[str, StoredDelivery | None, NewDelivery | None]
#: deliveries that are shown with their differences
_SHOWN = 50


def preview(desk: Desk, made: Plan) -> View:
    """Return the counts of the whole replay, and the differences of its first deliveries."""
    items: list[View] = []
    for message_id in made.message_ids:
        if len(items) >= _SHOWN:
            break
        message = desk.store.get_message(message_id)
        items += [_show(desk, message, *one) for one in _would_send(desk, message, made)]
    return {
        "count": len(made.message_ids),
        "deliveries": made.by_outbound.total(),
        "items": items,
        "left_out": [{"id": left.id, "reason": left.reason} for left in made.left_out],
        "next": "",
    }


def _would_send(desk: Desk, message: StoredMessage, made: Plan) -> list[_Output]:
    if made.choice.replay_as == "sent":
        return [(d.outbound, d, None) for d in resendable(desk, message, made)]
    routed = run_today(desk, message, made.choice)
    before = {(d.route, d.outbound): d for d in message.deliveries}
    return [(d.outbound, before.get((d.route, d.outbound)), d) for d in routed.deliveries]


def _show(
    desk: Desk,
    message: StoredMessage,
    outbound: str,
    before: StoredDelivery | None,
    after: NewDelivery | None,
) -> View:
    changes: list[dict[str, Any]] = []
    if after is not None and after.park is not None:
        place = after.park.path or f"step {after.park.step}"
        changes = [{"path": place, "before": "", "after": f"fails: {after.park.reason}"}]
    elif after is not None and after.body is not None and before is not None and before.has_body:
        changes = field_changes(desk.store.get_output(before.delivery_id), after.body)
    return {
        "id": before.delivery_id if before is not None else message.message_id,
        "outbound": outbound,
        "changes": changes,
        "newer_count": _newer(desk, message, outbound),
    }


def _newer(desk: Desk, message: StoredMessage, outbound: str) -> int:
    """Return how many later messages of the channel were delivered to *outbound* since."""
    where = MessageFilter(
        inbounds=(message.inbound,),
        outbounds=(outbound,),
        states=(DeliveryState.DELIVERED.value,),
        since=message.received_at,
    )
    found = desk.store.find_messages(where, limit=1000).items
    return sum(other.seq > message.seq and other.replay_of != message.message_id for other in found)
