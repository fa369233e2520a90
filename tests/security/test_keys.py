"""The key ring, sealing and keyed hashes."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Sealed
from engine.security.keyed_hash import KeyedHash
from engine.security.keyring import BODIES, EVIDENCE, KeyRing
from engine.security.sealing import Sealer

KEY = bytes(range(32))


@given(plain=st.binary(max_size=300), place=st.binary(max_size=30))
def test_what_is_sealed_opens_at_its_place_only(plain: bytes, place: bytes) -> None:
    """Opening gives the bytes back; another place, key or key id does not open."""
    sealer = Sealer(KEY, "a")
    sealed = sealer.seal(plain, place)
    assert sealer.open(sealed, place) == plain
    for other, at in (
        (sealer, place + b"x"),
        (Sealer(bytes(32), "a"), place),
        (Sealer(KEY, "b"), place),
    ):
        with pytest.raises(Sealed):
            other.open(sealed, at)


@given(plain=st.binary(min_size=1, max_size=100), data=st.data())
def test_any_changed_bit_is_found(plain: bytes, data: st.DataObject) -> None:
    """No flipped bit and no cut passes."""
    sealer = Sealer(KEY, "a")
    sealed = bytearray(sealer.seal(plain, b"p"))
    bit = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Sealed):
        sealer.open(bytes(sealed), b"p")
    with pytest.raises(Sealed):
        sealer.open(bytes(sealed[: data.draw(st.integers(0, len(sealed) - 1))]), b"p")


def test_equal_values_are_sealed_differently() -> None:
    """A nonce is never used twice, also when the pool of nonces is refilled."""
    sealer = Sealer(KEY, "a")
    assert len({sealer.seal(b"x", b"p") for _ in range(2000)}) == 2000


def test_a_ring_is_private_and_comes_back(tmp_path: Path) -> None:
    """Files are 0600, the folder 0700; all keys are the same after opening again."""
    ring = KeyRing.create(tmp_path / "keys")
    ring.make_day("20261121")
    sealed = ring.sealer("20261121", BODIES).seal(b"x", b"p")
    named = ring.named_key("research")
    again = KeyRing.open(tmp_path / "keys")
    assert again.sealer("20261121", BODIES).open(sealed, b"p") == b"x"
    assert again.named_key("research") == named
    assert again.named_keys() == ("research",)
    assert again.hashes.term("patient", "1") == ring.hashes.term("patient", "1")
    assert again.audit_key == ring.audit_key
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_a_ring_is_never_replaced(tmp_path: Path) -> None:
    """Creating over an existing ring is refused."""
    KeyRing.create(tmp_path / "keys")
    with pytest.raises(Sealed):
        KeyRing.create(tmp_path / "keys")


def test_a_dropped_key_is_gone_for_good(tmp_path: Path) -> None:
    """What it sealed cannot be opened, in this process or the next; the other key still works."""
    ring = KeyRing.create(tmp_path / "keys")
    ring.make_day("20261121")
    sealed = ring.sealer("20261121", EVIDENCE).seal(b"x", b"p")
    ring.drop_day("20261121", BODIES)
    for found in (ring, KeyRing.open(tmp_path / "keys")):
        with pytest.raises(Sealed):
            found.sealer("20261121", BODIES)
        assert found.sealer("20261121", EVIDENCE).open(sealed, b"p") == b"x"


def test_named_keys_are_unrelated_and_stay(tmp_path: Path) -> None:
    """Two names give two keys; the name of a destroyed one is never given to another."""
    ring = KeyRing.create(tmp_path / "keys")
    first = ring.named_key("a")
    assert ring.named_key("b") != first
    assert ring.named_key("a") == first
    ring.drop_named_key("a")
    ring.rotate_master()
    for again in (ring, KeyRing.open(tmp_path / "keys")):
        assert again.named_keys() == ("b",)
        with pytest.raises(Sealed, match="was destroyed"):
            again.named_key("a")


@pytest.mark.parametrize("crash", [False, True])
def test_rotation_keeps_every_key(tmp_path: Path, crash: bool) -> None:
    """A new master key opens all that the old one did, also when the last rename was cut off."""
    ring = KeyRing.create(tmp_path / "keys")
    ring.make_day("20261121")
    sealed = ring.sealer("20261121", BODIES).seal(b"x", b"p")
    old = (tmp_path / "keys" / "master.key").read_bytes()
    ring.rotate_master()
    new = (tmp_path / "keys" / "master.key").read_bytes()
    assert new != old
    if crash:
        (tmp_path / "keys" / "master.key.next").write_bytes(new)
        (tmp_path / "keys" / "master.key.next").chmod(0o600)
        (tmp_path / "keys" / "master.key").write_bytes(old)
    again = KeyRing.open(tmp_path / "keys")
    assert again.sealer("20261121", BODIES).open(sealed, b"p") == b"x"


def test_the_master_key_may_come_as_a_credential(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With systemd's LoadCredential no master key lies in the data folder."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    path = credentials / "medbus-master.key"
    path.write_text("ab" * 32)
    path.chmod(0o600)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    KeyRing.create(tmp_path / "keys").make_day("20261121")
    assert not (tmp_path / "keys" / "master.key").exists()
    KeyRing.open(tmp_path / "keys").sealer("20261121", BODIES)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(Sealed, match="missing"):
        KeyRing.open(tmp_path / "keys")


def test_hashes_are_apart_by_use_and_key() -> None:
    """The same text as term, order key and identity, or under another key, is unrelated."""
    one, other = KeyedHash(KEY), KeyedHash(bytes(32))
    values = [
        one.term("patient", "x"),
        one.term("visit", "x"),
        one.order_key("lis", "x"),
        one.identity("in", ("a", "b"), "x"),
        one.identity("in", ("a", "b"), "y"),
        one.identity("in", ("ab", ""), "x"),
        one.content(b"x"),
        other.term("patient", "x"),
    ]
    assert len(set(values)) == len(values)
    assert {len(value) for value in values} == {8}
    assert one.order_key("lis", "x") == one.order_key("renamed", "x")
    assert one.term("name", " M\u00dcLLER ") == one.term("name", "m\u00fcller")
