"""
What a store promises; SQLite and the in-memory twin keep the same promises.

Nothing here names a file or a table; the values are in ``records`` and ``operation_records``.

Threads: ``commit``, ``begin``, ``apply``, ``step`` and all under "writer's thread" run there only
(``Writer.submit``, ``Writer.apply``, ``Writer.call``), or on the only thread there is when no
engine runs. Everything under "lanes" and "reads" may be called from any thread.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from engine.deid.vault import Vault
from engine.model.errors import MedbusError
from engine.model.records import Accepted, DueDelivery, Settlement, StoredDelivery, StoredMessage
from engine.store.operation_records import (
    ItemReport,
    Operation,
    OperationItem,
    OperationReport,
    OperationVerb,
)
from engine.store.records import (
    AckGiven,
    AuditRecord,
    AuditVerdict,
    Counts,
    InboundCounts,
    IntakeLoss,
    LedgerDifference,
    LedgerRow,
    MessageFilter,
    Noted,
    OutboundCounts,
    Page,
    PruneReport,
    Result,
    Retention,
    Settled,
    StoreAlarm,
    StoredAttempt,
    StoreFacts,
    Switch,
    Work,
    message_id_of,
)

__all__ = [
    "Accepted",
    "AckGiven",
    "AuditRecord",
    "AuditVerdict",
    "Counts",
    "InboundCounts",
    "IntakeLoss",
    "ItemReport",
    "LedgerDifference",
    "LedgerRow",
    "MessageFilter",
    "Noted",
    "Operation",
    "OperationItem",
    "OperationReport",
    "OperationVerb",
    "OutboundCounts",
    "Page",
    "PruneReport",
    "Result",
    "Retention",
    "Settled",
    "Settlement",
    "Store",
    "StoreAlarm",
    "StoreFacts",
    "StoredAttempt",
    "Switch",
    "Work",
    "message_id_of",
]


class Store(Protocol):
    """All that the engine asks of its store."""

    # -- writer's thread -----------------------------------------------------------------------

    def group(self, work: Sequence[Work]) -> list[list[int]]:
        """Return the indexes of *work* that one durable commit takes together, in commit order."""
        ...

    def commit(self, work: Sequence[Work]) -> list[Result | MedbusError]:
        """
        Make *work* durable, arrivals first; return one answer each, in the order given.

        Answers that are errors: StoreFull (nothing stored; a settlement is to be offered again
        later), NotFound, Conflict, MedbusError of a single bad item.

        Raises:
            Fenced: the disk failed; nothing may be acknowledged, nothing retried.
        """
        ...

    def begin(self, operation: Operation) -> Generator[None, None, OperationReport]:
        """Audit *operation*, then apply it in slices; between yields other work commits."""
        ...

    def apply(self, operation: Operation) -> OperationReport:
        """Run ``begin`` to its end."""
        ...

    def finish(self, operation_id: str) -> None:
        """Close a REPLAY operation."""
        ...

    def step(self) -> bool:
        """
        Do one slice of what waits (followers, index, checkpoint, tomorrow's file).

        Returns:
            Whether more waits.
        """
        ...

    def set_wake(self, wake: Callable[[], None]) -> None:
        """Have *wake* called, from any thread, when ``step`` has something new to do."""
        ...

    def tell_ready(self, tell: Callable[[frozenset[str]], None]) -> None:
        """
        Tell, once, the outbound channels that got something to send other than by accept.

        From their commit until they are told, ``next`` gives no page from behind a cursor. *tell*
        puts the news into the queue through which pages come to the lanes, and asks nothing of
        the store: readers wait for it. So a page read before the news comes to a lane that drops
        it, or is not given at all; any other comes after the news.
        """
        ...

    def put_snapshot(self, files: Mapping[str, bytes], *, at: float) -> str:
        """Keep the files of a configuration; return its content-addressed id."""
        ...

    def put_switch(self, switch: Switch) -> None:
        """Remember a pause."""
        ...

    def drop_switch(self, kind: str, channel: str) -> None:
        """Forget a pause."""
        ...

    def put_setting(self, name: str, value: str) -> None:
        """Keep a small text of the engine under *name*."""
        ...

    def set_known_outbounds(self, names: Iterable[str]) -> None:
        """Say which outbound channels the configuration has; what others owe is orphaned."""
        ...

    def audit(self, record: AuditRecord) -> int:
        """Append to the audit chain; return the record's number."""
        ...

    @property
    def vault(self) -> Vault | None:
        """The vault of pseudonyms; None where nothing was ever kept. Writer's thread."""
        ...

    def prune(
        self,
        retention: Retention,
        *,
        now: float,
        dry_run: bool = False,
        clock_is_right: bool = False,
    ) -> PruneReport:
        """
        Remove bodies, then whole days, that are past their time and owe nothing.

        Args:
            clock_is_right: remove all that is past its time, although *now* may be more than a
                day from where the last run and the time since then put it; without it such a
                run stops, and any other takes one new day and one that was left before.
        """
        ...

    def prune_steps(
        self,
        retention: Retention,
        *,
        now: float,
        dry_run: bool = False,
        clock_is_right: bool = False,
    ) -> Generator[None, None, PruneReport]:
        """Do what ``prune`` does in slices, for ``Writer.run``."""
        ...

    def close(self, *, cut_off: bool = False) -> None:
        """
        Stop cleanly; further calls are errors.

        Args:
            cut_off: tries were under way; what each lane sends first next time is uncertain.
        """
        ...

    # -- lanes, any thread ---------------------------------------------------------------------

    def lane_open(self, outbound: str, lane: int, lanes: int) -> int:
        """
        Return a fencing token for this lane; older tokens of it, and of any other count of lanes
        of this outbound channel, are stale from now on. 0 is the token of settlements without a
        lane (a sender's wait ran out).
        """
        ...

    def next(self, token: int, n: int, after: DueDelivery | None = None) -> list[DueDelivery]:
        """
        Return up to *n* pending deliveries of the lane in order, those behind *after* if given.

        Not yet due ones are returned too (the lane waits for its head). What is behind a held key
        or a halt is left out. One whose bytes cannot be opened is left out and gets parked.
        A delivery with keys of several lanes is returned to each of them.

        Raises:
            Conflict: the token is stale.
            QueueChanged: followers were let go, or something was requeued, and stands in front of
                what would be returned; ``tell_ready`` tells, then the lane begins without *after*.
        """
        ...

    def is_halted(self, token: int) -> bool:
        """Return whether the lane waits behind a delivery that was parked with halt."""
        ...

    # -- reads, any thread ---------------------------------------------------------------------

    def next_number(self, day: str) -> int:
        """Return the first N not used yet in ids of *day* (YYYYMMDD)."""
        ...

    def find_messages(
        self, where: MessageFilter, *, limit: int = 50, cursor: str = ""
    ) -> Page[StoredMessage]:
        """Return matching messages, newest first, with their routes and deliveries."""
        ...

    def find_deliveries(
        self, where: MessageFilter, *, limit: int = 1000, cursor: str = ""
    ) -> Page[StoredDelivery]:
        """Return deliveries, oldest first; states, routes, outbounds and ids select deliveries."""
        ...

    def get_message(self, message_id: str) -> StoredMessage:
        """Return one message with routes and deliveries, or raise NotFound."""
        ...

    def get_delivery(self, delivery_id: str) -> StoredDelivery:
        """Return one delivery, or raise NotFound."""
        ...

    def get_body(self, message_id: str) -> bytes:
        """Return the received bytes; raise NotFound when pruned, Sealed when damaged."""
        ...

    def get_output(self, delivery_id: str) -> bytes:
        """Return the bytes of an output; raise NotFound if there are none, Sealed if damaged."""
        ...

    def get_ack(self, message_id: str) -> bytes:
        """Return the ack given for a message, b"" when none was."""
        ...

    def get_attempts(self, delivery_id: str) -> tuple[StoredAttempt, ...]:
        """Return every try, first first."""
        ...

    def find_replays(self, message_id: str) -> tuple[str, ...]:
        """Return the ids of the messages that replay this one."""
        ...

    def counts(self) -> Counts:
        """Return depths and flows."""
        ...

    def ledger_days(self) -> tuple[str, ...]:
        """Return the days there are, oldest first; also one whose file is missing or set aside."""
        ...

    def ledger(self, day: str) -> tuple[LedgerRow, ...]:
        """Return the kept counters of a day; where its file is absent, one row for all."""
        ...

    def check_ledger(self, day: str) -> tuple[LedgerDifference, ...]:
        """Recount a day from its rows and compare; also test the three equations."""
        ...

    def get_snapshot(self, snapshot_id: str) -> dict[str, bytes]:
        """Return the files of a snapshot, or raise NotFound."""
        ...

    def list_snapshots(self) -> tuple[tuple[str, float], ...]:
        """Return (id, first used at) of every snapshot, oldest first."""
        ...

    def switches(self) -> tuple[Switch, ...]:
        """Return the paused channels."""
        ...

    def get_setting(self, name: str) -> str:
        """Return what was put under *name*, or ""."""
        ...

    def unfinished(self) -> tuple[Operation, ...]:
        """Return operations that were begun and not finished (after open: only REPLAY)."""
        ...

    def list_audit(
        self, *, limit: int = 100, cursor: str = "", since: float | None = None
    ) -> Page[AuditRecord]:
        """Return audit records, newest first."""
        ...

    def verify_audit(self) -> AuditVerdict:
        """Check the whole chain."""
        ...

    def alarms(self) -> tuple[StoreAlarm, ...]:
        """Return what a person must look at now."""
        ...

    def facts(self) -> StoreFacts:
        """Return driver, days and sizes."""
        ...

    def backup(
        self,
        folder: Path,
        *,
        with_master: bool = False,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        """
        Write a consistent copy that a new store can be opened on; may run beside everything.

        A running prune is waited for; one that begins meanwhile is refused. What the copy owes is
        uncertain there: it may have been delivered since. Whatever is raised, nothing is left.

        Args:
            with_master: also copy the master key.
            go_on: called between two slices; raises to end the copy.
        """
        ...
