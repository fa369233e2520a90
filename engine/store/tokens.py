"""Fencing tokens: only the newest opener of a lane may settle in its name."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from engine.model.errors import Conflict

#: the token of settlements that come from no lane
NO_LANE = 0


@dataclass(slots=True)
class OpenLane:
    """A lane as its opener asked for it."""

    outbound: str
    lane: int
    lanes: int
    #: deliveries still to be flagged uncertain, after an unclean start
    uncertain_left: int
    #: ids flagged so far, so that reading them again flags them again
    flagged: set[str]


class Tokens:
    """The lanes that are open; any thread."""

    def __init__(self) -> None:
        self._last = 0
        self._lanes: dict[int, OpenLane] = {}
        self._lock = threading.Lock()

    def open(self, outbound: str, lane: int, lanes: int, *, uncertain: int = 0) -> int:
        """Return a new token; older ones of the lane, or of another count of lanes, are stale."""
        if not 0 <= lane < lanes:
            raise Conflict(f"there is no lane {lane} among {lanes}")
        with self._lock:
            for token, known in list(self._lanes.items()):
                if known.outbound == outbound and (known.lanes != lanes or known.lane == lane):
                    del self._lanes[token]
            self._last += 1
            self._lanes[self._last] = OpenLane(outbound, lane, lanes, uncertain, set())
            return self._last

    @property
    def were_opened(self) -> bool:
        """Return whether any lane was opened since the store was."""
        return self._last > 0

    def get(self, token: int) -> OpenLane:
        """Return the lane of *token*, or raise Conflict when it is stale."""
        lane = self._lanes.get(token)
        if lane is None:
            raise Conflict("the lane was opened anew; this token is stale")
        return lane

    def may_settle(self, token: int, outbound: str) -> bool:
        """Return whether *token* may settle deliveries of *outbound*."""
        if token == NO_LANE:
            return True
        lane = self._lanes.get(token)
        return lane is not None and lane.outbound == outbound
