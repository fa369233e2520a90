"""
How fast the store commits, with the fsync of this minute beside it.

    python benchmarks/store.py [--messages N] [--folder DIR]

One thread, 1 KB messages with a changed 1 KB output, five terms, one delivery each.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from engine.model.records import (
    Arrival,
    Attempt,
    NewDelivery,
    RouteResult,
    Settlement,
    Term,
)
from engine.model.states import AttemptOutcome, DeliveryState, MessageState, RouteOutcome
from engine.store.records import MessageFilter
from engine.store.sqlite_store import SqliteStore

DAY = "20261121"
BATCH = 64
_ROUTES = (RouteResult("adt_to_lis", RouteOutcome.QUEUED),)


def arrivals(count: int, first: int = 1) -> Iterator[Arrival]:
    """Yield messages as the acceptance would hand them over."""
    padding = b"OBX|1|ST|GLU^Glucose||5.4|mmol/L|3.9-5.8|N|||F\r" * 19
    for n in range(first, first + count):
        body = b"MSH|^~\\&|HIS|H|||20261121||ADT^A01|C%d|P|2.5\rPID|1||%d\r" % (n, n) + padding
        yield Arrival(
            f"{DAY}-{n}",
            "his_adt",
            1_793_500_200.0 + n / 1000,
            body,
            hashlib.sha256(body).digest(),
            MessageState.ACCEPTED,
            b"MSH|^~\\&|||HIS|H|20261121||ACK^A01^ACK|A%d|P|2.5\rMSA|AA|C%d\r" % (n, n),
            "AA",
            control_id=f"C{n}",
            sender=("HIS", "H"),
            message_type="ADT^A01",
            version="2.5",
            peer="127.0.0.1:40000",
            snapshot_id="0123456789abcdef",
            terms=(
                Term("control_id", f"C{n}"),
                Term("patient", f"P{n % 50_000}"),
                Term("visit", f"V{n}"),
                Term("name", f"NAME{n % 20_000}"),
                Term("name", f"GIVEN{n % 500}"),
            ),
            routes=_ROUTES,
            deliveries=(
                NewDelivery(
                    1,
                    "adt_to_lis",
                    1,
                    "lis",
                    body.replace(b"HIS", b"LIS"),
                    control_id=f"C{n}",
                    order_keys=(hashlib.blake2b(b"%d" % (n % 50_000), digest_size=8).digest(),),
                ),
            ),
            duplicate_window_s=86_400,
        )


def fsync_ms(folder: Path, times: int = 200) -> list[float]:
    """Return how long small synced appends take here and now."""
    took = []
    with open(folder / "fsync", "wb") as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - start) * 1000)
    return took


def in_batches(items: list[Arrival] | list[Settlement]) -> Iterator[list[Arrival | Settlement]]:
    """Yield commits of BATCH works."""
    for start in range(0, len(items), BATCH):
        yield list(items[start : start + BATCH])


def measure(store: SqliteStore, work: list[Arrival] | list[Settlement], name: str) -> None:
    """Commit *work* in batches and print the rate."""
    waits = []
    start = time.perf_counter()
    for batch in in_batches(work):
        began = time.perf_counter()
        store.commit(batch)
        waits.append((time.perf_counter() - began) * 1000)
        while store.step():
            pass
    took = time.perf_counter() - start
    waits.sort()
    print(
        f"{name:<12} {len(work) / took:>9,.0f} /s   {took / len(work) * 1e6:>6.1f} us each"
        f"   commit p50 {waits[len(waits) // 2]:.2f} ms  p99 {waits[len(waits) * 99 // 100]:.2f} ms"
    )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=None)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        took = sorted(fsync_ms(folder))
        print(f"fdatasync    p50 {statistics.median(took):.3f} ms  p99 {took[-3]:.3f} ms")
        store = SqliteStore(folder / "data")
        work = list(arrivals(arguments.messages))
        measure(store, work, "accept")
        token = store.lane_open("lis", 0, 1)
        start = time.perf_counter()
        due, last = 0, None
        while page := store.next(token, 64, last):
            due, last = due + len(page), page[-1]
        took_s = time.perf_counter() - start
        print(f"{'next':<12} {due / took_s:>9,.0f} /s   {took_s / due * 1e6:>6.1f} us each")
        acked = Attempt(1.0, 0.01, AttemptOutcome.ACKED, "AA", work[0].ack)
        settlements = [
            Settlement(f"{item.message_id}.1", token, DeliveryState.DELIVERED, acked)
            for item in work
        ]
        measure(store, settlements, "settle")
        start = time.perf_counter()
        found = store.find_messages(MessageFilter(patient="P77"), limit=50)
        print(
            f"{'find':<12} {len(found.items)} of {len(work)} in"
            f" {(time.perf_counter() - start) * 1000:.1f} ms"
        )
        start = time.perf_counter()
        assert store.check_ledger(DAY) == ()
        print(f"{'recount':<12} {(time.perf_counter() - start) * 1000:.0f} ms")
        store.close()


if __name__ == "__main__":
    main()
