"""
Read a site's folder: the only I/O of this package.

Rules of this file: only what belongs to a site is read; keys, certificates, the message
store and whatever else lies in the folder stay untouched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.config.yaml_tree import parse_tree
from engine.model.errors import MedbusError

SITE_FOLDERS = ("environments", "channels", "transforms", "sample_messages")
#: keys whose value names a file of the site
_FILE_KEYS = frozenset({"file", "profile", "allow_words"})
_SKIPPED_SUFFIXES = frozenset({".key", ".pem", ".crt", ".p12", ".pyc", ".db"})
MAX_FILE_BYTES = 64_000_000


def read_site_files(folder: Path | str) -> dict[str, bytes]:
    """
    Return path relative to the site (with /) -> content of everything a site is made of.

    Files outside the site's own folders are read only where the YAML names them.

    Effects: reads the folder.

    Raises:
        MedbusError: a file of the site cannot be read.
    """
    try:
        return _read_all(Path(folder))
    except OSError as error:
        raise MedbusError(
            f"{error.filename} cannot be read: {error.strerror}",
            code="RUN-043",
            fix="check who owns it and its permissions",
        ) from None


def _read_all(root: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    if (root / "medbus.yaml").is_file():
        files["medbus.yaml"] = (root / "medbus.yaml").read_bytes()
    for name in SITE_FOLDERS:
        for path in _walk(root / name):
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    for name in sorted(_named_files(files)):
        path = root / name
        if name not in files and path.is_file() and path.stat().st_size <= MAX_FILE_BYTES:
            files[name] = path.read_bytes()
    return files


def _walk(folder: Path, above: frozenset[Path] = frozenset()) -> Iterator[Path]:
    """Yield the files of a folder; a link to a folder above is not followed round in a circle."""
    real = folder.resolve()
    if not folder.is_dir() or real in above:
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir():
            yield from _walk(path, above | {real})
        elif path.suffix not in _SKIPPED_SUFFIXES and path.stat().st_size <= MAX_FILE_BYTES:
            yield path


def _named_files(files: Mapping[str, bytes]) -> set[str]:
    """Return the file names that the YAML of the site names."""
    named: set[str] = set()
    for name, raw in files.items():
        if name.endswith(".yaml"):
            tree = parse_tree(name, raw, prefix=(), known_keys=frozenset())
            named.update(_names_in(tree.root))
    return named


def _names_in(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _names_in(item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(item, str):
                if key in _FILE_KEYS or key.endswith("_file"):
                    yield item
            else:
                yield from _names_in(item)
