"""
Writes deliveries as files: whole or not at all, never over another file.

Rules of this file: temporary name, fsync, link without overwrite, fsync of the directory. A file
that is there already with the same bytes is this delivery (a crash came between link and
settlement); with other bytes the name gets a suffix. Runs in a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.delivery.lane_seams import CUT_OFF
from engine.delivery.settlement import (
    Decision,
    decide_on_trouble,
    decide_on_unwritable,
    decide_on_written,
)
from engine.delivery.tries import Try
from engine.model.states import AttemptOutcome
from engine.security.folders import make_folder
from engine.store.file_room import check_room

if TYPE_CHECKING:
    from engine.delivery.channel import OutboundChannel

#: suffixes tried before a person has to look
_MOST_SUFFIXES = 1000
#: what a retry does not mend
_LASTING = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})


class Unwritable(Exception):
    """The delivery can never be written under this name."""


class CutOff(Exception):
    """The file is not wanted here any more."""


def write_file(
    directory: Path,
    name: str,
    body: bytes,
    *,
    temporary: str,
    is_wanted: Callable[[], bool] = lambda: True,
) -> Path:
    """
    Return the path under which *body* now stands, durable.

    Args:
        temporary: name for the unfinished file, the same for every try of a delivery.
        is_wanted: asked before the file gets its name: a folder may have hung until then.

    Raises:
        Unwritable: the name cannot be used, or too many others have it.
        CutOff: it is not wanted any more.
        OSError: the directory or the disk; trying again may help.

    Effects: writes and syncs; makes the directory if it is missing.
    """
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise Unwritable("the file name is empty, begins with a dot or holds a slash")
    make_folder(directory, 0o750)
    unfinished = directory / f".{temporary}.tmp"
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640), "wb") as file:
            check_room(file.fileno())
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        if not is_wanted():
            raise CutOff
        target = _link(unfinished, directory / name, body)
    except OSError as error:
        if error.errno in _LASTING:
            raise Unwritable(f"the file name cannot be used: {error.strerror}") from None
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    _sync_directory(directory)
    return target


def _link(unfinished: Path, target: Path, body: bytes) -> Path:
    for number in range(_MOST_SUFFIXES):
        place = target if not number else target.with_stem(f"{target.stem}-{number}")
        try:
            os.link(unfinished, place)
        except FileExistsError:
            if _holds(place, body):
                return place
        else:
            return place
    raise Unwritable(f"{_MOST_SUFFIXES} other files have this name")


def _holds(path: Path, body: bytes) -> bool:
    return path.stat().st_size == len(body) and path.read_bytes() == body


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class FileWriter:
    """
    The sender of one lane of a file channel.

    Args:
        directory: where the files go.
    """

    def __init__(self, channel: OutboundChannel, lane: int, directory: Path) -> None:
        self._channel = channel
        self._lane = lane
        self._directory = directory
        self._try: Try | None = None
        self._done: Callable[[Decision], None] | None = None

    def send(self, attempt: Try, done: Callable[[Decision], None]) -> None:
        """Write once; *done* is called once with what is to be done now."""
        self._try, self._done = attempt, done
        delivery = attempt.delivery
        name = delivery.file_name or f"{delivery.delivery_id}.hl7"

        def write() -> Path:
            return write_file(
                self._directory,
                name,
                delivery.body,
                temporary=delivery.delivery_id,
                is_wanted=lambda: self._try is attempt,
            )

        def written(result: Any) -> None:
            if self._try is attempt:
                self._end(attempt, *self._decide(attempt, result))

        self._channel.seams.read(lambda store: write(), written)

    def probe(self, done: Callable[[bool], None]) -> None:
        """Nothing to see in advance: the next try tells."""
        done(False)

    def cut_off(self) -> None:
        """Wait no longer for a folder that hangs; the file may appear in it after all."""
        attempt = self._try
        if attempt is not None:
            attempt.is_sent = True
            self._end(attempt, *self._decide_trouble(attempt, AttemptOutcome.BROKEN, CUT_OFF))

    def stop(self) -> None:
        """A file being written that has its name is found again at the next start."""
        self._try = self._done = None

    def _end(self, attempt: Try, decision: Decision, outcome: AttemptOutcome, what: str) -> None:
        done, self._try, self._done = self._done, None, None
        self._channel.tried(attempt, outcome, what)
        if done is not None:
            done(decision)

    def _decide(self, attempt: Try, result: Any) -> tuple[Decision, AttemptOutcome, str]:
        channel = self._channel
        now = channel.seams.clock.now()
        if isinstance(result, Path):
            channel.is_connected = True
            channel.standing.add(self._lane)
            return decide_on_written(attempt, now), AttemptOutcome.ACKED, ""
        if isinstance(result, Unwritable):
            what = str(result)
            decision = decide_on_unwritable(attempt, what, channel.policy, now)
            return decision, AttemptOutcome.REFUSED, what
        channel.is_connected = False
        channel.standing.discard(self._lane)
        reason = result.strerror if isinstance(result, OSError) else type(result).__name__
        what = f"the file could not be written: {reason}"
        return self._decide_trouble(attempt, AttemptOutcome.REFUSED, what)

    def _decide_trouble(
        self, attempt: Try, outcome: AttemptOutcome, what: str
    ) -> tuple[Decision, AttemptOutcome, str]:
        policy, seams = self._channel.policy, self._channel.seams
        decision = decide_on_trouble(
            attempt, outcome, what, policy, seams.clock.now(), seams.dice()
        )
        return decision, outcome, what
