"""
Replay: messages once more, as new records in today's file, linked to the old ones.

``sent`` repeats stored output bytes; ``received`` runs the original through today's
configuration with its original id and arrival time. Evidence is never overwritten.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

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
from engine.model.states import MessageState, RouteOutcome
from engine.pipeline.route import name_file
from engine.pipeline.run import Run
from engine.pipeline.terms import find_terms
from engine.runtime.bodies import read_message
from engine.runtime.desk import Desk
from engine.runtime.replay_plan import Choice, Plan, resendable, run_today
from engine.runtime.rerun import arrived_of
from engine.runtime.views import View
from engine.store.interface import Operation

#: messages of a replay after which the lanes look for what is there already
_WAKE_EVERY = 20


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
        if desk.engine is not None and number % _WAKE_EVERY == 1:
            desk.engine.wake(frozenset(outbounds))
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
        routed = run_today(desk, message, made.choice, lambda number: f"{new_id}.{number}")
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


def _next_id(desk: Desk, now: float) -> str:
    from datetime import datetime

    day = datetime.fromtimestamp(now, desk.configuration.site.timezone).strftime("%Y%m%d")
    return f"{day}-{desk.store.next_number(day)}"


def _sent_again(
    desk: Desk, message: StoredMessage, made: Plan, original: Message, new_id: str
) -> tuple[NewDelivery, ...]:
    """Return the stored outputs as new deliveries, with today's order keys and file names."""
    again = []
    for number, old in enumerate(resendable(desk, message, made), 1):
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
