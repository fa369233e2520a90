"""The record of method: by which profile, version and key an output was de-identified."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from engine.deid.catalogue import catalogue
from engine.deid.rules import Layer


@dataclass(frozen=True, slots=True)
class MethodRecord:
    """Goes into the audit trail, and into a Z-segment where the profile asks for one."""

    profile: str
    #: changes with any rule of the profile, of what it extends, and with the catalogue
    version: str
    #: tells keys apart; says nothing of the key
    key_id: str
    key_name: str = ""

    def __str__(self) -> str:
        """Return what the store keeps with the output."""
        return f"{self.profile} {self.version} {self.key_id}"

    def fields(self) -> dict[int, str]:
        """Return the fields of the Z-segment."""
        return {1: self.profile, 2: self.version, 3: self.key_id, 4: "medbus"}


def version_of(layers: Sequence[Layer]) -> str:
    """Return 12 hexadecimal digits over all rules and the catalogue."""
    digest = hashlib.sha256()
    for layer in layers:
        parts = [
            layer.name,
            sorted(layer.kinds.items()),
            sorted(layer.fields.items()),
            sorted(layer.drop),
            layer.unknown,
            sorted(layer.free_text),
            layer.allow_words,
            layer.record,
            sorted(layer.observations.items()),
            sorted(layer.keep),
        ]
        digest.update(repr(parts).encode())
    for row in catalogue().values():
        digest.update(f"{row.segment}-{row.field} {row.datatype} {row.kind}\n".encode())
    return digest.hexdigest()[:12]
