"""
Places where a test may end the process, as a power cut would.

In production a failpoint is a function that does nothing. The environment variable
``MEDBUS_FAILPOINT=name:count`` makes the process kill itself (SIGKILL) at the count-th passing of
that name; the crash tests set it in their subprocesses.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TypeAlias

Failpoint: TypeAlias = Callable[[str], None]

#: every place there is
NAMES = frozenset(
    {
        "commit.before",
        "commit.after",
        "operation.audited",
        "operation.slice",
        "followers.slice",
        "rollover",
        "migration",
        "prune.before_rename",
        "prune.after_rename",
        "prune.before_unlink",
    }
)


def no_failpoint(_name: str) -> None:
    """Do nothing."""


def failpoint_from_environment() -> Failpoint:
    """Return what the environment asks for, or a function that does nothing."""
    wanted, _, count = os.environ.get("MEDBUS_FAILPOINT", "").partition(":")
    if not wanted:
        return no_failpoint
    if wanted not in NAMES:
        raise ValueError(f"MEDBUS_FAILPOINT names no failpoint: {wanted}")
    left = int(count or 1)

    def failpoint(name: str) -> None:
        nonlocal left
        if name == wanted:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return failpoint
