"""
Replay: messages once more, as new records in today's file, linked to the old ones.

``sent`` repeats stored output bytes; ``received`` runs the original through today's
configuration with its original id and arrival time. Evidence is never overwritten.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.hl7.errors import Hl7Error
from engine.hl7.header import parse_header
from engine.hl7.message import Message
from engine.model.errors import Fenced, MedbusError, NotFound, Stopping
from engine.model.records import (
    Arrival,
    NewDelivery,
    RouteResult,
    StoredDelivery,
    StoredMessage,
)
from engine.model.states import DeliveryState, MessageState, ParkCode, RouteOutcome
from engine.pipeline.route import Routed, name_file
from engine.pipeline.run import Run
from engine.pipeline.terms import find_terms
from engine.runtime.bodies import read_message
from engine.runtime.desk import Desk
from engine.runtime.differences import field_changes
from engine.runtime.rerun import arrived_of, run_again
from engine.runtime.selection import DELIVERY_ID, LeftOut, each_message
from engine.runtime.views import View
from engine.store.interface import MessageFilter, Operation

#: outbound channel, what it got before, what it would get
_Output = tuple[str, StoredDelivery | None, NewDelivery | None]
#: messages of a dry run that are shown with their differences
_SHOWN = 50


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


def plan(desk: Desk, ids: Sequence[str], where: MessageFilter | None, choice: Choice) -> Plan:
    """Return what a replay would be about, and what is left out and why."""
    named = frozenset(given for given in ids if DELIVERY_ID.fullmatch(given))
    made = Plan(choice, only_deliveries=named)
    for found in each_message(desk.store, ids, where):
        if isinstance(found, LeftOut):
            made.left_out.append(found)
            continue
        why_not = _objection(desk, found, made)
        if why_not:
            made.left_out.append(LeftOut(found.message_id, why_not))
            continue
        made.message_ids.append(found.message_id)
        if choice.replay_as == "sent":
            again = _resendable(desk, found, made)
            made.by_outbound.update((d.outbound, "sent again") for d in again)
        else:
            made.by_outbound.update((name, "run again") for name in choice.outbounds or ("all",))
    return made


def _objection(desk: Desk, message: StoredMessage, made: Plan) -> str:
    if message.state is not MessageState.ACCEPTED:
        return f"it is {message.state}"
    if made.choice.replay_as == "sent":
        return "" if _resendable(desk, message, made) else "no stored output can be sent again"
    if message.inbound not in desk.configuration.site.inbound:
        return f"there is no inbound channel {message.inbound} any more"
    return ""


def _resendable(desk: Desk, message: StoredMessage, made: Plan) -> list[StoredDelivery]:
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


def perform(desk: Desk, operation: Operation, made: Plan) -> View:
    """Audit the replay, commit one new record per message, and wake the channels."""
    desk.access.apply(operation)
    return _commit_all(desk, operation, made)


def resume_replay(desk: Desk, operation: Operation) -> None:
    """Finish a replay that a crash cut short; what it stored already is not stored again."""
    detail = operation.detail
    choice = Choice(detail.get("as", "sent"), tuple((detail.get("to") or "").split()))
    only = frozenset((detail.get("deliveries") or "").split())
    ids = [item.item_id for item in operation.items]
    _commit_all(desk, operation, Plan(choice, ids, only_deliveries=only))


def _commit_all(desk: Desk, operation: Operation, made: Plan) -> View:
    created: list[str] = []
    failed: list[View] = []
    outbounds: set[str] = set()
    for number, message_id in enumerate(made.message_ids, 1):
        try:
            arrival = build_arrival(desk, desk.store.get_message(message_id), made, operation)
            accepted = desk.access.commit(arrival)
        except (Fenced, Stopping):
            raise
        except (MedbusError, Hl7Error) as error:
            failed.append({"id": message_id, "reason": str(error)})
            continue
        created.append(getattr(accepted, "message_id", arrival.message_id))
        outbounds |= {d.outbound for d in arrival.deliveries}
        if number % 100 == 0:
            desk.progress(f"{number} of {len(made.message_ids)} replayed")
    desk.access.write(lambda store: store.finish(operation.operation_id))
    if desk.engine is not None:
        desk.engine.wake(frozenset(outbounds))
    return {
        "operation_id": operation.operation_id,
        "done": len(created),
        "failed": failed,
        "created": created,
    }


def build_arrival(desk: Desk, message: StoredMessage, made: Plan, operation: Operation) -> Arrival:
    """Return the new record that stands for one replayed message."""
    now = desk.clock.now()
    body = desk.store.get_body(message.message_id)
    new_id = desk.engine.draw_message_id(now) if desk.engine else _next_id(desk, now)
    if made.choice.replay_as == "sent":
        original = read_message(desk, body, message.inbound)
        terms = find_terms(original, message.control_id)
        deliveries = _sent_again(desk, message, made, original, new_id)
        names = dict.fromkeys(d.route for d in deliveries)
        results = tuple(RouteResult(name, RouteOutcome.QUEUED) for name in names)
    else:
        routed = _run(desk, message, made.choice, lambda number: f"{new_id}.{number}")
        if routed.failure is not None:
            raise MedbusError(f"an inbound step fails: {routed.failure.reason}", code="RUN-036")
        deliveries, results, terms = routed.deliveries, routed.routes, routed.terms
    return Arrival(
        message_id=new_id,
        inbound=message.inbound,
        received_at=now,
        body=body,
        sha256=hashlib.sha256(body).digest(),
        state=MessageState.ACCEPTED,
        ack=b"",
        ack_code="",
        control_id=message.control_id,
        message_type=message.message_type,
        version=message.version,
        peer="replay",
        snapshot_id=desk.configuration.snapshot_id,
        terms=terms,
        routes=results,
        deliveries=tuple(replace(d, number=n) for n, d in enumerate(deliveries, 1)),
        warnings=message.warnings,
        replay_of=message.message_id,
        replay_as=made.choice.replay_as,
        operation_id=operation.operation_id,
    )


def _run(
    desk: Desk,
    message: StoredMessage,
    choice: Choice,
    id_of: Callable[[int], str] | None = None,
) -> Routed:
    outbounds = choice.outbounds or None
    return run_again(desk, desk.configuration, message, outbounds=outbounds, id_of=id_of)


def _next_id(desk: Desk, now: float) -> str:
    from datetime import datetime

    day = datetime.fromtimestamp(now, desk.configuration.site.timezone).strftime("%Y%m%d")
    return f"{day}-{desk.store.next_number(day)}"


def _sent_again(
    desk: Desk, message: StoredMessage, made: Plan, original: Message, new_id: str
) -> tuple[NewDelivery, ...]:
    """Return the stored outputs as new deliveries, with today's order keys and file names."""
    again = []
    for number, old in enumerate(_resendable(desk, message, made), 1):
        outbound = desk.configuration.site.outbound[old.outbound]
        output = desk.store.get_output(old.delivery_id)
        again.append(
            NewDelivery(
                number=number,
                route=old.route,
                output=1,
                outbound=old.outbound,
                body=output,
                control_id=old.control_id,
                promises=_promises(output),
                order_keys=_order_keys(desk, old.outbound, original),
                file_name=_file_name(desk, message, old, original, f"{new_id}.{number}"),
                on_park=outbound.on_park,
                method=old.method,
            )
        )
    if not again:
        raise NotFound("no stored output can be sent again")
    return tuple(again)


