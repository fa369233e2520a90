"""What a simulator saw, one JSON line per event, on disk before anything depends on it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import Any


class Ledger:
    """Appends events; safe from several threads; survives the death of its writer."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
        self._lock = threading.Lock()

    def write(self, **event: Any) -> None:
        """Append one event."""
        line = json.dumps(event).encode() + b"\n"
        with self._lock:
            os.write(self._fd, line)


def read_ledger(path: Path) -> list[dict[str, Any]]:
    """Return all whole events of a ledger, in the order they were written."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    return [json.loads(line) for line in lines]


def digest(body: bytes) -> str:
    """Return the SHA-256 of a body, in hex."""
    return hashlib.sha256(body).hexdigest()
