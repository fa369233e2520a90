"""An operation as text, so that it can be taken up again after a crash."""

from __future__ import annotations

import base64
import json
from typing import Any

from engine.model.records import NewDelivery, Park
from engine.model.states import ParkCode
from engine.store.operation_records import Operation, OperationItem, OperationVerb


def operation_to_text(operation: Operation) -> str:
    """Return *operation* as JSON; holds bodies, to be sealed."""
    return json.dumps(
        {
            "id": operation.operation_id,
            "verb": operation.verb.value,
            "at": operation.at,
            "actor": operation.actor,
            "reason": operation.reason,
            "detail": dict(operation.detail),
            "old_name": operation.old_name,
            "new_name": operation.new_name,
            "items": [_item(item) for item in operation.items],
        },
        separators=(",", ":"),
    )


def operation_from_text(text: str) -> Operation:
    """Return what ``operation_to_text`` was given."""
    stored = json.loads(text)
    return Operation(
        stored["id"],
        OperationVerb(stored["verb"]),
        stored["at"],
        stored["actor"],
        stored["reason"],
        tuple(_parse_item(item) for item in stored["items"]),
        stored["detail"],
        stored["old_name"],
        stored["new_name"],
    )


def _item(item: OperationItem) -> Any:
    if item.replacements is None:
        return item.item_id
    made = [_delivery(one) for one in item.replacements]
    return [item.item_id, item.snapshot_id, made, item.why_nothing]


def _parse_item(stored: Any) -> OperationItem:
    if isinstance(stored, str):
        return OperationItem(stored)
    made = tuple(_parse_delivery(one) for one in stored[2])
    # Operations begun by older versions do not say why there is nothing.
    return OperationItem(stored[0], made, stored[1], *stored[3:])


def _delivery(delivery: NewDelivery) -> Any:
    park = delivery.park
    return [
        delivery.number,
        delivery.route,
        delivery.output,
        delivery.outbound,
        None if delivery.body is None else base64.b64encode(delivery.body).decode(),
        delivery.control_id,
        list(delivery.promises),
        [key.hex() for key in delivery.order_keys],
        delivery.file_name,
        None if park is None else [park.code.value, park.reason, park.step, park.path],
        delivery.replaces,
        delivery.on_park,
        delivery.method,
    ]


def _parse_delivery(stored: Any) -> NewDelivery:
    number, route, output, outbound, body, control_id, promises, keys, name, park, old, on = stored[
        :12
    ]
    return NewDelivery(
        number,
        route,
        output,
        outbound,
        None if body is None else base64.b64decode(body),
        control_id,
        (promises[0], promises[1]),
        tuple(bytes.fromhex(key) for key in keys),
        name,
        None if park is None else Park(ParkCode(park[0]), *park[1:]),
        old,
        on,
        # Operations begun by older versions do not say it. Links are in the vault by then.
        *stored[12:],
    )