def _file_name(
    desk: Desk, message: StoredMessage, old: StoredDelivery, original: Message, delivery_id: str
) -> str:
    configuration = desk.configuration
    compiled = configuration.compiled.outbound[old.outbound]
    if compiled.file_name is None:
        return ""
    output = Message.parse(desk.store.get_output(old.delivery_id))
    arrived = arrived_of(configuration, message)
    run = Run(output, arrived, {}, route=old.route, received=original)
    return name_file(compiled, run, delivery_id)


def _order_keys(desk: Desk, outbound: str, original: Message) -> tuple[bytes, ...]:
    compiled = desk.configuration.compiled.outbound[outbound]
    texts = [text for path in compiled.order_by for text in original.get_all(path)]
    known = dict.fromkeys(text for text in texts if text and text != '""')
    return tuple(compiled.hash_key(text) for text in known)


def _promises(output: bytes) -> tuple[str, str]:
    try:
        header = parse_header(output)
    except Hl7Error:
        return ("", "")
    return (header.accept_ack, header.application_ack)


def dry_run(desk: Desk, made: Plan) -> View:
    """Return what would be sent, field by field, and who already has newer messages."""
    items: list[View] = []
    left_out = [{"id": left.id, "reason": left.reason} for left in made.left_out]
    total = 0
    for message_id in made.message_ids:
        try:
            message = desk.store.get_message(message_id)
            outputs = _would_send(desk, message, made)
            shown = [_show(desk, message, *one) for one in outputs if len(items) < _SHOWN]
        except Fenced:
            raise
        except (MedbusError, Hl7Error) as error:
            left_out.append({"id": message_id, "reason": str(error)})
            continue
        total += len(outputs)
        items += shown
    return {
        "count": len(made.message_ids) + len(made.left_out) - len(left_out),
        "deliveries": total,
        "items": items,
        "left_out": left_out,
        "next": "",
    }


def _would_send(desk: Desk, message: StoredMessage, made: Plan) -> list[_Output]:
    if made.choice.replay_as == "sent":
        return [(d.outbound, d, None) for d in _resendable(desk, message, made)]
    routed = _run(desk, message, made.choice)
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
        changes = [{"path": after.park.path, "before": "", "after": f"fails: {after.park.reason}"}]
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
