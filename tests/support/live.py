"""A reactor of its own with real sockets on loopback, driven by the test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from twisted.internet.asyncioreactor import AsyncioSelectorReactor


class LiveLoop:
    """Runs until something is so; nothing runs in between."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.reactor: Any = AsyncioSelectorReactor(self.loop)
        self.reactor.startRunning(installSignalHandlers=False)

    def until(self, condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
        """Run until *condition* holds; fail when it does not in time."""
        done = self.loop.create_future()
        started = self.loop.time()

        def look() -> None:
            if condition():
                done.set_result(True)
            elif self.loop.time() - started > timeout_s:
                done.set_result(False)
            else:
                self.loop.call_later(0.002, look)

        look()
        assert self.loop.run_until_complete(done), "it did not come about in time"

    def run(self, deferred: Any, timeout_s: float = 60.0) -> None:
        """Run until *deferred* has fired."""
        fired: list[Any] = []
        deferred.addBoth(fired.append)
        self.until(lambda: fired, timeout_s)

    def beside(self, function: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """Run a blocking *function* in a thread while the loop runs; return its result."""
        outcome: list[Any] = []

        def work() -> None:
            try:
                outcome.append(function())
            except Exception as error:  # noqa: BLE001 - raised in the test below
                outcome.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self.until(lambda: outcome, timeout_s)
        thread.join(1)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]

    def close(self) -> None:
        """End everything that still runs."""
        for reader in self.reactor.removeAll():
            connection_lost = getattr(reader, "connectionLost", None)
            if connection_lost is not None:
                from twisted.internet.error import ConnectionDone
                from twisted.python.failure import Failure

                connection_lost(Failure(ConnectionDone()))
        for call in self.reactor.getDelayedCalls():
            call.cancel()
        self.loop.run_until_complete(asyncio.wait_for(self.loop.create_task(_turn()), 60))
        self.reactor.disconnectAll()
        self.loop.close()


async def _turn() -> None:
    """Let what is due run."""
