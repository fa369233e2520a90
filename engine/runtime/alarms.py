"""
What a person must look at now: worked out from facts, remembered since when.

Rules of this file: `find_alarms` is a function of its arguments; codes are stable (docs/errors.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.config.models.site import Site
from engine.model.counting import count_of
from engine.runtime.times import show_at
from engine.store.interface import Counts, LedgerDifference, StoreAlarm


@dataclass(frozen=True, slots=True)
class Alarm:
    """One thing that needs a person; stays until its cause is gone."""

    code: str
    #: the channel, day or place it is about
    subject: str
    what: str


@dataclass(frozen=True, slots=True)
class Facts:
    """All that alarms are worked out from."""

    now: float
    site: Site
    counts: Counts
    #: when the engine began to listen; silence counts from then at the earliest
    started_at: float = 0.0
    #: names of paused channels
    paused: frozenset[str] = frozenset()
    #: outbound channel -> since when it could not connect
    down_since: Mapping[str, float] = field(default_factory=dict)
    ledger: Sequence[LedgerDifference] = ()
    store_alarms: Sequence[StoreAlarm] = ()
    disk_free_bytes: int | None = None
    #: (subject, expires at)
    certificates: Sequence[tuple[str, float]] = ()
    #: seconds the wall clock jumped, 0.0 if it did not
    clock_jump_s: float = 0.0
    #: lookup for what else goes wrong in channels: (channel, what)
    troubles: Sequence[tuple[str, str]] = ()


def find_alarms(facts: Facts) -> list[Alarm]:
    """Return every alarm there is now."""
    return [
        *_silence(facts),
        *_queues(facts),
        *_connections(facts),
        *_ledger(facts),
        *_machine(facts),
        *(Alarm(alarm.code, alarm.where or "store", _told(alarm)) for alarm in facts.store_alarms),
        *(Alarm("ALM-012", channel, what) for channel, what in facts.troubles),
    ]


def _silence(facts: Facts) -> Iterable[Alarm]:
    here = datetime.fromtimestamp(facts.now, facts.site.timezone)
    for name, inbound in facts.site.inbound.items():
        alert = inbound.alert
        if alert is None or name in facts.paused:
            continue
        minute = here.hour * 60 + here.minute
        if alert.between is not None and not alert.between.holds(minute):
            continue
        counts = facts.counts.inbounds.get(name)
        since = max(counts.last_at if counts else 0.0, facts.started_at)
        if alert.between is not None:
            # The night's silence does not count: only what passed since the span began.
            within_m = (minute - alert.between.start_minute) % 1440
            since = max(since, facts.now - within_m * 60.0 - here.second)
        if facts.now - since > alert.silent_for:
            yield Alarm("ALM-001", name, f"no message for {_told_age(facts.now - since)}")


def _queues(facts: Facts) -> Iterable[Alarm]:
    alerts = facts.site.alerts
    for name, counts in facts.counts.outbounds.items():
        waits_s = facts.now - counts.oldest_at if counts.oldest_at else 0.0
        if counts.orphaned and counts.pending + counts.held + counts.parked:
            owed = counts.pending + counts.held + counts.parked
            yield Alarm(
                "ALM-011",
                name,
                f"{_deliveries(owed)} owed to a channel that is not configured;"
                " hand them over with renamed_from, or cancel them",
            )
        if waits_s > alerts.oldest_pending:
            yield Alarm("ALM-003", name, f"the oldest delivery waits for {_told_age(waits_s)}")
        if counts.pending >= alerts.pending:
            yield Alarm("ALM-004", name, f"{_deliveries(counts.pending)} pending")
        if counts.parked >= alerts.parked:
            held = f", holding {counts.held} more" if counts.held else ""
            yield Alarm("ALM-005", name, f"{counts.parked} parked{held}")
        if counts.halted_by:
            yield Alarm("ALM-010", name, f"halted by {counts.halted_by[0]}")


def _connections(facts: Facts) -> Iterable[Alarm]:
    for name, since in facts.down_since.items():
        down_s = facts.now - since
        if since and name not in facts.paused and down_s > facts.site.alerts.connection_down:
            yield Alarm("ALM-006", name, f"no connection for {_told_age(down_s)}")


def _ledger(facts: Facts) -> Iterable[Alarm]:
    for difference in facts.ledger:
        flow = "" if difference.flow == "live" else f" ({difference.flow})"
        yield Alarm("ALM-002", f"{difference.inbound}{flow} {difference.day}", difference.what)


def _machine(facts: Facts) -> Iterable[Alarm]:
    alerts = facts.site.alerts
    free = facts.disk_free_bytes
    if free is not None and free < alerts.disk_free:
        yield Alarm("ALM-007", "data", f"{free // 1_000_000} MB are free on the data folder's disk")
    for subject, expires_at in facts.certificates:
        if expires_at - facts.now < alerts.certificate_expires:
            days = int((expires_at - facts.now) // 86400)
            told = f"runs out in {count_of(days, 'day')}" if days >= 0 else "has run out"
            yield Alarm("ALM-008", subject, f"its certificate {told}")
    if facts.clock_jump_s:
        yield Alarm("ALM-009", "clock", f"the wall clock jumped by {facts.clock_jump_s:+.0f} s")


def _deliveries(count: int) -> str:
    return f"{count_of(count, 'delivery', 'deliveries')} {'is' if count == 1 else 'are'}"


def _told(alarm: StoreAlarm) -> str:
    return f"{alarm.what}; {alarm.fix}" if alarm.fix else alarm.what


def _told_age(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86400:.0f} days"


class AlarmBoard:
    """The alarms of the running engine with the time each was raised."""

    def __init__(self) -> None:
        self._since: dict[Alarm, float] = {}

    def update(self, alarms: Sequence[Alarm], now: float) -> tuple[list[Alarm], list[Alarm]]:
        """Take in what there is now; return what is new and what is over."""
        kinds = {(alarm.code, alarm.subject): alarm for alarm in alarms}
        before = {(alarm.code, alarm.subject): at for alarm, at in self._since.items()}
        over = [a for a in self._since if (a.code, a.subject) not in kinds]
        new = [alarm for key, alarm in kinds.items() if key not in before]
        self._since = {alarm: before.get(key, now) for key, alarm in kinds.items()}
        return new, over

    @property
    def count(self) -> int:
        """Return how many alarms there are."""
        return len(self._since)

    def by_code(self) -> dict[str, int]:
        """Return how many alarms there are of each code."""
        counted: dict[str, int] = {}
        for alarm in self._since:
            counted[alarm.code] = counted.get(alarm.code, 0) + 1
        return counted

    def view(self, site: Site) -> list[dict[str, Any]]:
        """Return the alarms, with whom to call."""
        return [view_alarm(alarm, since, site) for alarm, since in self._since.items()]


def view_alarm(alarm: Alarm, since: float, site: Site) -> dict[str, Any]:
    """Return one alarm as it is shown."""
    channel = site.inbound.get(alarm.subject) or site.outbound.get(alarm.subject)
    return {
        "code": alarm.code,
        "subject": alarm.subject,
        "what": alarm.what,
        "since": show_at(since, site.timezone),
        "about": dict(channel.about) if channel is not None else {},
    }
