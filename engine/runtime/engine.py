"""
The running engine: everything on one loop, started in order, stopped in order.

Order of start: store and writer, outbound channels (they find what is owed), HTTP, inbound
channels, control socket. Order of stop: inbound channels, outbound channels, writer, store. After a
fence nothing is answered, nothing is retried, and the exit code is 75.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred

from engine.intake.acceptance import Facts
from engine.intake.budget import Budget
from engine.intake.channel import IntakeSeams
from engine.intake.turns import Turns
from engine.model.errors import MedbusError, Stopping
from engine.runtime.alarms import AlarmBoard
from engine.runtime.asking import Asking
from engine.runtime.clock import SystemClock
from engine.runtime.configuration import Configuration
from engine.runtime.control_socket import ControlServer
from engine.runtime.desk import Desk
from engine.runtime.doors import Doors
from engine.runtime.exits import Exits
from engine.runtime.ids import IdSource
from engine.runtime.metrics import Histogram
from engine.runtime.operations import Operations
from engine.runtime.python_workers import PythonWorkers
from engine.runtime.reload import Reloads
from engine.runtime.replays import resume_replay
from engine.runtime.respond import respond
from engine.runtime.store_access import WriterAccess
from engine.runtime.upkeep import Upkeep
from engine.security.keyring import KeyRing
from engine.store.interface import LedgerDifference, Store
from engine.store.writer import Writer

log = logging.getLogger(__name__)
T = TypeVar("T")

#: exit codes
FINE, FAILED, FENCED = 0, 1, 75
#: how long senders, and then receivers, may take at a stop before they are cut off
STOP_S = 4.0


class Http(Protocol):
    """The HTTP endpoint, made by the floor above."""

    async def start(self) -> None:
        """Listen."""
        ...

    async def stop(self) -> None:
        """Close."""
        ...


#: makes the HTTP endpoint for an engine; None where the site wants none
MakeHttp = Callable[["Engine"], Http | None]


class Engine:
    """One running engine."""

    def __init__(
        self, *, site_folder: Path, data_folder: Path, env_name: str | None,
        environ: Mapping[str, str], configuration: Configuration, store: Store, keys: KeyRing,
        reactor: Any, loop: asyncio.AbstractEventLoop, make_http: MakeHttp,
    ) -> None:  # fmt: skip
        self.clock = SystemClock()
        self.started_at = self.clock.now()
        self.site_folder, self.data_folder = site_folder, data_folder
        self.env_name, self.environ = env_name, environ
        self.store = store
        self.exit_code = FINE
        self.is_starting, self.is_stopping = True, False
        self._may_drain = True
        self._reactor, self._loop = reactor, loop
        self._make_http = make_http
        self._http: Http | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        zone = configuration.site.timezone
        self.writer = Writer(
            store, deliver=self._deliver, on_fence=self._fence, on_ready=self._wake_now
        )
        self.workers = PythonWorkers()
        self.ids = IdSource(zone, store.next_number)
        self.board = AlarmBoard()
        self.ack_times = Histogram("medbus_ack_seconds", "From a frame's last byte to its ack")
        self.delivery_times = Histogram("medbus_delivery_seconds", "From arrival to delivered")
        self.budget = Budget()
        self._turns = Turns(loop.call_soon)
        self.exits = Exits(self)
        self.doors = Doors(
            self._seams(zone), site_folder=site_folder, budget=self.budget, respond=self._respond
        )
        self._asking = Asking()
        access = WriterAccess(store, self.writer, loop.call_soon_threadsafe, self._asking)
        self.desk = Desk(
            site_folder, data_folder, access, keys, self.clock, self.workers, configuration, self
        )
        self.operations = Operations(self.desk)
        self.reloads = Reloads(self)
        self.upkeep = Upkeep(self)
        self.control = ControlServer(data_folder / "control.sock", self.operations.perform)

    def _seams(self, zone: Any) -> IntakeSeams:
        return IntakeSeams(
            reactor=self._reactor,
            clock=self.clock,
            timezone=zone,
            writer=self.writer,
            draw_id=self.ids.draw,
            offer=self.exits.offer,
            expire=self.exits.expire,
            call_python=self._call_python,
            add_turn=self._turns.add,
            observe_ack_s=self.ack_times.observe,
        )

    def _call_python(self, call: Any) -> Deferred[Any]:
        wrapped = asyncio.wrap_future(self.workers.submit(call), loop=self._loop)
        return Deferred.fromFuture(wrapped)

    def _respond(
        self, inbound: str, route: str, body: bytes, answer: bytes, facts: Facts
    ) -> bytes | None:
        return respond(self.configuration, inbound, route, body, answer, facts)

    @property
    def configuration(self) -> Configuration:
        """What runs."""
        return self.desk.configuration

    @property
    def reactor(self) -> Any:
        """Twisted's reactor, on the same loop."""
        return self._reactor

    # -- start ---------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything; raises when something cannot, and then nothing listens."""
        store, configuration = self.store, self.desk.configuration
        self.reloads.take_snapshot(configuration)
        configuration = self.desk.configuration
        self.writer.start()
        await self.exits.apply(configuration)
        # Before the doors: a port that is taken must be told before a message is accepted.
        self._http = self._make_http(self)
        if self._http is not None:
            await self._http.start()
        await self.doors.apply(configuration, self.paused)
        failed = [door for door in self.doors.doors.values() if door.problem]
        if failed:
            raise MedbusError(
                failed[0].problem,
                code="RUN-039",
                where=failed[0].name,
                fix="is another program using that port?",
            )
        self.is_starting = False
        await self.control.start()
        self.upkeep.start()
        for operation in store.unfinished():
            self.spawn(asyncio.to_thread(resume_replay, self.desk, operation))
        log.info(
            "started",
            extra={
                "site": configuration.site.site,
                "snapshot_id": configuration.snapshot_id[:12],
                "mode": store.facts().driver,
                "pending": sum(c.pending for c in store.counts().outbounds.values()),
            },
        )

    def paused(self) -> frozenset[str]:
        """Return the names of paused channels."""
        return frozenset(switch.channel for switch in self.store.switches())

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run *work* beside everything else; a failure is logged, never lost."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._reap)
        return task

    def _reap(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, Stopping):
            log.error("something beside the messages failed", exc_info=error)

    # -- stop ----------------------------------------------------------------------------------

    def begin_stop(self, *, drain: bool = False, within_s: float = 60.0) -> None:
        """Stop in order; a second call changes nothing, or ends a drain without one."""
        self._may_drain &= drain
        if self.is_stopping:
            return
        self.is_stopping = True
        log.info("stopping", extra={"mode": "drain" if drain else "now"})
        self.spawn(self._stop(within_s if drain else 0.0))

    async def _stop(self, drain_s: float) -> None:
        try:
            self.upkeep.stop()
            await self._within(self.doors.close_all(), STOP_S, "senders")
            self.doors.abort_all()
            if drain_s:
                await self._within(self._drained(), drain_s, "queues")
            is_quiet = await self._within(self.exits.close_all(), STOP_S, "receivers")
            self.exits.abort_all()
            ended = await asyncio.to_thread(self.writer.stop)
            await asyncio.sleep(0)  # the last commit's callbacks
            await self.close_outer()
            if ended and self.exit_code != FENCED:
                await asyncio.to_thread(lambda: self.store.close(cut_off=not is_quiet))
            log.info("stopped", extra={"exit_code": self.exit_code})
        finally:
            self._end()

    async def _drained(self) -> None:
        while self._may_drain and any(c.pending for c in self.store.counts().outbounds.values()):
            await asyncio.sleep(0.1)

    async def _within(self, work: Awaitable[None], seconds: float, what: str) -> bool:
        """Wait for *work*, not for ever; return whether it ended in order."""
        try:
            await asyncio.wait_for(work, seconds)
        except TimeoutError:
            log.warning("did not end in time", extra={"subject": what, "limit": seconds})
        except Exception:
            # Whatever went wrong, the rest of the stop must still happen.
            log.exception("could not end in order", extra={"subject": what})
        else:
            return True
        return False

    async def close_outer(self) -> None:
        """Close what is not about messages."""
        # First: a thread that waits for the writer or the loop would keep the process for ever.
        self._asking.end()
        await self.control.stop()
        if self._http is not None:
            await self._http.stop()
        self.workers.close()

    def _end(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def _fence(self, error: Exception) -> None:
        """The disk failed: hang up unanswered, exit 75, let the supervisor start us again."""
        if self.exit_code == FENCED:
            return
        self.exit_code = FENCED
        self.is_stopping = True
        log.critical("the disk failed; nothing more is acknowledged", exc_info=error)
        self.doors.abort_all()
        self.exits.abort_all()
        self.upkeep.stop()
        self.spawn(self._end_fenced())

    async def _end_fenced(self) -> None:
        await self.close_outer()
        self._end()

    # -- across threads ------------------------------------------------------------------------

    def _deliver(self, function: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(function)

    def on_loop(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the loop from another thread, and wait for its result."""

        async def run(done: Callable[[Any], None]) -> None:
            try:
                done(await work())
            except Exception as error:  # noqa: BLE001  it belongs to who asked, who is told
                done(error)

        answer: T = self._asking.ask(
            lambda done: asyncio.run_coroutine_threadsafe(run(done), self._loop)
        )
        return answer

    def _look(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return self.on_loop(run)

    # -- what operations ask (any thread) ------------------------------------------------------

    def view_inbounds(self) -> list[dict[str, Any]]:
        """Return the state of every inbound channel."""
        site, counts = self.configuration.site, self.store.counts().inbounds
        day = self.ids.day_of(self.clock.now())
        today = {row.inbound: row.stored for row in self.store.ledger(day) if row.flow == "live"}

        def last_at(name: str) -> float:
            return counts[name].last_at if name in counts else 0.0

        return self._look(lambda: self.doors.view(site.timezone, today, last_at))

    def view_outbounds(self) -> list[dict[str, Any]]:
        """Return the state of every outbound channel."""
        return self._look(self.exits.view)

    def view_alarms(self) -> list[dict[str, Any]]:
        """Return the alarms as they are this moment."""
        self.upkeep.look()
        return self.board.view(self.configuration.site)

    def ledger_differences(self) -> Sequence[LedgerDifference]:
        """Return what the last recount of the ledger found."""
        return self.upkeep.ledger

    def draw_message_id(self, at: float) -> str:
        """Return a new message id."""
        return self.ids.draw(at)

    def switch(self, kind: str, channel: str) -> None:
        """Pause or resume as the store's switches say."""
        is_paused = channel in self.paused()

        async def run() -> None:
            which = self.doors if kind == "inbound" else self.exits
            await which.switch(channel, paused=is_paused)

        self.on_loop(run)

    def wake(self, outbounds: frozenset[str]) -> None:
        """Have these channels look for deliveries."""
        self._deliver(lambda: self._wake_now(outbounds))

    def taken_out(self, delivery_ids: Sequence[str]) -> None:
        """Tell the senders who wait for deliveries that were cancelled."""
        if delivery_ids:
            self._deliver(lambda: self.doors.cancelled(delivery_ids))

    def _wake_now(self, outbounds: frozenset[str]) -> None:
        for name in outbounds:
            self.exits.wake(name)

    def reload(self, user: str, *, dry_run: bool, reason: str) -> dict[str, Any]:
        """Take over the site's files as they are now."""
        return self.reloads.reload(user, dry_run=dry_run, reason=reason)

    def rollback(self, user: str, *, reason: str) -> dict[str, Any]:
        """Go back to the configuration before."""
        return self.reloads.rollback(user, reason=reason)

    def stop(self, *, drain: bool, within_s: float) -> None:
        """Begin to stop."""
        self._deliver(lambda: self.begin_stop(drain=drain, within_s=within_s))

    def health(self) -> dict[str, Any]:
        """Return what /health says."""
        state = "running"
        if self.is_starting or self.is_stopping:
            state = "stopping" if self.is_stopping else "starting"
        return {
            "state": state,
            "site": self.configuration.site.site,
            "alarms": self.board.count,
            "snapshot_id": self.configuration.snapshot_id,
        }
