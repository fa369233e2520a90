"""The way back from a pseudonym on a real engine: vault, roles, look-ups, destroying a key."""

from __future__ import annotations

import getpass
import json

import pytest

from tests.runtime.running import SITE, Site, adt

CHANNELS = """
inbound:
  his:
    mllp: {listen: "127.0.0.1:0"}
outbound:
  study:
    mllp: {connect: "127.0.0.1:LIS_PORT", timeout: 60s}
routes:
  to_study:
    from: his
    steps: [{deidentify: own}]
    to: study
"""
PROFILE = "extends: limited_dataset\nkey: study_1\n"
PURPOSE = "incidental finding"


def _begin(site: Site, *, vault: bool = True, roles: str = "") -> None:
    site.write("medbus.yaml", SITE + roles)
    site.write("transforms/deid/own.yaml", PROFILE + ("vault: true\n" if vault else ""))
    site.write_channels(CHANNELS)
    site.start()


def _may(user: str) -> str:
    return f"roles: {{relinker: [{user}]}}\n"


def _pseudonym(site: Site) -> str:
    """Return the record number that the receiver has."""
    site.wait(lambda: site.receiver.got)
    return site.receiver.got[-1].split(b"\rPID|")[1].split(b"|")[2].split(b"^")[0].decode()


