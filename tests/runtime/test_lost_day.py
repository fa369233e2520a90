"""The file of today vanishes while the engine is stopped."""

from __future__ import annotations

from tests.runtime.running import Site, adt


def test_a_lost_day_is_seen_by_senders_and_operators(site: Site) -> None:
    """If this failed, acknowledged messages could be gone and everything would look well."""
    site.start()
    assert site.send(adt("C1", "7")) == ["AA"]
    site.wait(lambda: len(site.receiver.got) == 1)
    assert site.stop() == 0
    # The last one is tomorrow's, made ahead.
    today = sorted((site.folder / "data" / "messages").glob("*.db"))[-2]
    today.unlink()
    site.start()
    assert site.send(adt("C2", "7")) == ["AE"]
    status = site.status()
    assert "STO-015" in {alarm["code"] for alarm in status["alarms"]}
    [row] = status["ledger"]
    assert (row["inbound"], row["stored"]) == ("every channel", 0)
    assert "missing" in row["difference"]
    assert not today.exists()
    lost = f"{row['day']}-1"
    for words in (("why", "--to", "lis"), ("requeue", "--dry-run"), ("show",)):
        code, _, err = site.run(words[0], lost, *words[1:])
        assert (code, f"the file of {row['day']} is missing" in err) == (1, True), words
    # Given up: an empty file of its name.
    assert site.stop() == 0
    today.touch(0o600)
    site.start()
    assert site.send(adt("C2", "7")) == ["AA"]
    site.wait(lambda: site.receiver.ids() == ["C1", "C2"])
    assert "STO-015" not in {alarm["code"] for alarm in site.status()["alarms"]}
