"""Ports for servers that start later: no other test, in whatever process, is given the same."""

from __future__ import annotations

import random
import socket
from collections import deque

#: above what services use, below where systems begin to number outgoing connections: a port from
#: there could be taken, or a client be connected to itself, while nobody listens on it
LOWEST, HIGHEST = 20_000, 31_999
#: more than any test needs at the same time
KEPT = 64

_marks: deque[socket.socket] = deque()


def free_port() -> int:
    """Return a loopback port nobody listens on, and keep other tests from choosing it."""
    while True:
        port = random.randint(LOWEST, HIGHEST)
        mark = _find_mark(port)
        if mark is None:
            continue
        _marks.append(mark)
        if len(_marks) > KEPT:
            _marks.popleft().close()
        return port


def _find_mark(port: int) -> socket.socket | None:
    # A UDP socket says that the TCP port of its number is spoken for. It is in nobody's way, is
    # seen by every process of the machine, and goes with the process that holds it.
    mark = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with socket.socket() as probe:
        try:
            mark.bind(("127.0.0.1", port))
            probe.bind(("127.0.0.1", port))
        except OSError:
            mark.close()
            return None
    return mark
