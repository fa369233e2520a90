"""How many per second, over the last ten seconds, from a number that only grows."""

from __future__ import annotations

from collections import deque

_SPAN = 10


class RateMeter:
    """Sampled once a second by the upkeep."""

    def __init__(self) -> None:
        self._samples: deque[int] = deque(maxlen=_SPAN + 1)

    def sample(self, total: int) -> None:
        """Take the count as it is now."""
        self._samples.append(total)

    @property
    def per_s(self) -> float:
        """Return the rate."""
        if len(self._samples) < 2:
            return 0.0
        grown = self._samples[-1] - self._samples[0]
        return round(max(grown, 0) / (len(self._samples) - 1), 1)
