"""File names of outputs: from a template, never out of the folder, never hidden."""

from __future__ import annotations

import re

_UNSAFE = re.compile(r"[^\w.+=@-]+")
_LONGEST = 180


def safe_file_name(text: str, fallback: str) -> str:
    """
    Return *text* as the name of one file.

    Whatever is no letter, digit or one of ``. _ - + = @`` becomes ``_``; a name never begins with
    a dot, so that it is neither hidden, nor a temporary file, nor a way out of the folder.
    """
    name = _UNSAFE.sub("_", text).lstrip(".")
    if not name.strip("._"):
        return _UNSAFE.sub("_", fallback)
    if len(name.encode()) > _LONGEST:
        _, dot, extension = name.rpartition(".")
        extension = dot + extension if dot and len(extension) <= 10 else ""
        cut = name.encode()[: _LONGEST - len(extension.encode())]
        name = cut.decode("utf-8", "ignore") + extension
    return name
