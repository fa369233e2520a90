"""
Writing a frame at once, where nothing waits before it: no turn through the loop, no buffer.

Rules of this file: knows a transport by what it can do; whatever is unusual goes the usual way.
"""

from __future__ import annotations

from typing import Any


def writes_at_once(transport: Any) -> bool:
    """
    Return whether *transport* is a plain connection that can be asked to write at once.

    Asked of its type: a wrapper, such as TLS, hands out what lies beneath it by attribute, and
    that must not be written to.
    """
    kind = type(transport)
    return hasattr(kind, "writeSomeData") and hasattr(kind, "doWrite")


def write_at_once(transport: Any, frame: bytes) -> None:
    """
    Hand *frame* to the kernel; what it does not take is left to the transport, in order.

    Args:
        transport: one that ``writes_at_once``.
    """
    is_free = transport.connected and not (
        transport.TLS
        or transport.disconnecting
        or transport.dataBuffer
        or transport._tempDataBuffer
    )
    if is_free:
        sent = transport.writeSomeData(frame)
        # Trouble is an exception here; the transport meets it again and tells of it in its way.
        if isinstance(sent, int) and sent > 0:
            if sent == len(frame):
                return
            frame = frame[sent:]
    transport.write(frame)
