"""
A process for the crash tests: drives a store and says, line by line, what it was answered.

    python -m tests.store.crash_child FOLDER SCENARIO

Each line is flushed after the answer it reports, as an ack would leave after its commit.
"""

from __future__ import annotations

import sys
from pathlib import Path

from engine.model.errors import Fenced, MedbusError
from engine.model.records import Accepted, LinkedNumber
from engine.store.records import Retention
from engine.store.settings import StoreSettings
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import (
    DAY,
    NOON,
    accept,
    arrival,
    delivered,
    delivery,
    ids,
    keyed,
    operate,
    refused,
    settle,
)

#: long after everything in here
LATER = NOON + 30 * 86_400


def say(line: str) -> None:
    """Report an answer."""
    print(line, flush=True)


def accepting(store: SqliteStore) -> None:
    """Accept for ever, in commits of three; every fifth is settled."""
    n = store.next_number(DAY)
    while True:
        for answer in store.commit([arrival(n), arrival(n + 1), arrival(n + 2)]):
            if isinstance(answer, Accepted):
                say(f"acked {answer.message_id}")
            else:
                say(f"refused {type(answer).__name__}")
        if n % 5 == 1:
            store.commit([delivered(f"{DAY}-{n}.1")])
            say(f"settled {DAY}-{n}.1")
        store.step()
        n += 3


def linking(store: SqliteStore) -> None:
    """Accept for ever what leaves links in the vault, many for each message."""
    n = 0
    while True:
        n += 1
        links = tuple(
            LinkedNumber("research", "b9cdf253", "MR", f"P{n}-{k}", f"{n}{k}") for k in range(60)
        )
        (answer,) = store.commit([arrival(n, delivery(1, links=links))])
        say(f"acked {DAY}-{n}" if isinstance(answer, Accepted) else f"refused {answer}")


def releasing(store: SqliteStore) -> None:
    """Release what holds three thousand followers."""
    accept(store, keyed(1, 1))
    accept(store, *[keyed(n, 1) for n in range(2, 3002)])
    settle(store, refused(f"{DAY}-1.1"))
    say("ready")
    operate(store, "release", f"{DAY}-1.1")
    say("released")


def cancelling(store: SqliteStore) -> None:
    """Cancel three thousand deliveries with one operation."""
    accept(store, *[arrival(n) for n in range(1, 3001)])
    say("ready")
    operate(store, "cancel", *ids(*range(1, 3001)))
    say("cancelled")


def pruning(store: SqliteStore) -> None:
    """Remove bodies, then the day."""
    accept(store, arrival(1), arrival(2))
    settle(store, *[delivered(one) for one in ids(1, 2)])
    say("ready")
    store.prune(Retention(bodies_s=86_400.0), now=LATER, clock_is_right=True)
    say("bodies gone")
    store.prune(Retention(bodies_s=86_400.0, metadata_s=86_400.0), now=LATER, clock_is_right=True)
    say("day gone")


def main() -> None:
    """Open and run; a fence is told and ends with 75."""
    folder, scenario = Path(sys.argv[1]), sys.argv[2]
    settings = StoreSettings(now=lambda: NOON, min_free_bytes=0, min_free_share=0.0)
    try:
        store = SqliteStore(folder, settings=settings)
        say("open")
        if scenario != "open":
            {
                "accept": accepting,
                "link": linking,
                "release": releasing,
                "cancel": cancelling,
                "prune": pruning,
            }[scenario](store)
        store.close()
    except Fenced:
        say("fenced")
        sys.exit(75)
    except MedbusError as error:
        say(f"error {error.code}")
        sys.exit(1)


if __name__ == "__main__":
    main()
