"""
Upkeep: what the engine does beside messages, once a second and once a night.

Alarms, rates, pauses that end, certificates, the recount of the ledger, retention.
Rules of this file: the loop only ticks; whatever reads rows or files runs in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import threading
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from engine.model.errors import PutOff, Stopping
from engine.runtime import house
from engine.runtime.alarms import Alarm, Facts, find_alarms
from engine.runtime.certificates import find_expiries
from engine.store.interface import LedgerDifference

if TYPE_CHECKING:
    from engine.runtime.engine import Engine

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 5
_CERTIFICATES_EVERY_S = 3600
#: a recount rests so many times as long as it took, and at least this long
_RECOUNT_REST, _RECOUNT_LEAST_S = 20.0, 5.0
#: the hour of the site's night at which retention is applied
_PRUNE_HOUR = 3
#: the store's note of the last day it was
_PRUNED = "pruned_day"
#: a wall clock that moves so much more or less than the monotonic one has jumped
_JUMP_S = 30.0
#: how long a jump stays an alarm
_JUMP_SHOWN_S = 3600.0


class Upkeep:
    """The quiet work of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        #: what the last recount found
        self.ledger: tuple[LedgerDifference, ...] = ()
        self._certificates: list[tuple[str, float]] = []
        self._jump_s, self._jump_at = 0.0, 0.0
        self._offset_s = engine.clock.now() - engine.clock.monotonic()
        self._pruned_day = ""
        self._ticks = 0

    def start(self) -> None:
        """Begin."""
        engine = self._engine
        self._pruned_day = engine.store.get_setting(_PRUNED)
        engine.spawn(self._tick())
        threading.Thread(target=self._recount, name="medbus-ledger", daemon=True).start()

    def stop(self) -> None:
        """End."""
        self._is_over.set()

    async def _tick(self) -> None:
        engine = self._engine
        while not self._is_over.is_set():
            for duty in (engine.doors.tick, engine.exits.tick, self._watch_clock):
                self._guarded(duty)
            if self._ticks % _CERTIFICATES_EVERY_S == 0:
                await asyncio.to_thread(self._guarded, self._read_certificates)
            if self._ticks % _LOOK_EVERY_S == 0:
                await asyncio.to_thread(self._guarded, self.look)
                await asyncio.to_thread(self._guarded, self._end_pauses)
                await asyncio.to_thread(self._guarded, engine.reloads.finish_waiting)
                await asyncio.to_thread(self._guarded, self._prune_at_night)
            self._ticks += 1
            await asyncio.sleep(1.0)

    def _guarded(self, duty: Callable[[], object]) -> None:
        try:
            duty()
        except Stopping:
            pass
        except Exception as error:
            # The next second must come, whatever happened in this one.
            log.error("upkeep could not do its duty", exc_info=error)

    # -- duties, in threads --------------------------------------------------------------------

    def look(self) -> None:
        """Work out the alarms; log what is new and what is over."""
        engine = self._engine
        with self._lock:
            now = engine.clock.now()
            new, over = engine.board.update(self._find(now), now)
        for alarm in new:
            log.warning("alarm", extra=_told(alarm))
        for alarm in over:
            log.info("alarm is over", extra=_told(alarm))

    def _find(self, now: float) -> list[Alarm]:
        engine = self._engine
        has_jumped = self._jump_at and now - self._jump_at < _JUMP_SHOWN_S
        doors = [(d.name, d.problem) for d in list(engine.doors.doors.values()) if d.problem]
        return find_alarms(
            Facts(
                now=now,
                site=engine.configuration.site,
                counts=engine.store.counts(),
                started_at=engine.started_at,
                paused=engine.paused(),
                down_since=engine.exits.down_since(),
                ledger=self.ledger,
                store_alarms=engine.store.alarms(),
                disk_free_bytes=shutil.disk_usage(engine.data_folder).free,
                certificates=self._certificates,
                clock_jump_s=self._jump_s if has_jumped else 0.0,
                troubles=doors,
            )
        )

    def _read_certificates(self) -> None:
        engine = self._engine
        self._certificates = find_expiries(engine.configuration.site, engine.site_folder)

    def _end_pauses(self) -> None:
        engine = self._engine
        now = engine.clock.now()
        for switch in engine.store.switches():
            if switch.until and switch.until <= now:
                engine.operations.resume(
                    "medbus", {"channel": switch.channel, "reason": "its pause is over"}
                )

    def _prune_at_night(self) -> None:
        engine = self._engine
        now = engine.clock.now()
        here = datetime.fromtimestamp(now, engine.configuration.site.timezone)
        day = here.strftime("%Y%m%d")
        if here.hour < _PRUNE_HOUR or day == self._pruned_day:
            return
        self._pruned_day = day
        if engine.store.get_setting(_PRUNED) != day:
            # Kept: an engine that is restarted every night must still prune.
            engine.desk.access.write(lambda store: store.put_setting(_PRUNED, day))
        try:
            told = house.prune(engine.desk, dry_run=False)
        except PutOff:
            self._pruned_day = ""  # asked again until the backup has ended
            return
        if any("deleted" in row["action"] for row in told["items"]):
            engine.desk.audit("medbus", "prune", "store", "retention")
            log.info("pruned", extra={"count": len(told["items"])})

    def _watch_clock(self) -> None:
        clock = self._engine.clock
        offset_s = clock.now() - clock.monotonic()
        if abs(offset_s - self._offset_s) > _JUMP_S:
            self._jump_s, self._jump_at = offset_s - self._offset_s, clock.now()
        self._offset_s = offset_s

    def _recount(self) -> None:
        """Recount the ledger for ever: today and yesterday each round, older days in turn."""
        store, clock = self._engine.store, self._engine.clock
        older = 0
        while not self._is_over.is_set():
            began = clock.monotonic()
            try:
                days = store.ledger_days()
                chosen = list(days[-2:])
                if len(days) > 2:
                    older = (older + 1) % (len(days) - 2)
                    chosen.append(days[older])
                found = [d for day in chosen for d in store.check_ledger(day)]
                kept = [d for d in self.ledger if d.day not in chosen and d.day in days]
                self.ledger = tuple(kept + found)
            except Exception as error:
                log.error("the ledger could not be recounted", exc_info=error)
            took_s = clock.monotonic() - began
            self._is_over.wait(max(took_s * _RECOUNT_REST, _RECOUNT_LEAST_S))


def _told(alarm: Alarm) -> dict[str, str]:
    return {"alarm": alarm.code, "subject": alarm.subject, "reason": alarm.what}
