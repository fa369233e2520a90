"""The catalogue is whole, agrees with the standard's definitions, and every row of it matters."""

from __future__ import annotations

import random
from collections.abc import Mapping
from types import MappingProxyType

import pytest

from engine.deid import catalogue as catalogue_module
from engine.deid import explain, plan, templates
from engine.deid.catalogue import KINDS, Row, catalogue
from engine.deid.collect import collector
from engine.deid.rules import built_in
from engine.hl7.definitions import definitions
from tests.deid.canaries import HARMLESS, HEADER, PROFILES, Planter, compiled_anew, run, segment

VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.2")


def _defined() -> dict[tuple[str, int], set[str]]:
    """Return (segment, field) -> datatypes over all versions, of the catalogue's segments."""
    segments = {row.segment for row in catalogue().values()}
    found: dict[tuple[str, int], set[str]] = {}
    for version in VERSIONS:
        known = definitions(version)
        for name in segments:
            number = 1
            while (defined := known.field(name, number)) is not None or number < 3:
                if defined is not None:
                    found.setdefault((name, number), set()).add(defined.datatype)
                number += 1
    return found


def test_every_field_the_standard_defines_has_a_row_and_every_row_is_defined() -> None:
    """No field of a catalogued segment is missing in any version, and no row is invented."""
    defined = _defined()
    assert sorted(set(defined) - set(catalogue())) == []
    assert sorted(set(catalogue()) - set(defined)) == []


def test_the_datatype_of_every_row_is_one_the_standard_gives_it() -> None:
    """A row's datatype is that of some version: actions are chosen by it."""
    defined = _defined()
    wrong = [
        f"{row.segment}-{row.field} {row.datatype}"
        for place, row in catalogue().items()
        if row.datatype not in defined[place]
    ]
    assert wrong == []


def test_every_row_has_a_known_kind_a_name_and_a_reason() -> None:
    """Every row says what the field is and why it is treated so."""
    for row in catalogue().values():
        assert row.kind in KINDS, row
        assert row.name, row
        assert len(row.reason) > 8, row


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_decides_every_kind(name: str) -> None:
    """No kind is left to chance in any built-in profile."""
    decided = set(built_in(name).kinds) | {"message_time", "value"}
    assert decided == set(KINDS)


# -- every row matters ------------------------------------------------------------------------


def _without(place: tuple[str, int]) -> Mapping[tuple[str, int], Row]:
    rows = dict(catalogue_module.catalogue())
    del rows[place]
    return MappingProxyType(rows)


def _complaint(row: Row) -> str:
    """Return what is wrong with what becomes of the row's field, "" when it is as promised."""
    compiled = compiled_anew("limited_dataset")
    lines = [line for line in compiled.explain(row.segment) if line.field == row.field]
    if not lines or lines[0].kind != row.kind:
        return "the explanation does not know the field"
    if row.segment == "MSH":
        return ""
    if collector(row.kind, row.datatype) and row.datatype not in ("TS", "DTM", "DT"):
        planter = Planter()
        value = planter.value(row.datatype)
        note = "NTE|1||" + " ".join(planter.planted)
        text = "\n".join([HEADER.format("M1"), segment(row.segment, {row.field: value}), note, ""])
        message, _, _ = run(compiled, text)
        output = message.encode().decode()
        left = [canary for canary in planter.planted if canary in output]
        return f"{len(left)} identifiers are left in the note" if left else ""
    kept = row.kind in ("code", "number", "organisation", "demographic", "date", "text")
    harmless = HARMLESS.get(row.datatype)
    if kept and harmless:
        text = "\n".join([HEADER.format("M1"), segment(row.segment, {row.field: harmless}), ""])
        message, _, _ = run(compiled, text)
        is_there = message.raw_text(f"{row.segment}-{row.field}") == harmless
        return "" if is_there else "what should stay is gone"
    return ""


@pytest.fixture
def mutated(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Return a function that takes one row out of the catalogue, for this test."""

    def remove(place: tuple[str, int]) -> None:
        rows = _without(place)
        for module in (plan, explain, templates):
            monkeypatch.setattr(module, "catalogue", lambda: rows)

    return remove


def _check_mutations(rows: list[Row], remove) -> list[str]:  # type: ignore[no-untyped-def]
    """Return the rows whose loss nobody would notice."""
    unnoticed = []
    for row in rows:
        remove((row.segment, row.field))
        if not _complaint(row):
            unnoticed.append(f"{row.segment}-{row.field}")
    return unnoticed


def test_the_whole_catalogue_keeps_its_promises() -> None:
    """Each row does what it says: the mutation run below starts from no complaint."""
    sample = random.Random(5).sample(sorted(catalogue().values()), 150)
    assert [(row.segment, row.field, said) for row in sample if (said := _complaint(row))] == []


def test_the_loss_of_a_row_is_noticed_in_a_sample(mutated) -> None:  # type: ignore[no-untyped-def]
    """Deleting a row of the catalogue makes a check fail: 200 rows, drawn with a fixed seed."""
    sample = random.Random(7).sample(sorted(catalogue().values()), 200)
    assert _check_mutations(sample, mutated) == []


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_the_loss_of_any_row_is_noticed(mutated) -> None:  # type: ignore[no-untyped-def]
    """Deleting any one row of the catalogue makes a check fail."""
    rows = sorted(catalogue().values())
    assert [row for row in rows if _complaint(row)] == []
    assert _check_mutations(rows, mutated) == []
