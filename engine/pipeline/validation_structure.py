"""
Whether segments stand where the structure of the message type has them.

Rules of this file: only names are looked at; a group is entered when its first segment is
there and left again, as if never tried, when the rest does not fit; what does not fit is
repaired (a missing segment put in, a stray one taken out) so that one fault hides no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.hl7.definitions import StructureNode

_ANY = "ANYHL7SEGMENT"
_NEVER = 1 << 30


class Misplaced(NamedTuple):
    """One fault: a segment is missing at, or does not belong to, a position."""

    #: place among the given names, from 0
    position: int
    segment: str
    is_missing: bool


class _Node(NamedTuple):
    name: str
    low: int
    high: int
    members: tuple[_Node, ...]
    is_choice: bool
    #: names it may begin with; with _ANY it may begin with everything
    first: frozenset[str]


class StructureCheck:
    """A message structure, compiled."""

    def __init__(
        self,
        structure: StructureNode,
        *,
        optional: frozenset[str] = frozenset(),
    ) -> None:
        self._optional = optional
        self._root = self._compile(structure)
        self.names = frozenset(_names(structure))
        #: shapes of messages found faultless; they come again and again
        self._sound: set[tuple[str, ...]] = set()

    def _compile(self, node: StructureNode) -> _Node:
        members = tuple(self._compile(member) for member in node.members)
        low = 0 if node.name in self._optional else node.min_count
        high = _NEVER if node.max_count is None else node.max_count
        if not members:
            return _Node(node.name, low, high, (), False, frozenset({node.name}))
        first: set[str] = set()
        for member in members:
            first |= member.first
            if not node.is_choice and member.low > 0 and not _may_be_empty(member):
                break
        return _Node(node.name, low, high, members, node.is_choice, frozenset(first))

    def find_faults(self, names: Sequence[str]) -> list[Misplaced]:
        """Return every fault of a message whose segments have these *names*."""
        shape = tuple(names)
        if shape in self._sound:
            return []
        if not _Attempt(names, self.names).fits(self._root):
            return self._repair(list(names))
        if len(self._sound) < 4096:
            self._sound.add(shape)
        return []

    def _repair(self, names: list[str]) -> list[Misplaced]:
        faults: list[Misplaced] = []
        #: where each remaining name stood; a segment put in stands where it is missed
        places = list(range(len(names)))
        for _ in range(2 * len(names) + 50):
            attempt = _Attempt(names, self.names)
            if attempt.fits(self._root):
                break
            at = attempt.furthest
            place = places[at] if at < len(places) else (places[-1] + 1 if places else 0)
            wanted = next((name for name in attempt.wanted if name not in names[at:]), None)
            if wanted is not None:
                if not any(fault.segment == wanted for fault in faults):
                    faults.append(Misplaced(place, wanted, True))
                names.insert(at, wanted)
                places.insert(at, place)
            elif at < len(names):
                faults.append(Misplaced(place, names[at], False))
                del names[at], places[at]
            else:
                break
        return faults


def _may_be_empty(node: _Node) -> bool:
    """Return whether *node* may match nothing at all although it must stand there."""
    if node.low == 0:
        return True
    if not node.members:
        return False
    found = (_may_be_empty(member) for member in node.members)
    return any(found) if node.is_choice else all(found)


def _names(node: StructureNode) -> set[str]:
    if not node.is_group:
        return {node.name}
    return {name for member in node.members for name in _names(member)}


class _Attempt:
    """One walk over the names; remembers how far it came and what it wanted there."""

    def __init__(self, names: Sequence[str], known: frozenset[str]) -> None:
        self._names = [*names, ""]
        self._known = known
        self.furthest = 0
        self.wanted: list[str] = []

    def fits(self, root: _Node) -> bool:
        """Return whether the names are exactly the structure."""
        reached = self._sequence(root.members, 0)
        if reached < 0:
            return False
        if reached < len(self._names) - 1:
            if reached > self.furthest:
                self.furthest, self.wanted = reached, []
            return False
        return True

    def _sequence(self, members: tuple[_Node, ...], at: int) -> int:
        for member in members:
            at = self._repeated(member, at)
            if at < 0:
                return -1
        return at

    def _repeated(self, node: _Node, at: int) -> int:
        """Return the position behind all repetitions of *node*, -1 when there are too few."""
        names, count, start = self._names, 0, at
        if not node.members:
            while count < node.high and (
                names[at] == node.name
                or (node.name == _ANY and names[at] and names[at] not in self._known)
            ):
                at += 1
                count += 1
            if count < node.low:
                self._miss(start, node.name)
                return -1
            return at
        while count < node.high and (names[at] in node.first or _ANY in node.first):
            reached = self._once(node, at)
            if reached <= at:
                break
            at = reached
            count += 1
        if count < node.low and not (count == 0 and self._once(node, at) == at):
            return -1
        return at

    def _once(self, node: _Node, at: int) -> int:
        if not node.is_choice:
            return self._sequence(node.members, at)
        for member in node.members:
            if self._names[at] in member.first:
                reached = self._repeated(member, at)
                if reached > at:
                    return reached
        for member in node.members:
            if _may_be_empty(member):
                return at
        self._miss(at, node.members[0].name if not node.members[0].members else "")
        return -1

    def _miss(self, at: int, name: str) -> None:
        if at > self.furthest:
            self.furthest, self.wanted = at, []
        if at == self.furthest and name and name not in self.wanted:
            self.wanted.append(name)
