"""
The key ring: data keys wrapped by one master key, in a folder of mode 0700, files 0600.

    master.key   64 hexadecimal digits: the one thing to keep a copy of, away from the data
    ring.json    everything else, wrapped; of no use without the master key

Rules of this file: a key is on the disk (fsync of file and folder) before it seals anything;
a wrong or missing master key is refused before anything is touched; dropping a data key makes
what it sealed unreadable for good (crypto-shredding).
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
import stat
import threading
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.model.errors import Sealed
from engine.security.keyed_hash import KeyedHash
from engine.security.sealing import KEY_BYTES, Sealer

#: the two data keys of a day
BODIES = "bodies"
EVIDENCE = "evidence"

MASTER_FILE = "master.key"
RING_FILE = "ring.json"
_NEXT_MASTER_FILE = "master.key.next"
#: a file of this name in $CREDENTIALS_DIRECTORY (systemd LoadCredential) wins over master.key
CREDENTIAL_NAME = "medbus-master.key"
_INDEX, _AUDIT, _CONTROL = "index", "audit", "control"


class KeyRing:
    """All keys of one data folder; use ``create`` or ``open``."""

    def __init__(
        self, folder: Path, master: bytes, wrapped: dict[str, str], destroyed: Iterable[str] = ()
    ) -> None:
        #: named keys that were destroyed: a new key must not take their name
        self._destroyed = set(destroyed)
        self._folder = folder
        self._master = master
        self._wrapped = wrapped
        self._lock = threading.Lock()
        self._sealers: dict[str, Sealer] = {}

    @classmethod
    def create(cls, folder: Path) -> KeyRing:
        """
        Make a new ring with a random master key.

        Raises:
            Sealed: there is one already; a key is never replaced silently.
        """
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        if (folder / RING_FILE).exists():
            raise Sealed(f"there is a key ring in {folder} already", where=str(folder))
        master = _read_credential()
        if master is None and (folder / MASTER_FILE).exists():
            master = _read_master(folder / MASTER_FILE)
        if master is None:
            master = secrets.token_bytes(KEY_BYTES)
            write_durably(folder / MASTER_FILE, _master_text(master))
        ring = cls(folder, master, {})
        for name in (_INDEX, _AUDIT, _CONTROL):
            ring._wrap_new(name)
        ring._save()
        return ring

    @classmethod
    def open(cls, folder: Path) -> KeyRing:
        """
        Open the ring in *folder*.

        Raises:
            Sealed: no ring, no master key, the wrong master key, or rights that are too wide.
        """
        path = folder / RING_FILE
        try:
            document: dict[str, Any] = json.loads(path.read_bytes())
            wrapped = dict(document["keys"])
            check = str(document["check"])
            destroyed = list(document.get("destroyed", ()))
        except FileNotFoundError:
            raise Sealed(
                "the key ring is missing",
                where=str(path),
                fix="bring the keys folder back from a backup; without it the data stays sealed",
            ) from None
        except (ValueError, KeyError, TypeError):
            raise Sealed(
                "the key ring cannot be read", where=str(path), fix="bring it back from a backup"
            ) from None
        _refuse_wide_rights(path)
        return cls(folder, _find_master(folder, check), wrapped, destroyed)

    @staticmethod
    def exists(folder: Path) -> bool:
        """Return whether *folder* holds a ring."""
        return (folder / RING_FILE).exists()

    # -- what the store asks -------------------------------------------------------------------

    def sealer(self, day: str, purpose: str) -> Sealer:
        """
        Return the sealer of a day's bodies or evidence.

        Raises:
            Sealed: the key was dropped or never made.
        """
        return self._sealer(f"day/{day}/{purpose}")

    def make_day(self, day: str) -> None:
        """Make the data keys of *day* unless they are there; durable on return."""
        with self._lock:
            names = [f"day/{day}/{purpose}" for purpose in (BODIES, EVIDENCE)]
            missing = [name for name in names if name not in self._wrapped]
            for name in missing:
                self._wrap_new(name)
            if missing:
                self._save()

    def has_day(self, day: str, purpose: str) -> bool:
        """Return whether the key is still there."""
        return f"day/{day}/{purpose}" in self._wrapped

    def days(self) -> frozenset[str]:
        """Return the days that have keys of any purpose."""
        with self._lock:
            names = [name.split("/") for name in self._wrapped]
        return frozenset(parts[1] for parts in names if parts[0] == "day")

    def drop_day(self, day: str, purpose: str) -> None:
        """Destroy a day's key; durable on return."""
        with self._lock:
            name = f"day/{day}/{purpose}"
            self._sealers.pop(name, None)
            if self._wrapped.pop(name, None) is not None:
                self._save()

    @cached_property
    def control(self) -> Sealer:
        """What seals values outside the day files."""
        return self._sealer(_CONTROL)

    @cached_property
    def hashes(self) -> KeyedHash:
        """Keyed hashes for terms, order keys and duplicates."""
        return KeyedHash(self._unwrap(_INDEX))

    @cached_property
    def audit_key(self) -> bytes:
        """The key of the audit chain."""
        return self._unwrap(_AUDIT)

    @property
    def folder(self) -> Path:
        """Where the ring lies."""
        return self._folder

    # -- named keys ----------------------------------------------------------------------------

    def named_key(self, name: str) -> bytes:
        """
        Return the 32 bytes of a named key (a profile's `key:`), made at its first use.

        It never changes afterwards: pseudonyms stay stable until the key is dropped.

        Raises:
            Sealed: it was dropped; a new key under its name would look like the old one.
        """
        with self._lock:
            if name in self._destroyed:
                raise Sealed(
                    f"the key {name} was destroyed", fix="name another key; it will be made"
                )
            if f"named/{name}" not in self._wrapped:
                self._wrap_new(f"named/{name}")
                self._save()
            return self._unwrap(f"named/{name}")

    def named_keys(self) -> tuple[str, ...]:
        """Return the names in use."""
        return tuple(
            sorted(name.removeprefix("named/") for name in self._wrapped if name[:6] == "named/")
        )

    def drop_named_key(self, name: str) -> None:
        """Destroy a named key: what was derived from it can never be linked again."""
        with self._lock:
            if self._wrapped.pop(f"named/{name}", None) is None:
                raise Sealed(f"there is no key named {name}")
            self._destroyed.add(name)
            self._save()

    def order_key(self, outbound: str, text: str) -> bytes:
        """Return an order key as 8 bytes."""
        return self.hashes.order_key(outbound, text)

    def rotate_master(self) -> None:
        """
        Wrap everything under a new master key; the data itself is not touched.

        A crash at any point leaves a folder that opens: the ring says which master it needs.
        """
        with self._lock:
            keys = {name: self._unwrap(name) for name in self._wrapped}
            master = secrets.token_bytes(KEY_BYTES)
            write_durably(self._folder / _NEXT_MASTER_FILE, _master_text(master))
            self._master = master
            self._wrapped = {name: self._wrap(name, key) for name, key in keys.items()}
            self._save()
            os.replace(self._folder / _NEXT_MASTER_FILE, self._folder / MASTER_FILE)
            sync_folder(self._folder)

    def copy_to(self, folder: Path, *, with_master: bool) -> None:
        """Write a copy of the ring, and of the master key that opens it, into *folder*."""
        with self._lock:
            ring, master = (self._folder / RING_FILE).read_bytes(), self._master
        write_durably(folder / RING_FILE, ring)
        if with_master:
            write_durably(folder / MASTER_FILE, _master_text(master))

    # -- inside --------------------------------------------------------------------------------

    def _sealer(self, name: str) -> Sealer:
        sealer = self._sealers.get(name)
        if sealer is None:
            sealer = self._sealers[name] = Sealer(self._unwrap(name), name)
        return sealer

    def _wrap_new(self, name: str) -> None:
        self._wrapped[name] = self._wrap(name, secrets.token_bytes(KEY_BYTES))

    def _wrap(self, name: str, key: bytes) -> str:
        sealed = Sealer(self._master, "master").seal(key, f"v1|ring|{name}".encode())
        return base64.b64encode(sealed).decode()

    def _unwrap(self, name: str) -> bytes:
        wrapped = self._wrapped.get(name)
        if wrapped is None:
            raise Sealed(f"the key {name} is not in the key ring: it was dropped or never made")
        return Sealer(self._master, "master").open(
            base64.b64decode(wrapped), f"v1|ring|{name}".encode()
        )

    def _save(self) -> None:
        document = {
            "version": 1,
            "check": _check_value(self._master),
            "keys": self._wrapped,
            "destroyed": sorted(self._destroyed),
        }
        write_durably(self._folder / RING_FILE, json.dumps(document, indent=0).encode())


