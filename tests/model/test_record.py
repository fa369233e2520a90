"""Tests of the records' decorator."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import pytest

from engine.model.record import record


@record(frozen=True, slots=True)
class Quick:
    """A record."""

    name: str
    count: int = 0


@dataclass(frozen=True, slots=True)
class Frozen:
    """The same as a frozen dataclass."""

    name: str
    count: int = 0


def test_a_record_is_what_a_frozen_dataclass_is() -> None:
    """Records are compared, hashed, copied and listed as frozen dataclasses are."""
    assert Quick("a") == Quick("a", 0) != Quick("a", 1)
    assert len({Quick("a"), Quick("a"), Quick("b")}) == 2
    assert replace(Quick("a"), count=2) == Quick("a", 2)
    assert [field.name for field in fields(Quick)] == [field.name for field in fields(Frozen)]
    assert repr(Quick("a")).removeprefix("Quick") == repr(Frozen("a")).removeprefix("Frozen")


def test_a_record_takes_no_other_fields() -> None:
    """A field that does not exist cannot be set by mistake."""
    with pytest.raises(AttributeError):
        setattr(Quick("a"), "colour", "red")  # noqa: B010  the checker knows better
