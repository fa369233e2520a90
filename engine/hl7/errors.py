"""What HL7 text can have wrong; says what, where and what to do, never a value."""

from __future__ import annotations


class Hl7Error(Exception):
    """
    HL7 that cannot be read or written.

    Args:
        what: one sentence, never patient data.
        code: stable code such as ``HL7-001``.
        where: a path such as ``MSH-2``, or "".
        fix: what the reader can do about it.
    """

    def __init__(self, what: str, *, code: str = "HL7-001", where: str = "", fix: str = "") -> None:
        self.what = what
        self.code = code
        self.where = where
        self.fix = fix
        super().__init__(what)

    def __str__(self) -> str:
        parts = [self.where + ":" if self.where else "", self.code, self.what]
        if self.fix:
            parts.append(f"({self.fix})")
        return " ".join(part for part in parts if part)


class PathError(Hl7Error):
    """A path that is not written as paths are, or that cannot be used that way."""

    def __init__(self, what: str, fix: str = "", *, where: str = "") -> None:
        super().__init__(what, code="HL7-020", where=where, fix=fix)
