"""
The child process that runs Python steps: reads one call, answers it, waits for the next.

Rules of this file: it speaks length-prefixed JSON over the socket it inherits; what user code
prints goes nowhere; an error answer names the exception's type and line, never its text.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import traceback
from typing import Any

_LENGTHS = struct.Struct(">II")


def write_packet(peer: socket.socket, head: dict[str, Any], body: bytes) -> None:
    """Send one packet: two lengths, a JSON head, the message's bytes."""
    encoded = json.dumps(head, ensure_ascii=False, default=str).encode()
    peer.sendall(_LENGTHS.pack(len(encoded), len(body)) + encoded + body)


def read_packet(peer: socket.socket) -> tuple[dict[str, Any], bytes]:
    """Read one packet; EOFError when the other side has gone."""
    head_bytes, body_bytes = _LENGTHS.unpack(_read_exactly(peer, _LENGTHS.size))
    head = json.loads(_read_exactly(peer, head_bytes))
    return head, _read_exactly(peer, body_bytes)


def _read_exactly(peer: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        chunk = peer.recv(min(1 << 20, size - len(parts)))
        if not chunk:
            raise EOFError
        parts += chunk
    return bytes(parts)


def _describe(error: BaseException, module: str) -> str:
    from engine.pipeline.python_message import NoMessageReturned

    if isinstance(error, NoMessageReturned):
        return str(error)
    # The text of an exception may quote the message; type and line are enough to find it.
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == f"transforms/python/{module}.py"
    ]
    if isinstance(error, SyntaxError) and not lines:
        lines = [error.lineno]
    place = f" at transforms/python/{module}.py:{lines[-1]}" if lines else ""
    return f"{type(error).__name__}{place}"


def serve(peer: socket.socket) -> None:
    """Answer calls until the engine goes away."""
    from engine.pipeline.python_message import run_python_step

    sources: dict[str, str] = {}
    write_packet(peer, {"ready": True}, b"")
    while True:
        try:
            head, body = read_packet(peer)
        except EOFError:
            return
        if head.get("sources") is not None:
            sources = head["sources"]
        try:
            answer, log = run_python_step(
                head["module"], head["function"], body, head["context"], sources
            )
            write_packet(peer, {"log": list(log)}, answer)
        except MemoryError:
            os._exit(71)
        except BaseException as error:  # noqa: BLE001  user code may raise anything, also SystemExit
            write_packet(peer, {"error": _describe(error, head["module"])}, b"")


def main() -> None:
    """Close what user code could disturb, set the limits, serve."""
    inherited_fd, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    peer = socket.socket(fileno=inherited_fd)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard_fd in (0, 1, 2):
        os.dup2(nowhere, standard_fd)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(peer)


if __name__ == "__main__":
    main()
