"""
The inbound channels of the running engine: open, pause, reconfigure, close.

Rules of this file: on the loop only; a door that cannot open is tried again by the upkeep and is
an alarm meanwhile; what a door has taken is answered before it closes.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError

from engine.config.models.inbound import Inbound
from engine.intake.acceptance import Facts
from engine.intake.budget import Budget
from engine.intake.channel import InboundChannel, IntakeSeams
from engine.model.errors import MedbusError
from engine.model.records import DueDelivery, Settlement
from engine.model.states import DeliveryState
from engine.runtime.build_inbound import build_acceptance, build_listener
from engine.runtime.configuration import Configuration
from engine.runtime.rates import RateMeter
from engine.runtime.times import show_at

log = logging.getLogger(__name__)

#: seconds between two looks whether a message is still under way
_LOOK_S = 0.02

#: (inbound, route, received body, answer, facts) -> the answer for the caller
Respond = Callable[[str, str, bytes, bytes, Facts], bytes | None]


class Door:
    """One inbound channel, its listener and how it is doing."""

    def __init__(self, name: str, model: Inbound, channel: InboundChannel) -> None:
        self.name = name
        self.model = model
        self.channel = channel
        self.is_paused = False
        #: why it cannot open, "" when it could
        self.problem = ""
        self.rate = RateMeter()

    @property
    def state(self) -> str:
        """Return listening, paused, failed or stopped."""
        if self.is_paused:
            return "paused"
        if self.problem:
            return "failed"
        listener = self.channel.listener
        return "listening" if listener is not None and listener.is_listening else "stopped"


class Doors:
    """All inbound channels."""

    def __init__(
        self, seams: IntakeSeams, *, site_folder: Path, budget: Budget, respond: Respond
    ) -> None:
        self._seams = seams
        self._respond = respond
        self._site_folder = site_folder
        self._budget = budget
        self.doors: dict[str, Door] = {}

    async def apply(
        self, configuration: Configuration, paused: Callable[[], frozenset[str]]
    ) -> None:
        """
        Make the doors those of *configuration*: new, changed, gone; others stay open.

        Args:
            paused: tells which are paused at the moment one opens.
        """
        wanted = configuration.site.inbound
        for name in [name for name in self.doors if name not in wanted]:
            # Known until it is gone: its senders may wait for a delivery, and have to hear of it.
            await self._close(self.doors[name])
            del self.doors[name]
        for name, model in wanted.items():
            acceptance = build_acceptance(name, configuration)
            door = self.doors.get(name)
            if door is not None and door.model.mllp == model.mllp:
                door.model = model
                door.channel.reconfigure(acceptance)
                if door.channel.listener is not None:
                    door.channel.listener.reload_certificates()
                continue
            if door is not None:
                await self._close(door)
            seams = replace(self._seams, respond=partial(self._respond, name))
            door = Door(name, model, InboundChannel(name, acceptance, seams))
            door.is_paused = name in paused()
            self.doors[name] = door
            self.open(door)

    async def wait_for_older(self, within_s: float) -> bool:
        """Wait until nothing is under way that came in before a reload; return whether it is so."""
        left = within_s
        while any(door.channel.has_older for door in self.doors.values()):
            if left == within_s:
                log.info("waiting", extra={"reason": "messages that came before the reload"})
            if left <= 0.0:
                return False
            left -= _LOOK_S
            await asyncio.sleep(_LOOK_S)
        return True

    def open(self, door: Door) -> None:
        """Listen, unless paused; trouble is noted."""
        if door.is_paused or door.state == "listening":
            return
        host, port = door.model.mllp.listen
        try:
            if door.channel.listener is None:
                door.channel.attach(
                    build_listener(
                        door.name,
                        door.model.mllp,
                        channel=door.channel,
                        budget=self._budget,
                        reactor=self._seams.reactor,
                        site_folder=self._site_folder,
                    )
                )
            assert door.channel.listener is not None
            door.channel.listener.start(host, port)
        except CannotListenError as error:
            self._note(door, f"cannot listen on {door.model.mllp.listen}: {_reason(error)}")
        except MedbusError as error:
            self._note(door, str(error))
        else:
            door.problem = ""
            where = f"{host}:{door.channel.listener.port}"
            log.info("listening", extra={"inbound": door.name, "listen": where})

    def _note(self, door: Door, problem: str) -> None:
        if door.problem != problem:
            log.error("an inbound channel cannot listen", extra={
                "inbound": door.name, "reason": problem,
            })  # fmt: skip
        door.problem = problem

    async def switch(self, name: str, *, paused: bool) -> None:
        """Close or open a door as an operator asked."""
        door = self.doors.get(name)
        if door is None or door.is_paused == paused:
            return
        door.is_paused = paused
        listener = door.channel.listener
        if paused and listener is not None:
            await _wait(listener.stop_listening())
            await _wait(listener.close_connections())
            log.info("paused", extra={"inbound": name})
        elif not paused:
            self.open(door)

    async def close_all(self) -> None:
        """Take nothing new, answer what was taken, hang up."""
        closing = [_wait(door.channel.stop()) for door in self.doors.values()]
        for waited in closing:
            await waited

    def abort_all(self) -> None:
        """Hang up everywhere, unanswered."""
        for door in self.doors.values():
            door.channel.abort()

    async def _close(self, door: Door) -> None:
        door.problem = ""  # no tick may open it again meanwhile
        await _wait(door.channel.stop())
        log.info("closed", extra={"inbound": door.name})

    def tick(self) -> None:
        """Sample rates and try again where a door could not open."""
        for door in self.doors.values():
            door.rate.sample(door.channel.counts.received)
            if door.problem:
                self.open(door)

    def settled(self, delivery: DueDelivery, settlement: Settlement) -> None:
        """Tell the channel of a delivery what became of it (`delivered_by`)."""
        door = self.doors.get(delivery.inbound)
        if door is not None:
            answer = settlement.attempt.ack if settlement.attempt is not None else b""
            door.channel.delivery_settled(
                delivery.delivery_id, settlement.state, answer, delivery.route
            )

    def cancelled(self, delivery_ids: Sequence[str]) -> None:
        """Tell all channels of deliveries that an operator cancelled (`delivered_by`)."""
        for door in self.doors.values():
            for delivery_id in delivery_ids:
                door.channel.delivery_settled(delivery_id, DeliveryState.CANCELLED, b"")

    def view(
        self, zone: Any, today: Mapping[str, int], last_at: Callable[[str], float]
    ) -> list[dict[str, Any]]:
        """Return every door as `status` shows it."""
        rows = []
        for door in self.doors.values():
            listener = door.channel.listener
            host, port = door.model.mllp.listen
            bound = listener.port if listener is not None else 0
            rows.append(
                {
                    "name": door.name,
                    "state": door.state,
                    "listen": f"{host}:{bound or port}",
                    "tls": door.model.mllp.tls is not None,
                    "connections": listener.connection_count if listener is not None else 0,
                    "in_flight": door.channel.in_flight_count,
                    "today_count": today.get(door.name, 0),
                    "rate": door.rate.per_s,
                    "last_message_at": show_at(last_at(door.name), zone),
                    "last_error": door.problem or door.channel.counts.last_reject_reason,
                }
            )
        return rows


def _reason(error: CannotListenError) -> str:
    return getattr(error.socketError, "strerror", None) or "the address cannot be used"


async def _wait(deferred: Any) -> None:
    await deferred.asFuture(asyncio.get_running_loop())
