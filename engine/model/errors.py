"""What can go wrong, said for the person who reads it at night."""

from __future__ import annotations


class MedbusError(Exception):
    """
    Something medbus refuses or cannot do; says what, where and what to do.

    Args:
        what: one sentence, never patient data.
        code: stable code such as ``RUN-004``; documented in docs/errors.md.
        where: file:line:column, or segment-field-component, or a channel name.
        fix: what the reader can do about it.
    """

    code = "RUN-001"

    def __init__(
        self, what: str = "", *, code: str | None = None, where: str = "", fix: str = ""
    ) -> None:
        self.what = what or (type(self).__doc__ or "").strip().split("\n\n")[0]
        if code is not None:
            self.code = code
        self.where = where
        self.fix = fix
        super().__init__(self.what)

    def __str__(self) -> str:
        parts = [self.where + ":" if self.where else "", self.code, self.what]
        if self.fix:
            parts.append(f"({self.fix})")
        return " ".join(part for part in parts if part)


class NotFound(MedbusError):
    """There is no such thing; check the id or name."""

    code = "RUN-002"


class Conflict(MedbusError):
    """The thing is not in a state that allows this."""

    code = "RUN-003"


class Locked(MedbusError):
    """Another engine uses this data folder; stop it first or use another folder."""

    code = "RUN-004"


class PutOff(Conflict):
    """A backup is being made: nothing is removed before it has ended."""

    code = "STO-017"


class QueueChanged(Exception):
    """Something was put in front of what a lane is reading; the lane is told and begins anew."""


class StoreFull(MedbusError):
    """The store is full or below its watermark; free disk space, senders will resend."""

    code = "RUN-005"


class Fenced(MedbusError):
    """The disk returned an I/O error; the engine stops accepting and exits with 75."""

    code = "RUN-006"


class Sealed(MedbusError):
    """A sealed value cannot be opened: wrong or missing key, or the bytes were changed."""

    code = "RUN-007"


class Usage(MedbusError):
    """The command was called wrongly; see its --help."""

    code = "RUN-008"


class Stopping(MedbusError):
    """The engine stops; an action on deliveries that was begun goes on at its next start."""

    code = "RUN-010"


class Forbidden(MedbusError):
    """This user may not do that; medbus.yaml names who may."""

    code = "RUN-009"
