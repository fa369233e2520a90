"""
Pseudonyms: keyed, stable, apart per identifier type and assigning authority.

HMAC and not a plain hash: the citizen numbers of a country can be hashed in an afternoon.
The domain is (type, authority): the same number of the same authority gives the same pseudonym
in PID-3, PID-18, PV1-19 and MRG, so that a merge still merges; a number of another type does not.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata

#: 16 characters of base32 are 80 bits: at 10^8 numbers two collide with chance 4e-9
LENGTH = 16
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#: base32 two letters at a time
_PAIRS = [first + second for first in _LETTERS for second in _LETTERS]
_SHIFTS = range(70, -1, -10)


class Pseudonymiser:
    """Makes the pseudonyms of one named key."""

    __slots__ = ("_inner", "_outer", "key_id")

    def __init__(self, key: bytes) -> None:
        # HMAC (RFC 2104) with the key's two blocks hashed once: half the time per pseudonym.
        block = (hashlib.sha256(key).digest() if len(key) > 64 else key).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
        #: tells keys apart in records without telling anything of the key
        self.key_id = hmac.digest(key, b"medbus deid key id", "sha256").hex()[:8]

    def digest(self, domain: str, value: str) -> bytes:
        """Return 32 keyed bytes for *value* in *domain*; both are compared after NFKC."""
        text = value if value.isascii() else unicodedata.normalize("NFKC", value)
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(f"{domain}\x1f{text}".encode("utf-8", "surrogateescape"))
        outer.update(inner.digest())
        return outer.digest()

    def pseudonym(self, domain: str, value: str) -> str:
        """Return the pseudonym: 16 characters A-Z and 2-7."""
        bits = int.from_bytes(self.digest(domain, value)[:10], "big")
        return "".join([_PAIRS[bits >> shift & 1023] for shift in _SHIFTS])

    def number(self, domain: str, value: str) -> int:
        """Return a keyed number of 64 bits, to choose from lists with."""
        return int.from_bytes(self.digest(domain, value)[:8], "big")

    def uid(self, value: str) -> str:
        """Return a DICOM UID made of 122 keyed bits under 2.25."""
        return f"2.25.{int.from_bytes(self.digest('uid', value)[:16], 'big') >> 6}"

    def same_shape(self, domain: str, value: str) -> str:
        """Return a text of the same shape: digits stay digits, letters letters of their case."""
        stream = self.digest(domain, value)
        while len(stream) < len(value):
            stream += self.digest(domain, stream.hex())
        return "".join(_like(c, b) for c, b in zip(value, stream, strict=False))

    def shift_days(self, patient: str) -> int:
        """Return the patient's offset: -365 to -1 whole days, never 0, never into the future."""
        return -1 - self.number("shift", patient) % 365


def domain_of(type_code: str, authority: str) -> str:
    """Return the domain of an identifier from its type (CX.5) and authority (CX.4.1)."""
    return f"{type_code.strip().upper()}\x1f{authority.strip().upper()}"


def _like(character: str, byte: int) -> str:
    if character.isdigit():
        return chr(48 + byte % 10)
    if character.isascii() and character.isalpha():
        return chr((97 if character.islower() else 65) + byte % 26)
    if character.isalpha():
        return chr(65 + byte % 26)
    return character
