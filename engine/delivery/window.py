"""
What a lane knows of its queue: a few deliveries in memory, the rest in the store.

Rules of this file: whatever is offered just after its commit goes in as long as nothing older
waits in the store; else the window is behind and pages. A page is dropped when the queue was
changed by others while it was read. Bodies in memory are bounded whatever the backlog is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from engine.model.errors import Conflict, QueueChanged
from engine.model.records import DueDelivery

#: deliveries and bytes of bodies that one lane keeps
MOST_DELIVERIES = 256
MOST_BYTES = 4_000_000
#: a page is read when no more than this is left
_LOW_WATER = 16
_MOST_PER_PAGE = 64
#: what is offered while a page is read and is larger than this is read from the store
_MOST_ASIDE_BYTES = 16_000

#: (n, after, done): done gets the page, or the error
ReadPage = Callable[[int, DueDelivery | None, Callable[[Any], None]], None]


class Window:
    """
    The head of one lane's queue.

    Args:
        read_page: reads from the store, elsewhere than on the loop.
        changed: called when there may be a new head.
        lost: called when the lane is not ours any more (its token is stale).
        failed: called when a page could not be read; what is wrong is told by the store.
        takes_offers: False where only the store knows what may go (behind a halt nothing may, and
            the halt may be older than this process).
    """

    __slots__ = (
        "_aside",
        "_bytes",
        "_changed",
        "_deliveries",
        "_failed",
        "_gone",
        "_is_reading",
        "_last",
        "_lost",
        "_missed",
        "_page_size",
        "_read_page",
        "_takes_offers",
        "_turn",
        "is_behind",
    )

    def __init__(
        self,
        read_page: ReadPage,
        *,
        changed: Callable[[], None],
        lost: Callable[[], None],
        failed: Callable[[], None],
        takes_offers: bool = True,
    ) -> None:
        self._read_page = read_page
        self._changed = changed
        self._lost = lost
        self._failed = failed
        self._takes_offers = takes_offers
        self._deliveries: deque[DueDelivery] = deque()
        self._bytes = 0
        self._last: DueDelivery | None = None
        #: there may be more in the store, behind what is here
        self.is_behind = True
        self._is_reading = False
        #: offered while a page was read; taken over when the page shows that nothing is before it
        self._aside: list[DueDelivery] = []
        #: something that was offered while a page was read is known to the store only
        self._missed = False
        #: grows with each change by others; a page of an older turn is dropped
        self._turn = 0
        #: settled while a page was read, so the page may still show them
        self._gone: set[str] = set()
        self._page_size = 8

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is here and nothing is known to wait in the store."""
        return not self._deliveries and not self.is_behind and not self._is_reading

    @property
    def head(self) -> DueDelivery | None:
        """Return what is next; None while it is not known. Reads ahead when little is left."""
        if self.is_behind and len(self._deliveries) <= _LOW_WATER and not self._is_reading:
            self._read()
        return self._deliveries[0] if self._deliveries else None

    def offer(self, delivery: DueDelivery) -> None:
        """Take a delivery that was just committed, unless older ones wait in the store."""
        if not self._takes_offers:
            self.miss()
        elif self._is_known(delivery):
            return
        elif self._is_reading:
            if len(self._aside) < MOST_DELIVERIES and len(delivery.body) <= _MOST_ASIDE_BYTES:
                self._aside.append(delivery)
            else:
                self._missed = True
        elif self.is_behind:
            return
        elif len(self._deliveries) >= MOST_DELIVERIES or self._bytes >= MOST_BYTES:
            self.is_behind = True
        else:
            self._append(delivery)

    def miss(self) -> None:
        """Look for a new delivery in the store: it may be held, which only the store knows."""
        self._missed = self.is_behind = True

    def pop(self) -> None:
        """Take the head out: it is settled."""
        delivery = self._deliveries.popleft()
        self._bytes -= len(delivery.body)
        if self._is_reading:
            self._gone.add(delivery.delivery_id)

    def discard(self, delivery_id: str) -> bool:
        """Take one out wherever it stands; return whether it was here."""
        if self._is_reading:
            self._gone.add(delivery_id)
        for delivery in self._deliveries:
            if delivery.delivery_id == delivery_id:
                self._deliveries.remove(delivery)
                self._bytes -= len(delivery.body)
                return True
        return False

    def has(self, delivery_id: str) -> bool:
        """Return whether it waits here."""
        return any(each.delivery_id == delivery_id for each in self._deliveries)

    def deliveries(self) -> Iterable[DueDelivery]:
        """Return what is here, in order."""
        return self._deliveries

    def drop(self, delivery_ids: Collection[str]) -> None:
        """Take out what others have taken over: it is held now."""
        kept = [each for each in self._deliveries if each.delivery_id not in delivery_ids]
        self._deliveries = deque(kept)
        self._bytes = sum(len(each.body) for each in kept)
        if self._is_reading:
            self.is_behind = True
            self._turn += 1

    def reset(self) -> None:
        """
        Forget everything and read from the start: others changed the queue.

        Nothing may be in flight or on its way to the store: it would be read again.
        """
        self._turn += 1
        self._deliveries.clear()
        self._bytes = 0
        self._last = None
        self.is_behind = True

    def _is_known(self, delivery: DueDelivery) -> bool:
        """Return whether a page that was faster than its offer has shown it."""
        last = self._last
        return last is not None and (delivery.seq, delivery.place) <= (last.seq, last.place)

    def _append(self, delivery: DueDelivery) -> None:
        self._deliveries.append(delivery)
        self._bytes += len(delivery.body)
        self._last = delivery

    def _read(self) -> None:
        self._is_reading = True
        self._missed = False
        self._aside.clear()
        self._gone.clear()
        turn = self._turn
        asked = self._page_size

        def got(page: Any) -> None:
            self._is_reading = False
            if isinstance(page, Conflict):
                self._lost()
            elif turn != self._turn:
                self._changed()
            elif isinstance(page, QueueChanged):
                self.is_behind = True  # and a wake is on its way
            elif isinstance(page, Exception):
                self.is_behind = True
                self._failed()
            else:
                self._take_page(page, asked)
                self._changed()

        self._read_page(asked, self._last, got)

    def _take_page(self, page: list[DueDelivery], asked: int) -> None:
        size = 0
        for delivery in page:
            size += len(delivery.body)
            if delivery.delivery_id not in self._gone:
                self._append(delivery)
        # A page may be short for its size in bytes: only an empty one says that this was all.
        self.is_behind = bool(page) or self._missed
        if page:
            self._last = page[-1]
        elif not self._missed:
            for delivery in self._aside:
                if delivery.delivery_id not in self._gone and not self._is_known(delivery):
                    self._append(delivery)
        self._aside.clear()
        if size > MOST_BYTES:
            self._page_size = max(1, asked // 2)
        elif size < MOST_BYTES // 4:
            self._page_size = min(_MOST_PER_PAGE, asked * 2)
