"""
The vault: from a pseudonym back to the number it stands for, for those entitled to it.

Optional (`vault: true` in a profile). Without a vault a pseudonym leads nowhere. De-identification
itself only says which pseudonyms it made (``Deidentified.links``); keeping them is the store's
matter (engine/store/vault.py). Destroying the vault and the profile's key ends re-linking for good.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from engine.model.records import LinkedNumber


class LookUp(NamedTuple):
    """Who asked for what, and why; kept whether or not there was an answer."""

    by: str
    purpose: str
    at: float
    key_name: str
    pseudonym: str


class Original(NamedTuple):
    """What a pseudonym stands for; patient data, never log it."""

    key_name: str
    #: type and authority, between them a unit separator
    domain: str
    text: str


class Vault(Protocol):
    """Keeps links; every look-up names a purpose and is recorded before it is answered."""

    def keep(self, links: Iterable[LinkedNumber]) -> None:
        """Keep new links; one that is there already stays as it is."""
        ...

    def find_original(self, asked: LookUp) -> Original | None:
        """Return what the pseudonym stands for, None when it is not known."""
        ...

    def counts(self) -> dict[str, int]:
        """Return how many links there are by key name."""
        ...

    def destroy(self, key_name: str) -> int:
        """Forget every link made with a key; returns how many."""
        ...

    def close(self) -> None:
        """Let go of what it lies in."""
        ...