def _audited(site: Site, verb: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = site.json("audit", "list", "--verb", verb)["items"]
    return found


def test_a_pseudonym_leads_back_for_those_named(site: Site) -> None:
    """A user of the role gets the number, with a record that names the purpose."""
    _begin(site, roles=_may(getpass.getuser()))
    assert site.send(adt("M1", "8800123")) == ["AA"]
    pseudonym = _pseudonym(site)
    code, out, err = site.run("relink", pseudonym, "--purpose", PURPOSE)
    assert code == 0, err
    assert "8800123" in out
    assert "study_1" in out
    [record] = _audited(site, "relink")
    assert (record["subject"], record["reason"]) == (pseudonym, PURPOSE)
    code, out, _ = site.run("relink", "NOBODYKNOWSTHIS2", "--purpose", PURPOSE)
    assert code == 1
    assert "(not known)" in out
    assert "8800123" not in json.dumps(site.json("audit", "list"))
    # The same answer from the data folder of a stopped engine.
    assert site.stop() == 0
    assert site.json("relink", pseudonym, "--purpose", PURPOSE)["items"][0]["original"] == "8800123"


@pytest.mark.parametrize("roles", ["", _may("somebody_else")])
def test_nobody_else_may_ask(site: Site, roles: str) -> None:
    """Who is not named gets nothing, and the attempt is on record."""
    _begin(site, roles=roles)
    site.send(adt("M1", "8800123"))
    pseudonym = _pseudonym(site)
    code, out, err = site.run("relink", pseudonym, "--purpose", PURPOSE)
    assert code == 1
    assert "RUN-009" in err
    assert "8800123" not in out + err
    assert [row["reason"] for row in _audited(site, "relink_refused")] == [PURPOSE]
    assert _audited(site, "relink") == []


def test_a_look_up_wants_a_purpose(site: Site) -> None:
    """Without --purpose, or with an empty one, there is no look-up."""
    _begin(site, roles=_may(getpass.getuser()))
    site.send(adt("M1", "8800123"))
    pseudonym = _pseudonym(site)
    assert site.run("relink", pseudonym)[0] == 2
    code, out, _ = site.run("relink", pseudonym, "--purpose", "  ")
    assert code != 0
    assert "8800123" not in out
    assert _audited(site, "relink") == []


def test_without_a_vault_a_pseudonym_leads_nowhere(site: Site) -> None:
    """A profile that keeps no vault leaves none behind."""
    _begin(site, vault=False, roles=_may(getpass.getuser()))
    site.send(adt("M1", "8800123"))
    code, _, err = site.run("relink", _pseudonym(site), "--purpose", PURPOSE)
    assert code == 1
    assert "there is no vault" in err
    assert not (site.folder / "data/vault").exists()


def test_links_survive_a_kill_and_a_rerun_is_kept_too(site: Site) -> None:
    """What was acknowledged leads back after kill -9; so does what a requeue makes anew."""
    _begin(site, roles=_may(getpass.getuser()))
    site.send(adt("M1", "8800123"))
    pseudonym = _pseudonym(site)
    site.stop(9)
    assert site.json("relink", pseudonym, "--purpose", PURPOSE)["items"][0]["original"] == "8800123"
    # A profile that lets an unknown segment through parks; fixed, the requeue makes pseudonyms.
    site.write("transforms/deid/own.yaml", PROFILE + "segments: {unknown: keep}\n")
    site.start()
    site.send(adt("M2", "8800777", more="ZPI|1|CANARYNAME\r"))
    site.wait(lambda: site.outbound("study")["parked"] == 1)
    site.write("transforms/deid/own.yaml", PROFILE + "vault: true\n")
    assert site.run("reload")[0] == 0
    before = len(site.receiver.got)
    words = ("requeue", "--outbound", "study", "--state", "parked", "--reason", "fixed")
    assert site.run(*words, "--yes", "1")[0] == 0
    site.wait(lambda: len(site.receiver.got) > before)
    assert b"CANARYNAME" not in site.receiver.got[-1]
    found = site.json("relink", _pseudonym(site), "--purpose", PURPOSE)["items"]
    assert found[0]["original"] == "8800777"


def test_destroying_the_key_ends_it(site: Site) -> None:
    """A key in use stays; counted, asked for and audited it goes, and nothing leads back."""
    _begin(site, roles=_may(getpass.getuser()))
    site.send(adt("M1", "8800123"), adt("M2", "8800124"))
    site.wait(lambda: len(site.receiver.got) == 2)
    pseudonym = _pseudonym(site)
    code, _, err = site.run("keys", "destroy", "study_1", "--reason", "study ended", "--yes", "1")
    assert code == 1
    assert "in use by the profile own" in err
    site.write("transforms/deid/own.yaml", PROFILE.replace("study_1", "study_2"))
    assert site.run("reload")[0] == 0
    count = site.json("keys", "destroy", "study_1", "--dry-run")["links"]
    assert count >= 2
    destroy = ("keys", "destroy", "study_1", "--reason", "study ended", "--yes")
    assert site.run(*destroy, str(count + 1))[0] == 1
    assert site.run("keys", "destroy", "study_1", "--reason", "study ended")[0] == 2
    assert site.json("relink", pseudonym, "--purpose", PURPOSE)["items"][0]["original"] == "8800124"
    assert site.run(*destroy, str(count))[0] == 0
    [record] = _audited(site, "keys_destroy")
    assert (record["subject"], record["reason"]) == ("study_1", "study ended")
    assert site.run("relink", pseudonym, "--purpose", PURPOSE)[0] == 1
    # No new key takes the name: its pseudonyms would pass for the old ones.
    site.write("transforms/deid/own.yaml", PROFILE)
    told = site.json("reload")
    assert not told["ok"]
    assert "was destroyed" in json.dumps(told)
    assert site.run("audit", "verify")[0] == 0


def test_a_vault_that_cannot_be_written_stops_acceptance(site: Site) -> None:
    """No AA and no delivery where the vault could not keep what it must."""
    _begin(site)
    (site.folder / "data/vault").write_text("in the way", "utf-8")
    assert site.send(adt("M1", "8800123")) == ["AE"]
    assert site.receiver.got == []
    (site.folder / "data/vault").unlink()
    assert site.send(adt("M1", "8800123")) == ["AA"]
    site.wait(lambda: site.receiver.got)


def test_every_output_says_how_it_was_made(site: Site) -> None:
    """Message, trace and audit name profile, version and key id; a replay of the bytes too."""
    _begin(site)
    site.send(adt("M1", "8800123"))
    _pseudonym(site)
    [message] = site.json("messages")["items"]
    method = message["deliveries"][0]["method"]
    profile, version, key_id = method.split()
    assert (profile, len(version), len(key_id)) == ("own", 12, 8)
    shown = site.json("show", message["message_id"])
    assert shown["deliveries"][0]["method"] == method
    _, out, _ = site.run("trace", message["message_id"])
    assert f"de-identified by {method}" in out
    [record] = _audited(site, "deid_method")
    assert record["subject"] == "own"
    assert record["detail"]["version"] == version  # type: ignore[index]
    assert record["detail"]["key_id"] == key_id  # type: ignore[index]
    words = ("replay", message["message_id"], "--as", "sent", "--reason", "lost", "--yes", "1")
    assert site.run(*words)[0] == 0
    site.wait(lambda: len(site.receiver.got) == 2)
    methods = [m["deliveries"][0]["method"] for m in site.json("messages")["items"]]
    assert methods == [method, method]