def sync_folder(folder: Path) -> None:
    """Make a rename or a new name in *folder* durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _find_master(folder: Path, check: str) -> bytes:
    """Return the master key whose check value the ring names."""
    candidates = [folder / MASTER_FILE, folder / _NEXT_MASTER_FILE]
    keys = [key for key in [_read_credential()] if key is not None]
    keys += [_read_master(path) for path in candidates if path.exists()]
    if not keys:
        raise Sealed(
            "the master key is missing",
            where=str(folder / MASTER_FILE),
            fix="bring it back from where its copy is kept; without it the data stays sealed",
        )
    for key in keys:
        if hmac.compare_digest(_check_value(key), check):
            return key
    raise Sealed(
        "this is not the master key the data was sealed with",
        where=str(folder / MASTER_FILE),
        fix="bring back the right one; nothing was changed",
    )


def _read_credential() -> bytes | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL_NAME if folder else None
    return _read_master(path) if path is not None and path.exists() else None


def _read_master(path: Path) -> bytes:
    _refuse_wide_rights(path)
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except (UnicodeDecodeError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise Sealed("a master key is 64 hexadecimal digits", where=str(path))
    return key


def _refuse_wide_rights(path: Path) -> None:
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Sealed(
            "a key file can be read by others", where=str(path), fix=f"chmod 600 {path.name}"
        )


def _master_text(master: bytes) -> bytes:
    return master.hex().encode() + b"\n"


def _check_value(master: bytes) -> str:
    return hmac.digest(master, b"medbus key check value", "sha256")[:8].hex()


def write_durably(path: Path, content: bytes) -> None:
    """Write beside, fsync, rename, fsync the folder; 0600 from the first byte on."""
    beside = path.with_name(path.name + ".writing")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(beside, path)
    sync_folder(path.parent)
