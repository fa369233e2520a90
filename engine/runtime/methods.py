"""The record of method: which de-identification profile ran in which version under which key."""

from __future__ import annotations

from collections.abc import Iterator

from engine.runtime.configuration import Configuration
from engine.store.interface import AuditRecord


def method_records(configuration: Configuration, *, at: float, user: str) -> Iterator[AuditRecord]:
    """Yield an audit record for every profile that a route of *configuration* uses."""
    used = configuration.compiled.used.get("profiles", frozenset())
    for name, profile in configuration.compiled.profiles.items():
        if name not in used or not hasattr(profile, "record"):
            continue
        record = profile.record
        yield AuditRecord(
            seq=0,
            at=at,
            actor=user,
            action="deid_method",
            target=record.profile,
            detail={
                "version": record.version,
                "key": record.key_name,
                "key_id": record.key_id,
                "snapshot": configuration.snapshot_id,
            },
        )
