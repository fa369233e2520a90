"""
What the language can object to: before a message (LanguageError) and with one (StepFailed).

Rules of this file: texts name paths, tables, columns and types, never a value from a message.
"""

from __future__ import annotations


class LanguageError(Exception):
    """
    Something wrong in an expression, template or step; becomes a finding of check.

    Args:
        what: one sentence for the analyst.
        fix: what to write instead.
        code: stable code; documented in docs/errors.md.
        offset: characters into the text it was found in.
    """

    def __init__(self, what: str, fix: str = "", *, code: str = "LNG-001", offset: int = 0) -> None:
        self.what = what
        self.fix = fix
        self.code = code
        self.offset = offset
        super().__init__(what)


class StepFailed(Exception):
    """
    A step cannot do its work on this message; the route's deliveries are parked.

    Args:
        reason: what is wrong, never with a value of the message.
        path: the place it is about, as text.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        self.reason = reason
        self.path = path
        super().__init__(reason)


class Filtered(Exception):
    """A filter step stops this output; the reason is kept."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)
