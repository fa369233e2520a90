"""What a held delivery waits behind; through merges, up to the one that needs a person."""

from __future__ import annotations

from engine.hl7.errors import Hl7Error
from engine.model.errors import MedbusError
from engine.model.records import StoredDelivery
from engine.model.states import DeliveryState
from engine.runtime.advice import Told, advise_parked
from engine.runtime.bodies import read_message
from engine.runtime.desk import Desk
from engine.runtime.selection import each_delivery
from engine.runtime.views import note_of
from engine.store.interface import MessageFilter

#: earlier deliveries looked at to find what holds one
_MOST_BLOCKERS = 1000
#: held merges followed from one to the next
_MOST_LINKS = 10


def tell_hold(desk: Desk, held: StoredDelivery) -> Told:
    """Return what *held* waits behind, and what to do about that."""
    between: list[str] = []
    blocker = find_blocker(desk, held)
    while (
        blocker is not None and blocker.state is DeliveryState.HELD and len(between) < _MOST_LINKS
    ):
        between.append(blocker.delivery_id)
        blocker = find_blocker(desk, blocker)
    by_way = f", by way of {', '.join(between)}" if between else ""
    if blocker is None:
        return Told(f"behind {between[-1]}" if between else "")
    told = f"behind {blocker.delivery_id}, {blocker.state}"
    note = note_of(blocker)
    told = f"{told}: {note}{by_way}" if note else f"{told}{by_way}"
    if blocker.state is not DeliveryState.PARKED:
        return Told(told)
    return Told(told, advise_parked(blocker, holds_others=True))


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
