"""
What a replay would send, worked out before anybody consents: what cannot go is left out and told.

Rules of this file: nothing is stored; each message is tried as it will be done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.hl7.errors import Hl7Error
from engine.model.errors import Conflict, Fenced, MedbusError, NotFound, Stopping, Usage
from engine.model.records import NewDelivery, StoredDelivery, StoredMessage
from engine.model.states import DeliveryState, MessageState, ParkCode, RouteOutcome
from engine.pipeline.route import Routed
from engine.runtime.desk import Desk
from engine.runtime.names import demand_known
from engine.runtime.rerun import run_again
from engine.runtime.selection import DELIVERY_ID, LeftOut, each_message
from engine.store.interface import MessageFilter, Store


@dataclass(frozen=True, slots=True)
class Choice:
    """What is replayed, and to whom."""

    replay_as: str
    #: only these outbound channels; () is all that have or had one
    outbounds: tuple[str, ...] = ()


@dataclass(slots=True)
class Plan:
    """The messages a replay is about."""

    choice: Choice
    message_ids: list[str] = field(default_factory=list)
    #: delivery ids, where single deliveries were named
    only_deliveries: frozenset[str] = frozenset()
    left_out: list[LeftOut] = field(default_factory=list)
    by_outbound: Counter[tuple[str, str]] = field(default_factory=Counter)


def read_choice(
    asked: Mapping[str, Any], where: MessageFilter, outbounds: Collection[str]
) -> Choice:
    """Return what was asked for; raises for words that do not go together."""
    replay_as, to = str(asked.get("as") or ""), tuple(asked.get("to") or ())
    ids = asked.get("ids") or ()
    if replay_as not in ("sent", "received"):
        raise MedbusError("a replay is --as sent or --as received", code="RUN-008")
    if ids and asked.get("filters"):
        raise Usage("a replay is of ids or of what filters find", fix="name receivers with --to")
    if replay_as == "received" and any(DELIVERY_ID.fullmatch(given) for given in ids):
        # All receivers would get the message, though only one delivery was named.
        raise Usage(
            "a replay --as received is of whole messages",
            fix="give the message id, such as 20261121-17, and name receivers with --to",
        )
    # Who looks for what went to lis means lis, and not everybody who got the same message.
    to = to or where.outbounds
    for outbound in to:
        demand_known(outbound, outbounds)
    return Choice(replay_as, to)


def plan_replay(
    desk: Desk, ids: Sequence[str], where: MessageFilter | None, choice: Choice
) -> Plan:
    """Return what a replay would be about, and what is left out and why."""
    named = frozenset(given for given in ids if DELIVERY_ID.fullmatch(given))
    made = Plan(choice, only_deliveries=named)
    originals: set[str] = set()
    for number, found in enumerate(each_message(desk.store, ids, where), 1):
        if number % 100 == 0:
            desk.progress(f"{number:,} looked at")
            desk.access.write(_nothing)  # a stop of the engine is heard here
        if isinstance(found, LeftOut):
            made.left_out.append(found)
            continue
        if choice.replay_as == "received" and not ids:
            # A filter finds replays beside their originals, and all would give the same again.
            original = _find_original(desk, found)
            if original in originals:
                continue
            originals.add(original)
        if found.state is not MessageState.ACCEPTED:
            repeated = found.duplicate_of
            state = f"a duplicate of {repeated}" if repeated else str(found.state)
            made.left_out.append(LeftOut(found.message_id, f"it is {state}"))
            continue
        try:
            kinds = _try_one(desk, found, made)
        except (Fenced, Stopping):
            raise
        except (MedbusError, Hl7Error) as error:
            made.left_out.append(LeftOut(found.message_id, str(error)))
            continue
        made.message_ids.append(found.message_id)
        made.by_outbound.update(kinds)
    return made


def _find_original(desk: Desk, message: StoredMessage) -> str:
    """Return the id of what a message is a replay of, in the end; its own where it is none."""
    found = message.message_id
    while message.replay_of:
        found = message.replay_of
        try:
            message = desk.store.get_message(found)
        except NotFound:
            break  # pruned
    return found


def _nothing(_: Store) -> None:
    """Write nothing."""


def _try_one(desk: Desk, message: StoredMessage, made: Plan) -> list[tuple[str, str]]:
    """Return outbound channel and fate of each delivery there would be; raises where none goes."""
    if made.choice.replay_as == "sent":
        desk.store.get_body(message.message_id)  # the new record has it, too
        again = resendable(desk, message, made)
        for delivery in again:
            desk.store.get_output(delivery.delivery_id)
        if not again:
            raise NotFound("no stored output can be sent again")
        return [(delivery.outbound, "sent again") for delivery in again]
    return [(new.outbound, _fate(new)) for new in run_today(desk, message, made.choice).deliveries]


def _fate(made: NewDelivery) -> str:
    return "run again" if made.park is None else f"run again, parked: {made.park.code}"


def resendable(desk: Desk, message: StoredMessage, made: Plan) -> list[StoredDelivery]:
    """Return the deliveries of *message* whose stored output may be sent once more."""
    return [
        d
        for d in message.deliveries
        if d.has_body
        and d.outbound in desk.configuration.site.outbound
        and d.state is not DeliveryState.CANCELLED
        and d.park_code != ParkCode.LEAK
        and (not made.choice.outbounds or d.outbound in made.choice.outbounds)
        and (not made.only_deliveries or d.delivery_id in made.only_deliveries)
    ]


def run_today(
    desk: Desk,
    message: StoredMessage,
    choice: Choice,
    id_of: Callable[[int], str] | None = None,
) -> Routed:
    """Run the original through today's configuration; raises where nothing comes of it."""
    routed = run_again(
        desk, desk.configuration, message, outbounds=choice.outbounds or None, id_of=id_of
    )
    if routed.failure is not None:
        raise MedbusError(f"an inbound step fails: {routed.failure.reason}", code="RUN-036")
    if not routed.deliveries:
        raise Conflict(_tell_nothing(routed, choice))
    return routed


def _tell_nothing(routed: Routed, choice: Choice) -> str:
    whom = f" for {', '.join(choice.outbounds)}" if choice.outbounds else ""
    filtered = [
        f"{result.route}: {result.reason}"
        for result in routed.routes
        if result.outcome is RouteOutcome.FILTERED
    ]
    told = f"today's routes make nothing of it{whom}"
    return f"{told} ({'; '.join(filtered)})" if filtered else told
