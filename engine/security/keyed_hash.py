"""
Keyed hashes: equal things can be found and ordered without being stored.

Eight bytes, BLAKE2b under a secret key; every use has its own domain, so that a patient id as a
search term and the same text as an order key give unrelated values.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from hashlib import blake2b

HASH_BYTES = 8


class KeyedHash:
    """Hashes texts under one key."""

    def __init__(self, key: bytes) -> None:
        self._base = blake2b(key=key, digest_size=HASH_BYTES)
        self._domain = lru_cache(maxsize=1024)(self._new_domain)
        #: the domains of terms by their kind; there is a handful
        self._kinds: dict[str, blake2b] = {}

    def order_key(self, outbound: str, text: str) -> bytes:
        """
        Return the order key *text* as 8 bytes.

        The same for every *outbound*, so that a renamed channel keeps its order.
        """
        return self._hash("order", text.encode("utf-8", "surrogatepass"))

    def term(self, kind: str, value: str) -> bytes:
        """Return a search term as 8 bytes; case, width and outer blanks do not count."""
        state = (self._kinds.get(kind) or self._new_kind(kind)).copy()
        state.update(fold(value).encode("utf-8", "surrogatepass"))
        return state.digest()

    def identity(self, inbound: str, sender: tuple[str, str], control_id: str) -> bytes:
        """Return what makes two arrivals the same message, apart from their bytes."""
        text = f"{sender[0]}\0{sender[1]}\0{control_id}"
        return self._hash(f"identity\0{inbound}", text.encode("utf-8", "surrogatepass"))

    def content(self, sha256: bytes) -> bytes:
        """Return a fingerprint of bytes that cannot be tried out without the key."""
        return self._hash("content", sha256)

    def _hash(self, domain: str, value: bytes) -> bytes:
        state = self._domain(domain).copy()
        state.update(value)
        return state.digest()

    def _new_kind(self, kind: str) -> blake2b:
        self._kinds[kind] = state = self._new_domain(f"term\0{kind}")
        return state

    def _new_domain(self, domain: str) -> blake2b:
        state = self._base.copy()
        name = domain.encode("utf-8", "surrogatepass")
        state.update(len(name).to_bytes(4, "big") + name)
        return state


def fold(value: str) -> str:
    """Return *value* as it is compared in searches."""
    value = value.strip()
    if not value.isascii():
        value = unicodedata.normalize("NFKC", value)
    return value.casefold()
