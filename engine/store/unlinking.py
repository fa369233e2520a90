"""
Removing a large file without making anybody wait.

A file system frees the blocks of a file when its last name and its last descriptor are gone, which
takes half a second per gigabyte. So one more descriptor is held while the name goes, and closed in
a thread of its own.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def freed_later(path: Path) -> Iterator[None]:
    """Have the blocks of *path* freed after the block, which removes or replaces it."""
    # Elsewhere an open file can be neither removed nor replaced.
    descriptor = os.open(path, os.O_RDONLY) if os.name == "posix" and path.exists() else None
    try:
        yield
    finally:
        if descriptor is not None:
            threading.Thread(
                target=os.close, args=(descriptor,), name="medbus-unlink", daemon=True
            ).start()
