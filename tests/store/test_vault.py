"""The vault: back from a pseudonym, on record, with a purpose, until it is destroyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.deid.vault import LinkedNumber, LookUp
from engine.model.errors import Usage
from engine.store.vault import SqliteVault
from tests.deid.canaries import HEADER, profile, run

ASKED = LookUp("dr.li", "recall of a contaminated lot", 1_793_500_200.0, "research", "ABCDEFGH")
LINK = LinkedNumber("research", "b9cdf253", "MR\x1fHOSP", "ABCDEFGH", "8800123")


@pytest.fixture
def told() -> list[tuple[LookUp, bool]]:
    """What the site's audit heard."""
    return []


@pytest.fixture
def vault(tmp_path: Path, told: list[tuple[LookUp, bool]]):  # type: ignore[no-untyped-def]
    """An empty vault."""
    made = SqliteVault(tmp_path / "vault", audit=lambda asked, found: told.append((asked, found)))
    yield made
    made.close()


def test_a_look_up_is_answered_and_on_record(vault: SqliteVault, told: list[object]) -> None:
    """A kept link is found again; who asked and why is written down and told to the audit."""
    vault.keep([LINK, LINK])
    assert vault.find_original(ASKED) == "8800123"
    assert vault.find_original(ASKED._replace(pseudonym="UNKNOWN")) is None
    assert [row[:2] + row[4:] for row in vault.look_ups()] == [
        ("dr.li", "recall of a contaminated lot", True),
        ("dr.li", "recall of a contaminated lot", False),
    ]
    assert told == [(ASKED, True), (ASKED._replace(pseudonym="UNKNOWN"), False)]


@pytest.mark.parametrize("asked", [ASKED._replace(purpose=" "), ASKED._replace(by="")])
def test_nobody_looks_without_a_name_and_a_purpose(vault: SqliteVault, asked: LookUp) -> None:
    """A look-up without purpose gives nothing."""
    vault.keep([LINK])
    with pytest.raises(Usage):
        vault.find_original(asked)
    assert vault.look_ups() == []


def test_there_is_no_answer_when_the_audit_fails(tmp_path: Path) -> None:
    """When the look-up cannot be recorded, the number is not given out."""

    def refuse(asked: LookUp, found: bool) -> None:
        raise OSError("no room")

    made = SqliteVault(tmp_path / "v", audit=refuse)
    made.keep([LINK])
    with pytest.raises(OSError, match="no room"):
        made.find_original(ASKED)
    made.close()


def test_the_file_tells_nothing_without_its_key(vault: SqliteVault, tmp_path: Path) -> None:
    """Neither number nor pseudonym stands readable in the file or its journal."""
    vault.keep([LINK])
    vault.find_original(ASKED)
    folder = tmp_path / "vault"
    whole = b"".join(file.read_bytes() for file in folder.glob("vault.db*"))
    assert b"research" in whole
    assert b"8800123" not in whole
    assert b"ABCDEFGH" not in whole
    assert (folder / "vault.db").stat().st_mode & 0o077 == 0


def test_destroying_ends_re_linking(vault: SqliteVault) -> None:
    """After destroy there is no way back, not even for the same pseudonym kept again under it."""
    vault.keep([LINK, LINK._replace(key_name="other")])
    assert vault.destroy("research") == 1
    assert vault.find_original(ASKED) is None
    assert vault.find_original(ASKED._replace(key_name="other")) == "8800123"


def test_a_profile_s_pseudonyms_lead_back_through_the_vault(vault: SqliteVault) -> None:
    """What a profile made of a record number is found in the vault by the receiver's pseudonym."""
    text = HEADER.format("M1") + "\nPID|1||8800123^^^HOSP^MR\n"
    message, done, _ = run(profile("china_pipl"), text)
    vault.keep(done.links())
    asked = ASKED._replace(key_name=done.record.key_name, pseudonym=message.get("PID-3.1"))
    assert vault.find_original(asked) == "8800123"
