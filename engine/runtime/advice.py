"""What a person can do next about a delivery that waits, or that will not go."""

from __future__ import annotations

from typing import NamedTuple

from engine.model.records import StoredDelivery
from engine.model.states import DeliveryState, ParkCode


class Told(NamedTuple):
    """Why something is as it is, and what to do next; "" where there is nothing to say."""

    why: str
    next_step: str = ""


_SAME_BYTES = "then `medbus requeue {id}`: the same bytes go again"
_ASK_FIRST = "ask {outbound} whether it has the message: if it has, `medbus cancel {id}`; if not, "
_PARKED: dict[str, str] = {
    ParkCode.NACK: f"mend what {{outbound}} refuses, {_SAME_BYTES}",
    ParkCode.STEP: "mend the step or the table it names and `medbus reload`, or have the sender"
    " mend the message; then `medbus requeue {id}` runs the route again",
    ParkCode.LEAK: "let the profile or a step take out what the place named still holds and"
    " `medbus reload`; then `medbus requeue {id}` runs the route again",
    ParkCode.CHARSET: "choose a charset for {outbound} that has these characters and"
    " `medbus reload`; then `medbus requeue {id}` runs the route again",
    ParkCode.TIMEOUT: f"{_ASK_FIRST}`medbus requeue {{id}}`",
    ParkCode.LATE_NACK: f"mend what {{outbound}} refused after it had taken it, {_SAME_BYTES}",
    ParkCode.NO_APPLICATION_ACK: f"{_ASK_FIRST}`medbus requeue {{id}}`",
    ParkCode.NO_ACK_PROMISED: f"{_ASK_FIRST}`medbus requeue {{id}}`; where it never answers,"
    " `ack: none` says so",
    ParkCode.DAMAGED: "`medbus requeue {id}` runs the route again where the message itself can"
    " still be read; where not, read it from a backup or have the sender send it again",
    ParkCode.FILE: f"mend the folder or its rights, {_SAME_BYTES}",
}
_AND_OTHERS = "; or `medbus release {id}` to let those pass that wait behind it"


def advise_parked(delivery: StoredDelivery, *, holds_others: bool) -> str:
    """Return what to do about a parked delivery."""
    advice = _PARKED[delivery.park_code]
    if holds_others and not delivery.released:
        advice += _AND_OTHERS
    return advice.format(id=delivery.delivery_id, outbound=delivery.outbound)


def advise_replay(delivery: StoredDelivery) -> str:
    """Return how to send after all what was taken out for good."""
    may_repeat = delivery.state is DeliveryState.EXPIRED and delivery.has_body
    return (
        f"if it is still wanted, `medbus replay {delivery.message_id}"
        f" --as {'sent' if may_repeat else 'received'} --to {delivery.outbound}`"
    )
