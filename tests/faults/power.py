"""
A power cut, made from a record of all that was written: what a disk may hold afterwards.

The recorder (recorder.c) notes every change of the data folder, every sync and every ack. Cut
anywhere, the record gives the folder that a disk may then hold: what was synced is there; of what
was not, anything may be: writes are kept, lost or torn at sectors or pages in any combination, and
a folder keeps any number of its first changes (files made, renamed, removed) since it was synced.
A sync of a file saves its bytes, not its name: that takes a sync of the folder, as POSIX has it.
"""

from __future__ import annotations

import random
import re
import struct
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<cIIQQ")
_ACKED = re.compile(rb"\rMSA\|(?:AA|CA)\|([^|\r]*)")
#: shared memory of SQLite is not a file's content; the control socket is none
_NOT_ON_DISK = ("-shm", ".sock")


class Record(NamedTuple):
    """One noted call."""

    op: str
    path: str
    other: str
    offset: int
    content: bytes


def read_record(log: Path) -> list[Record]:
    """Return all whole records of a log."""
    raw = memoryview(log.read_bytes())
    found, at = [], 0
    while at + _HEAD.size <= len(raw):
        op, path, other, offset, length = _HEAD.unpack_from(raw, at)
        at += _HEAD.size
        if at + path + other + length > len(raw):
            break
        texts = bytes(raw[at : at + path + other]).decode()
        at += path + other
        content = bytes(raw[at : at + length])
        at += length
        found.append(Record(op.decode(), texts[:path], texts[path:], offset, content))
    return found


def acked_ids(record: Record) -> list[str]:
    """Return the control ids that a sent or received ack accepts."""
    return [found.decode() for found in _ACKED.findall(record.content)]


@dataclass(eq=False)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    #: writes and truncations since the last sync
    later: list[Record] = field(default_factory=list)

    def content(self, dice: random.Random | None, *, keeps_all: bool) -> bytearray:
        """Return what may be there: with dice anything, else all or nothing of what came later."""
        content = bytearray(self.synced)
        for record in self.later:
            if keeps_all:
                _apply(content, record, None)
            elif dice is not None and dice.random() < 0.7:
                _apply(content, record, dice if dice.random() < 0.5 else None)
        return content


def _apply(content: bytearray, record: Record, dice: random.Random | None) -> None:
    """Do one write or truncation; with dice only some of its sectors or pages arrive."""
    if record.op == "t":
        del content[record.offset :]
        content.extend(bytes(record.offset - len(content)))
        return
    unit = 512 if dice is None or dice.random() < 0.5 else 4096
    start, end = record.offset, record.offset + len(record.content)
    while start < end:
        stop = min(end, (start // unit + 1) * unit)
        if dice is None or dice.random() < 0.5:
            content.extend(bytes(max(0, start - len(content))))
            content[start:stop] = record.content[start - record.offset : stop - record.offset]
        start = stop


class Disk:
    """
    What a record says of a folder up to some moment: what is there, and what of it is synced.

    Args:
        folder: the folder the record is of.
    """

    def __init__(self, folder: Path) -> None:
        self._root = str(folder)
        self._now: dict[str, _File | None] = {}
        self._synced: dict[str, _File | None] = {}
        #: changes of each folder since it was synced
        self._later: dict[str, list[tuple[Record, _File | None]]] = defaultdict(list)

    def feed(self, record: Record) -> None:
        """Take in the next record."""
        if record.path.endswith((*_NOT_ON_DISK, " (deleted)")) or record.op in "ag":
            return
        if record.op in "wt":
            file = self._now.get(record.path)
            if file is not None:
                file.later.append(record)
        elif record.op == "s":
            self._sync(record.path)
        else:
            made = _File() if record.op == "c" else self._now.get(record.path)
            self._change(self._now, record, made)
            self._later[_parent(record.path)].append((record, made))

    def _sync(self, path: str) -> None:
        file = self._now.get(path)
        if file is not None:
            file.synced = file.content(None, keeps_all=True)
            file.later.clear()
        else:
            for change, made in self._later.pop(path, ()):
                self._change(self._synced, change, made)

    @staticmethod
    def _change(names: dict[str, _File | None], change: Record, file: _File | None) -> None:
        if change.op in "ru":
            names.pop(change.path, None)
        if change.op != "u":
            names[change.other or change.path] = file

    def cut(self, into: Path, dice: random.Random | None, *, keeps_all: bool = False) -> None:
        """Write what may be on the disk after a cut at this moment to *into*."""
        names = dict(self._synced)
        for changes in self._later.values():
            kept = len(changes) if keeps_all else dice.randint(0, len(changes)) if dice else 0
            for change, made in changes[:kept]:
                self._change(names, change, made)
        into.mkdir(parents=True)
        for name in sorted(names):
            target = into / name.removeprefix(self._root).lstrip("/")
            if not target.parent.is_dir():
                # Its folder was lost.
                continue
            file = names[name]
            if file is None:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(file.content(dice, keeps_all=keeps_all))
            target.chmod(0o700 if file is None else 0o600)


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


class Cut(NamedTuple):
    """A moment in a record and what had been promised by then."""

    at: int
    kind: str
    acked: frozenset[str]
    answered: frozenset[str]


def plan_cuts(records: list[Record], count: int, dice: random.Random) -> list[Cut]:
    """Return *count* moments in order; half are right behind an ack, where most is at stake."""
    acks = [index + 1 for index, record in enumerate(records) if record.op == "a"]
    chosen = [dice.choice(acks) if n % 2 else dice.randint(1, len(records)) for n in range(count)]
    kinds = ("synced", "any", "any", "all")
    cuts, acked, answered, at = [], set[str](), set[str](), 0
    for number, end in enumerate(sorted(chosen)):
        for record in records[at:end]:
            if record.op in "ag":
                (acked if record.op == "a" else answered).update(acked_ids(record))
        at = end
        cuts.append(Cut(end, kinds[number % 4], frozenset(acked), frozenset(answered)))
    return cuts


def cut_power(
    records: list[Record], cuts: list[Cut], folder: Path, into: Path, dice: random.Random
) -> Iterator[tuple[Cut, Path]]:
    """Give each cut with a folder as the disk may hold it then."""
    disk, at = Disk(folder), 0
    for number, cut in enumerate(cuts):
        for record in records[at : cut.at]:
            disk.feed(record)
        at = cut.at
        target = into / f"cut-{number}"
        disk.cut(target, dice if cut.kind == "any" else None, keeps_all=cut.kind == "all")
        yield cut, target
