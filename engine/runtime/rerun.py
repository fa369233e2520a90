"""
Requeue after a failed step or a leak: the route is run again under today's configuration.

Rules of this file: pure with respect to the store; what would still fail is left out and told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from engine.hl7.errors import Hl7Error
from engine.model.errors import MedbusError
from engine.model.records import NewDelivery, StoredDelivery, StoredMessage
from engine.model.states import RouteOutcome
from engine.pipeline.context import Arrived
from engine.pipeline.route import Routed, drive, run_inbound
from engine.pipeline.trace import Recorder
from engine.runtime.bodies import read_message
from engine.runtime.configuration import Configuration
from engine.runtime.desk import Desk
from engine.runtime.selection import Chosen, LeftOut
from engine.store.interface import OperationItem
from engine.store.records import NEEDS_RERUN


class Rerun(NamedTuple):
    """What a delivery's route makes today for its outbound channel."""

    made: tuple[NewDelivery, ...]
    #: why it makes nothing, "" where it makes something
    why_nothing: str = ""


def plan(desk: Desk, chosen: Chosen) -> list[OperationItem]:
    """Return what to requeue; deliveries that would fail again go to what is left out."""
    items: list[OperationItem] = []
    last_numbers: dict[str, int] = {}
    for number, delivery in enumerate(chosen.deliveries, 1):
        if number % 100 == 0:
            desk.progress(f"{number} of {len(chosen.deliveries)} looked at")
        if delivery.has_body and delivery.park_code not in NEEDS_RERUN:
            items.append(OperationItem(delivery.delivery_id))
            continue
        try:
            rerun = rerun_delivery(desk, delivery, last_numbers)
        except (MedbusError, Hl7Error) as error:
            chosen.left_out.append(LeftOut(delivery.delivery_id, str(error)))
            continue
        snapshot_id = desk.configuration.snapshot_id
        items.append(
            OperationItem(delivery.delivery_id, rerun.made, snapshot_id, rerun.why_nothing)
        )
    return items


def rerun_delivery(desk: Desk, delivery: StoredDelivery, last_numbers: dict[str, int]) -> Rerun:
    """
    Return what the delivery's route makes today for its outbound channel.

    Args:
        last_numbers: by message, the number of its last delivery, those of this plan included.

    Raises:
        MedbusError: the route is gone, or fails again.
    """
    configuration = desk.configuration
    message = desk.store.get_message(delivery.message_id)
    if delivery.route not in configuration.site.routes:
        raise MedbusError(f"there is no route {delivery.route} any more", code="RUN-033")
    numbers = [int(each.delivery_id.rpartition(".")[2]) for each in message.deliveries]
    last = last_numbers.setdefault(message.message_id, max(numbers))
    routed = run_again(
        desk,
        configuration,
        message,
        routes=[delivery.route],
        outbounds=[delivery.outbound],
        id_of=lambda number: f"{message.message_id}.{last + number}",
    )
    still = [made.park for made in routed.deliveries if made.park is not None]
    if routed.failure is not None:
        still.append(routed.failure)
    if still:
        step = f" at step {still[0].step}" if still[0].step else ""
        raise MedbusError(f"it fails again{step}: {still[0].reason}", code="RUN-034")
    last_numbers[message.message_id] = last + len(routed.deliveries)
    made = tuple(
        replace(made, number=0, replaces=delivery.delivery_id) for made in routed.deliveries
    )
    return Rerun(made, "" if made else _tell_nothing(routed, delivery))


def _tell_nothing(routed: Routed, delivery: StoredDelivery) -> str:
    for result in routed.routes:
        if result.outcome is RouteOutcome.FILTERED:
            return f"its route filters it now: {result.reason}"
    return f"its route makes nothing for {delivery.outbound} any more"


def run_again(
    desk: Desk,
    configuration: Configuration,
    message: StoredMessage,
    *,
    routes: Iterable[str] | None = None,
    outbounds: Iterable[str] | None = None,
    recorder: Recorder | None = None,
    id_of: Callable[[int], str] | None = None,
) -> Routed:
    """Run a stored message through a configuration, with its own id and arrival time."""
    compiled = configuration.compiled.inbound.get(message.inbound)
    if compiled is None:
        raise MedbusError(f"there is no inbound channel {message.inbound} any more", code="RUN-035")
    original = message
    while original.replay_of:
        original = desk.store.get_message(original.replay_of)
    body = desk.store.get_body(message.message_id)
    generator = run_inbound(
        compiled,
        read_message(desk, body, message.inbound),
        arrived_of(configuration, original),
        only_routes=None if routes is None else frozenset(routes),
        only_outbounds=None if outbounds is None else frozenset(outbounds),
        recorder=recorder,
        id_of=id_of,
    )
    return drive(generator, desk.workers.run)


def arrived_of(configuration: Configuration, message: StoredMessage) -> Arrived:
    """Return what the pipeline is told of a message's arrival."""
    site = configuration.site
    return Arrived(
        message_id=message.message_id,
        received_at=message.received_at,
        inbound=message.inbound,
        site=site.site,
        timezone=site.timezone,
    )
