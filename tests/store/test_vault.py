"""The vault: back from a pseudonym, on record, with a purpose, until it is destroyed."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.deid.vault import LookUp
from engine.model.errors import MedbusError, Usage
from engine.model.records import LinkedNumber
from engine.store.settings import StoreSettings
from engine.store.sqlite import open_writer
from engine.store.sqlite_store import SqliteStore
from engine.store.vault import SqliteVault
from tests.deid.canaries import HEADER, profile, run
from tests.store.builders import DAY, accept, arrival, delivery

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
    assert vault.find_original(ASKED).text == "8800123"
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
    assert vault.find_original(ASKED._replace(key_name="other")).text == "8800123"


def test_a_profile_s_pseudonyms_lead_back_through_the_vault(vault: SqliteVault) -> None:
    """What a profile made of a record number is found in the vault by the receiver's pseudonym."""
    text = HEADER.format("M1") + "\nPID|1||8800123^^^HOSP^MR\n"
    message, done, _ = run(profile("china_pipl"), text)
    vault.keep(done.links())
    asked = ASKED._replace(key_name=done.record.key_name, pseudonym=message.get("PID-3.1"))
    assert vault.find_original(asked).text == "8800123"


def test_a_day_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    """A file without the column gets it, and its messages stay readable."""
    store = SqliteStore(tmp_path)
    accept(store, arrival(1, delivery(1)))
    store.close()
    older = open_writer(tmp_path / "messages" / f"{DAY[:4]}-{DAY[4:6]}-{DAY[6:]}.db")
    older.execute("ALTER TABLE deliveries DROP COLUMN method")
    older.execute("DELETE FROM migrations WHERE name = '002 method'")
    older.close()
    store = SqliteStore(tmp_path)
    assert store.get_message(f"{DAY}-1").deliveries[0].method == ""
    accept(store, arrival(2, delivery(1, method="own 1f2e 3d4c")))
    assert store.get_message(f"{DAY}-2").deliveries[0].method == "own 1f2e 3d4c"
    store.close()


def test_a_crash_between_vault_and_commit_leaves_no_delivery_without_its_link(
    tmp_path: Path,
) -> None:
    """The vault is written first: what the store then loses was never acknowledged."""
    seen: list[str] = []

    def fail(where: str) -> None:
        if where.startswith("commit"):
            seen.append(where)
            raise OSError("cut off")

    store = SqliteStore(tmp_path, settings=StoreSettings(failpoint=fail))
    [answer] = store.commit([arrival(1, delivery(1, links=(LINK,)))])
    assert isinstance(answer, MedbusError)
    assert seen
    assert store.vault is not None
    assert store.vault.counts() == {"research": 1}
    store.close()
