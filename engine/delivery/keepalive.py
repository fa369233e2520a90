"""Have the kernel notice, within about a minute, that the other side is gone."""

from __future__ import annotations

import socket
from typing import Any

_OPTIONS = (
    ("TCP_NODELAY", 1),
    ("TCP_KEEPIDLE", 30),
    ("TCP_KEEPINTVL", 10),
    ("TCP_KEEPCNT", 3),
    # For bytes that are on their way when the other side goes silent.
    ("TCP_USER_TIMEOUT", 60_000),
)


def set_keepalive(transport: Any) -> None:
    """Set what this platform knows of it; transports without a socket are left alone."""
    bottom = getattr(transport, "transport", None) or transport
    handle = getattr(bottom, "socket", None)
    if not isinstance(handle, socket.socket):
        return
    handle.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _OPTIONS:
        number = getattr(socket, name, None)
        if number is not None:
            handle.setsockopt(socket.IPPROTO_TCP, number, value)
