"""
Builds stores with a great backlog over several days, through engine.store with the day's own dates.

Run as a program it builds one and prints how long that took:

    python -m tests.torture.great_store build FOLDER --messages 1000000 --days 5 [--held]
    python -m tests.torture.great_store look FOLDER

The second opens it and prints how long that and a search by patient take. Both leave the folder as
a killed engine does.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

from engine.model.errors import MedbusError
from engine.model.records import Arrival, NewDelivery, Park, RouteResult, Settlement, Term
from engine.model.states import DeliveryState, MessageState, ParkCode, RouteOutcome
from engine.store.records import MessageFilter
from engine.store.sqlite_store import SqliteStore

INBOUND, ROUTE, OUTBOUND = "his", "to_lis", "lis"
PATIENTS = 50_000
BATCH = 512
_NOTE = b"NTE|1||" + b"Seen on the ward round, stable, diet as before. " * 15 + b"\r"
_ROUTES = (RouteResult(ROUTE, RouteOutcome.QUEUED),)


def days_until(last: datetime, days: int) -> list[datetime]:
    """Return the noons of *days* days, oldest first; *last* is the newest."""
    noon = last.replace(hour=12, minute=0, second=0, microsecond=0)
    return [noon - timedelta(days=back) for back in reversed(range(days))]


def make_arrival(day: datetime, n: int, patient: str, *, parked: bool = False) -> Arrival:
    """Return the n-th message of *day*, as acceptance would hand it over, with one delivery."""
    name, control_id = day.strftime("%Y%m%d"), f"G{day:%d}N{n}"
    body = (
        b"MSH|^~\\&|HIS|H|LIS|L|%s||ADT^A08|%s|P|2.5.1\rPID|1||%s^^^H^MR||Harbour^Nell\r"
        % (day.strftime("%Y%m%d%H%M%S").encode(), control_id.encode(), patient.encode())
        + _NOTE
    )
    key = hashlib.blake2b(patient.encode(), digest_size=8).digest()
    park = Park(ParkCode.STEP, "built so", "1") if parked else None
    delivery = NewDelivery(
        1,
        ROUTE,
        1,
        OUTBOUND,
        body,
        control_id=control_id,
        order_keys=(key,),
        park=park,
        on_park="hold_key",
    )
    return Arrival(
        f"{name}-{n}",
        INBOUND,
        day.timestamp() + n / 1000,
        body,
        hashlib.sha256(body).digest(),
        MessageState.ACCEPTED,
        b"MSH|^~\\&|LIS|L|HIS|H|20261121||ACK^A08^ACK|A|P|2.5.1\rMSA|AA|" + control_id.encode(),
        "AA",
        control_id=control_id,
        sender=("HIS", "H"),
        message_type="ADT^A08",
        version="2.5.1",
        peer="127.0.0.1:40000",
        snapshot_id="0123456789abcdef",
        terms=(
            Term("control_id", control_id),
            Term("patient", patient),
            Term("visit", f"V{n}"),
            Term("name", f"NAME{n % 20_000}"),
            Term("name", f"GIVEN{n % 500}"),
        ),
        routes=_ROUTES,
        deliveries=(delivery,),
        duplicate_window_s=86_400,
    )


def build(folder: Path, days: list[datetime], messages: int, *, held: bool = False) -> SqliteStore:
    """
    Return an open store that owes *messages*, the same number on each day.

    Args:
        held: all are of one patient, and wait behind the first, which is parked.
    """
    store = SqliteStore(folder)
    each = messages // len(days)
    for day in days:
        is_first = day == days[0]
        work = (
            make_arrival(
                day,
                n,
                "P1" if held else f"P{n % PATIENTS}",
                parked=held and is_first and n == 1,
            )
            for n in range(1, each + 1)
        )
        for batch in _batches(work):
            commit(store, batch)
    return store


def settle_all(store: SqliteStore, day: str, messages: int) -> None:
    """Mark every delivery of a built *day* as delivered."""
    done = (
        Settlement(f"{day}-{n}.1", 0, DeliveryState.DELIVERED, None) for n in range(1, messages + 1)
    )
    for batch in _batches(done):
        commit(store, batch)


def commit(store: SqliteStore, batch: list[Arrival] | list[Settlement]) -> None:
    """Commit a batch and do the upkeep that falls due, as the writer does."""
    for answer in store.commit(list(batch)):
        if isinstance(answer, MedbusError):
            raise answer
    while store.step():
        pass


def _batches(
    work: Iterator[Arrival] | Iterator[Settlement],
) -> Iterator[list[Arrival] | list[Settlement]]:
    batch: list[Arrival] | list[Settlement] = []
    for item in work:
        batch.append(item)  # type: ignore[arg-type]
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def look(folder: Path) -> dict[str, object]:
    """Open a built store; return how long that takes, and a search by patient."""
    started = time.perf_counter()
    store = SqliteStore(folder)
    opened_s = time.perf_counter() - started
    waits = []
    for n in range(1, 102):
        began = time.perf_counter()
        page = store.find_messages(MessageFilter(patient=f"P{n}"), limit=50)
        waits.append((time.perf_counter() - began) * 1000)
        assert page.items
    waits.sort()
    return {
        "days": len(store.ledger_days()),
        "store opens, s": round(opened_s, 2),
        "find by patient p50, ms": round(waits[50], 1),
        "find by patient p99, ms": round(waits[99], 1),
    }


def main() -> NoReturn:
    """Build one store, or look at one; ends without closing it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0])
    parser.add_argument("what", choices=("build", "look"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=5)
    parser.add_argument("--days-ago", type=int, default=0, help="the newest day is so old")
    parser.add_argument("--held", action="store_true", help="all wait behind the first")
    parser.add_argument("--settled", action="store_true", help="all are delivered")
    arguments = parser.parse_args()
    if arguments.what == "look":
        told = look(arguments.folder)
    else:
        newest = datetime.now(UTC) - timedelta(days=arguments.days_ago)
        days = days_until(newest, arguments.days)
        started = time.monotonic()
        store = build(arguments.folder, days, arguments.messages, held=arguments.held)
        if arguments.settled:
            for day in days:
                settle_all(store, f"{day:%Y%m%d}", arguments.messages // arguments.days)
        told = {"messages": arguments.messages, "seconds": round(time.monotonic() - started, 1)}
    print(json.dumps(told), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main()
