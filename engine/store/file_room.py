"""
Room among the file descriptors: connections and files leave some to the store.

The store cannot do without: a file that it can neither open nor sync looks like a disk that failed.
Rules of this file: a crowd of senders leaves room for receivers, and receivers leave room for a
sender. A new descriptor gets the lowest number that is free, so its number tells how many are in
use.
"""

from __future__ import annotations

import errno
import os
import resource
from enum import IntEnum

#: the least that is left, and the part of all descriptors that it is where those are few
_LEAST, _PART = 64, 12


class Kept(IntEnum):
    """How many times the least is left alone, and by whom."""

    #: the first connections of a listener: somebody can always send
    BY_FIRST_SENDERS = 1
    #: connections to receivers, files that are delivered, Python workers
    BY_RECEIVERS = 2
    #: all other connections of senders, and those to the HTTP endpoint
    BY_SENDERS = 3


class NoFileRoom(OSError):
    """A connection or file would take a descriptor that the store may need."""

    def __init__(self) -> None:
        super().__init__(errno.EMFILE, "too few file descriptors are left; raise the limit")


def leaves_room(kept: Kept, descriptor: int | None = None) -> bool:
    """Return whether enough are left beside *descriptor*; None is the one opened last."""
    if descriptor is None:
        following = _find_next()
        descriptor = None if following is None else following - 1
    return descriptor is not None and _is_low(descriptor, kept)


def check_room(descriptor: int | None = None) -> None:
    """
    Raise NoFileRoom when a receiver may not have one more.

    Args:
        descriptor: one just opened; None asks for the next one.
    """
    number = _find_next() if descriptor is None else descriptor
    if number is None or not _is_low(number, Kept.BY_RECEIVERS):
        raise NoFileRoom


def _find_next() -> int | None:
    try:
        descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    os.close(descriptor)
    return descriptor


def _is_low(descriptor: int, kept: Kept) -> bool:
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return limit == resource.RLIM_INFINITY or descriptor < limit - kept * min(
        _LEAST, limit // _PART
    )
