"""The audit chain and roles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from engine.security.audit_chain import START, Head, Link, chain_mac, find_break
from engine.security.roles import RIGHTS, Right, Role, is_permitted

KEY = bytes(32)


def chain(records: list[bytes]) -> list[Link]:
    """Return records chained."""
    links, before = [], START
    for seq, record in enumerate(records, start=1):
        before = chain_mac(KEY, before, seq, record)
        links.append(Link(seq, record, before))
    return links


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=12), st.data())
def test_every_change_is_found_at_its_place(records: list[bytes], data: st.DataObject) -> None:
    """Editing, removing, swapping or cutting breaks the chain; untouched it holds."""
    links = chain(records)
    head = Head(len(links), links[-1].mac)
    assert find_break(KEY, links, heads=[head]) == (len(links), "", head)
    assert Head.parse(str(head)) == head
    at = data.draw(st.integers(0, len(links) - 1))
    edited = list(links)
    edited[at] = Link(links[at].seq, links[at].record + b"x", links[at].mac)
    assert find_break(KEY, edited)[:2] == (at, f"record {at + 1} was changed")
    removed = links[:at] + links[at + 1 :]
    count, problem, _ = find_break(KEY, removed, heads=[head])
    assert count == at
    assert "missing" in problem or "cut off" in problem
    assert find_break(bytes([1]) * 32, links)[0] == 0


def test_a_chain_rewritten_with_its_key_differs_from_a_noted_head() -> None:
    """Whoever has the key can make a new chain, but not the head that was noted elsewhere."""
    old, new = chain([b"a", b"b"]), chain([b"a", b"c"])
    _, problem, _ = find_break(KEY, new, heads=[Head(2, old[-1].mac)])
    assert "noted" in problem


def test_nobody_both_administers_and_sees_patients() -> None:
    """Each role's rights stay apart; rights add up only by holding several roles."""
    for rights in RIGHTS.values():
        assert not {Right.ADMINISTER, Right.SEE_BODY} <= rights
        assert not {Right.ADMINISTER, Right.SEE_AUDIT} <= rights
    assert set(RIGHTS) == set(Role)
    assert is_permitted(frozenset({Role.VIEWER, Role.OPERATOR}), Right.OPERATE)
    assert not is_permitted(frozenset({Role.ADMIN}), Right.SEE_BODY)
    assert not is_permitted(frozenset(), Right.SEE_STATE)
