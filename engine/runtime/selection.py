"""
SELECTION: which deliveries or messages a verb is about, and which it leaves out and why.

A message id stands for all its deliveries the verb applies to; the others of that message are
told. Filters choose only what the verb applies to, unless a state was asked for.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import tzinfo

from engine.model.errors import NotFound, Usage
from engine.model.records import StoredDelivery, StoredMessage
from engine.model.states import DeliveryState, MessageState
from engine.runtime.times import parse_when
from engine.store.interface import MessageFilter, Store

MESSAGE_ID = re.compile(r"\d{8}-\d+")
DELIVERY_ID = re.compile(r"\d{8}-\d+\.\d+")
STATES = (*(s.value for s in MessageState), *(s.value for s in DeliveryState))

#: the delivery states each verb applies to
APPLIES = {
    "requeue": frozenset({DeliveryState.PARKED}),
    "release": frozenset({DeliveryState.PARKED}),
    "cancel": frozenset({DeliveryState.PENDING, DeliveryState.PARKED, DeliveryState.HELD}),
}
_PAGE = 1000


@dataclass(slots=True)
class LeftOut:
    """Something named that the verb does not apply to."""

    id: str
    reason: str


@dataclass(slots=True)
class Chosen:
    """What a verb will act on, and what it will not."""

    deliveries: list[StoredDelivery] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def parse_filter(filters: Mapping[str, str], *, now: float, zone: tzinfo) -> MessageFilter:
    """Return the store's filter for what was typed; raises Usage for a wrong word."""

    def words(name: str) -> tuple[str, ...]:
        return tuple(filter(None, (filters.get(name) or "").split(",")))

    states = words("state")
    for state in states:
        if state not in STATES:
            near = difflib.get_close_matches(state, STATES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(STATES)}"
            raise Usage(f"there is no state {state!r}", fix=hint)

    def moment(name: str) -> float | None:
        text = filters.get(name)
        return parse_when(text, now=now, zone=zone) if text else None

    return MessageFilter(
        inbounds=words("inbound"),
        routes=words("route"),
        outbounds=words("outbound"),
        message_types=words("message_type"),
        states=states,
        since=moment("since"),
        until=moment("until"),
        patient=filters.get("patient") or "",
        visit=filters.get("visit") or "",
        order=filters.get("order") or "",
        name=filters.get("name") or "",
        control_id=filters.get("control_id") or "",
        park_codes=words("park_code"),
    )


def check_ids(ids: Sequence[str]) -> None:
    """Raise Usage for what is neither a message id nor a delivery id."""
    for given in ids:
        if not MESSAGE_ID.fullmatch(given) and not DELIVERY_ID.fullmatch(given):
            raise Usage(
                f"{given!r} is no id",
                fix="a message id is 20261121-17, a delivery id 20261121-17.2",
            )


def choose_deliveries(
    store: Store, verb: str, ids: Sequence[str], where: MessageFilter | None
) -> Chosen:
    """Return the deliveries *verb* applies to among those named."""
    chosen = Chosen()
    applies = APPLIES[verb]
    seen: set[str] = set()
    for given in ids:
        try:
            found = _named(store, given)
        except NotFound as error:
            chosen.left_out.append(LeftOut(given, _tell_absent(error)))
            continue
        if not found:
            chosen.left_out.append(LeftOut(given, "it owes no deliveries"))
        for delivery in found:
            if where is not None and not _is_within(delivery, where):
                continue
            _sort_in(chosen, delivery, applies, verb, seen)
    if not ids and where is not None:
        if not where.states:
            where = replace(where, states=tuple(state.value for state in applies))
        for delivery in each_delivery(store, where):
            _sort_in(chosen, delivery, applies, verb, seen)
    return chosen


def _tell_absent(error: NotFound) -> str:
    """Return why nothing has an id: perhaps because the file of its whole day is gone."""
    return "there is no such id" if error.code == NotFound.code else str(error)


def _named(store: Store, given: str) -> Sequence[StoredDelivery]:
    if DELIVERY_ID.fullmatch(given):
        return (store.get_delivery(given),)
    return store.get_message(given).deliveries


def _is_within(delivery: StoredDelivery, where: MessageFilter) -> bool:
    return all(
        not wanted or value in wanted
        for wanted, value in (
            (where.outbounds, delivery.outbound),
            (where.routes, delivery.route),
            (where.inbounds, delivery.inbound),
            (where.states, delivery.state.value),
        )
    )


def _sort_in(
    chosen: Chosen,
    delivery: StoredDelivery,
    applies: frozenset[DeliveryState],
    verb: str,
    seen: set[str],
) -> None:
    if delivery.delivery_id in seen:
        return
    seen.add(delivery.delivery_id)
    if delivery.state not in applies:
        chosen.left_out.append(LeftOut(delivery.delivery_id, f"it is {delivery.state}"))
    elif verb == "release" and delivery.released:
        chosen.left_out.append(LeftOut(delivery.delivery_id, "it is released already"))
    else:
        chosen.deliveries.append(delivery)


def each_delivery(store: Store, where: MessageFilter) -> Iterator[StoredDelivery]:
    """Yield every delivery that matches, oldest first."""
    cursor = ""
    while True:
        page = store.find_deliveries(where, limit=_PAGE, cursor=cursor)
        yield from page.items
        cursor = page.cursor
        if not cursor:
            return


def each_message(
    store: Store, ids: Sequence[str], where: MessageFilter | None
) -> Iterator[StoredMessage | LeftOut]:
    """Yield the messages named by ids, or those a filter finds, oldest first."""
    if ids:
        for given in dict.fromkeys(text.partition(".")[0] for text in ids):
            try:
                yield store.get_message(given)
            except NotFound as error:
                yield LeftOut(given, _tell_absent(error))
        return
    if where is None:
        return
    found: list[StoredMessage] = []
    cursor = ""
    while True:
        page = store.find_messages(where, limit=_PAGE, cursor=cursor)
        found += page.items
        cursor = page.cursor
        if not cursor:
            break
    yield from reversed(found)
