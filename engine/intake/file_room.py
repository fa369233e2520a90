"""Room among the file descriptors: connections leave some to the store, which cannot do without."""

from __future__ import annotations

import resource
from typing import Any

#: kept for files of the store and connections to receivers
_KEPT = 64


def leaves_room(transport: Any) -> bool:
    """
    Return whether enough descriptors are left beside the one of *transport*.

    A new descriptor gets the lowest number that is free, so its number tells how many are in use.
    """
    bottom = getattr(transport, "transport", None) or transport
    handle = getattr(bottom, "socket", None)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if handle is None or limit == resource.RLIM_INFINITY:
        return True
    descriptor: int = handle.fileno()
    return descriptor < limit - min(_KEPT, limit // 4)
