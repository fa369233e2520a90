"""
What never became a message: bytes between frames, and frames that were refused, for the ledger.

Rules of this file: what the ledger could not take is told again with what comes next.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from engine.intake.seams import IntakeSeams
from engine.store.records import IntakeLoss, Noted

#: seconds between two reports
_EVERY_S = 10.0


class Losses:
    """
    The losses of one inbound channel.

    Args:
        count: returns the bytes discarded and the frames refused so far.
    """

    def __init__(
        self, inbound: str, seams: IntakeSeams, count: Callable[[], tuple[int, int]]
    ) -> None:
        self._inbound = inbound
        self._seams = seams
        self._count = count
        self._reported = (0, 0)
        self._timer: Any = None

    def start(self) -> None:
        """Report from time to time."""
        self._timer = self._seams.reactor.callLater(_EVERY_S, self._again)

    def stop(self) -> None:
        """Report no more by itself."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def report(self) -> None:
        """Tell the ledger what came since the last report."""
        seen = self._count()
        if seen == self._reported:
            return
        discarded, refused = seen[0] - self._reported[0], seen[1] - self._reported[1]
        self._reported = seen
        now = datetime.fromtimestamp(self._seams.clock.now(), self._seams.timezone)
        loss = IntakeLoss(self._inbound, now.strftime("%Y%m%d"), discarded, refused)

        def noted(result: Any) -> None:
            if not isinstance(result, Noted):
                self._reported = (self._reported[0] - discarded, self._reported[1] - refused)

        self._seams.writer.submit(loss, noted)

    def _again(self) -> None:
        self.start()
        self.report()
