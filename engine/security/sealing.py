"""
Sealing: AES-256-GCM over everything that can carry patient data.

Rules of this file: the additional data says where a value belongs, so that a sealed value moved
to another row, column or day does not open; errors never quote what was sealed.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from engine.model.errors import Sealed

KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
#: first byte of a sealed value: how it was sealed
_AES_256_GCM = b"\x01"
_POOLED_NONCES = 512


class Sealer:
    """
    Seals and opens values under one data key.

    One instance belongs to one thread at a time for sealing; opening is free for all.

    Args:
        key: 32 bytes.
        key_id: is part of the additional data of every value.
    """

    def __init__(self, key: bytes, key_id: str) -> None:
        self.key_id = key_id
        self._cipher = AESGCM(key)
        self._suffix = b"|" + key_id.encode()
        self._nonces = b""
        self._next_nonce = 0

    def seal(self, plain: bytes, place: bytes) -> bytes:
        """Return *plain* sealed for *place* (table|row|column)."""
        start = self._next_nonce
        if start >= len(self._nonces):
            # One call for many: a fresh random nonce per value without a system call per value.
            self._nonces = os.urandom(_NONCE_BYTES * _POOLED_NONCES)
            start = 0
        end = self._next_nonce = start + _NONCE_BYTES
        nonce = self._nonces[start:end]
        return _AES_256_GCM + nonce + self._cipher.encrypt(nonce, plain, place + self._suffix)

    def open(self, sealed: bytes, place: bytes) -> bytes:
        """
        Return what was sealed for *place*.

        Raises:
            Sealed: another key, another place, or changed bytes.
        """
        if len(sealed) < 1 + _NONCE_BYTES + _TAG_BYTES or sealed[:1] != _AES_256_GCM:
            raise Sealed("a sealed value is cut short or of an unknown kind")
        try:
            return self._cipher.decrypt(
                sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :], place + self._suffix
            )
        except InvalidTag:
            raise Sealed() from None
