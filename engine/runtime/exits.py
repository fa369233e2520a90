"""
The outbound channels of the running engine: open, pause, change, close.

Rules of this file: on the loop only; a channel that changes lets the try in flight finish, or
cuts it off after a while, then its successor reads what is owed from the store, so nothing is
handed over in memory.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.config.models.outbound import Outbound
from engine.delivery.channel import OutboundChannel
from engine.delivery.lane import LaneSeams, LaneState
from engine.model.records import DueDelivery, Settlement
from engine.model.states import AttemptOutcome
from engine.runtime.build_outbound import build_outbound
from engine.runtime.configuration import Configuration
from engine.runtime.file_threads import FileThreads
from engine.runtime.overview import target_of
from engine.runtime.rates import RateMeter

if TYPE_CHECKING:
    from engine.runtime.engine import Engine

log = logging.getLogger(__name__)

#: how long a channel that changes waits for the answer to a message it has sent
ANSWER_S = 10.0
#: the same for a file being written, and for the store
HANGING_S = 3.0


class Exit:
    """One outbound channel and how it is doing."""

    def __init__(
        self, model: Outbound, channel: OutboundChannel, own_threads: FileThreads | None
    ) -> None:
        self.model = model
        self.channel = channel
        self.own_threads = own_threads
        self.rate = RateMeter()
        #: since when the receiver cannot be reached; 0.0 while it can
        self.down_since = 0.0

    @property
    def state(self) -> str:
        """Return connected, idle, connecting, waiting, paused, halted or stopped."""
        told = self.channel.status()
        if told.state != "running":
            return told.state
        if LaneState.HALTED in told.lanes:
            return "halted"
        if self.down_since:
            return "connecting"
        if LaneState.SENDING in told.lanes or told.is_standing:
            return "connected"
        return "waiting" if LaneState.WAITING in told.lanes else "idle"

    @property
    def last_error(self) -> str:
        """Return what went wrong last, "" when a delivery went well since."""
        counts = self.channel.counts
        return counts.last_error if counts.last_error_at > counts.last_delivered_at else ""

    def tick(self, now: float) -> None:
        """Sample the rate, and see whether the receiver can be reached."""
        told = self.channel.status()
        self.rate.sample(told.counts.delivered)
        is_down = (
            not told.is_connected and told.counts.refused > 0 and LaneState.WAITING in told.lanes
        )
        self.down_since = (self.down_since or now) if is_down else 0.0


class Exits:
    """All outbound channels."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._readers = ThreadPoolExecutor(4, thread_name_prefix="lane-reader")
        self.exits: dict[str, Exit] = {}

    async def apply(self, configuration: Configuration) -> None:
        """Make the channels those of *configuration*: new, changed, gone; others go on."""
        wanted = configuration.site.outbound
        changed = [
            name
            for name, model in wanted.items()
            if name not in self.exits or self.exits[name].model != model
        ]
        gone = [name for name in self.exits if name not in wanted]
        # Side by side: one receiver that takes its time must not delay the others' change.
        await asyncio.gather(*(self.close(name) for name in (*gone, *changed)))
        for name in changed:
            if not self._engine.is_stopping:  # it may have begun meanwhile
                await self._open(name, wanted[name])

    async def _open(self, name: str, model: Outbound) -> None:
        engine = self._engine
        # A folder that hangs (a dead network file system) must not stop what others read.
        own = None if model.file is None else FileThreads(name, model.lanes + 1)
        channel = build_outbound(
            name,
            model,
            seams=self._seams(own or self._readers),
            site_folder=engine.site_folder,
            on_settled=self._settled,
            observe_delivery_s=engine.delivery_times.observe,
        )
        lanes = channel.lane_count
        tokens = await asyncio.to_thread(
            lambda: [engine.store.lane_open(name, lane, lanes) for lane in range(lanes)]
        )
        if engine.is_stopping:
            if own is not None:
                own.end()
            return
        self.exits[name] = Exit(model, channel, own)
        # Asked now: an operator may have paused it while its predecessor came to an end.
        channel.start(tokens, is_paused=name in engine.paused())

    def _seams(self, threads: ThreadPoolExecutor | FileThreads) -> LaneSeams:
        engine = self._engine
        return LaneSeams(
            reactor=engine.reactor,
            clock=engine.clock,
            dice=random.random,
            submit=engine.writer.submit,
            read=partial(self._read, threads),
        )

    def _read(
        self,
        threads: ThreadPoolExecutor | FileThreads,
        function: Callable[[Any], Any],
        done: Callable[[Any], None],
    ) -> None:
        """Run a reading function of the store in a thread, then *done* on the loop."""
        loop = asyncio.get_running_loop()

        def work() -> None:
            answer: Any
            try:
                answer = function(self._engine.store)
            except Exception as error:  # noqa: BLE001  it belongs to the lane, which is told
                answer = error
            with suppress(RuntimeError):
                # Once the loop has ended nobody waits for the answer any more.
                loop.call_soon_threadsafe(done, answer)

        threads.submit(work)

    def _settled(self, delivery: DueDelivery, settlement: Settlement) -> None:
        self._engine.doors.settled(delivery, settlement)

    # -- messages ------------------------------------------------------------------------------

    def offer(self, delivery: DueDelivery) -> None:
        """Hand a committed delivery to its channel."""
        found = self.exits.get(delivery.outbound)
        if found is not None:
            found.channel.offer_one(delivery)

    def expire(self, outbound: str, delivery_id: str) -> None:
        """Have a delivery not sent any more: its sender's wait ran out."""
        found = self.exits.get(outbound)
        if found is not None:
            found.channel.expire(delivery_id)

    def wake(self, name: str) -> None:
        """Have a channel look for deliveries."""
        found = self.exits.get(name)
        if found is not None:
            found.channel.wake()

    # -- life ----------------------------------------------------------------------------------

    async def switch(self, name: str, *, paused: bool) -> None:
        """Pause or resume a channel as an operator asked."""
        found = self.exits.get(name)
        if found is None or found.channel.is_paused == paused:
            return
        if paused:
            found.channel.pause()
        else:
            found.channel.resume()
        log.info("paused" if paused else "resumed", extra={"outbound": name})

    async def close(self, name: str) -> None:
        """Let what is in flight finish, within its time, then end the channel."""
        found = self.exits.get(name)
        if found is not None:
            within_s = ANSWER_S if found.own_threads is None else HANGING_S
            stopped = found.channel.stop(within_s).asFuture(asyncio.get_running_loop())
            # A store that takes no settlement must not keep a reload waiting either.
            await asyncio.wait({stopped}, timeout=within_s + HANGING_S)
            found.channel.abort()
            await stopped
            self.exits.pop(name, None)
            if found.own_threads is not None:
                found.own_threads.end()

    async def close_all(self) -> None:
        """End every channel."""
        await asyncio.gather(*(self.close(name) for name in list(self.exits)))

    def abort_all(self) -> None:
        """End every channel at once; tries in flight are left as after a crash."""
        for found in self.exits.values():
            found.channel.abort()

    def tick(self) -> None:
        """Sample rates and reachability."""
        now = self._engine.clock.now()
        for found in self.exits.values():
            found.tick(now)

    # -- looking -------------------------------------------------------------------------------

    def down_since(self) -> dict[str, float]:
        """Return since when each channel cannot reach its receiver; 0.0 where it can."""
        return {name: found.down_since for name, found in list(self.exits.items())}

    def outcomes(self) -> dict[str, dict[str, int]]:
        """Return how many tries of each channel ended how."""
        told = {}
        for name, found in list(self.exits.items()):
            counts = found.channel.counts
            bad = {o.value: getattr(counts, o.value) for o in AttemptOutcome if o != "acked"}
            told[name] = {"acked": counts.attempts - sum(bad.values()), **bad}
        return told

    def view(self) -> list[dict[str, Any]]:
        """Return every channel as `status` shows it, without its queue."""
        return [
            {
                "name": name,
                "state": found.state,
                "target": target_of(found.model),
                "lanes": found.channel.lane_count,
                "rate": found.rate.per_s,
                "attempts": found.channel.counts.attempts,
                "last_error": found.last_error,
            }
            for name, found in self.exits.items()
        ]
