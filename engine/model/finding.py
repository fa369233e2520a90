"""A finding of check: what is wrong with a site, where, and what to write instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

#: where in the configuration: ("routes", "adt_to_lis", "steps", 0, "set", "PID-5.1")
Loc = tuple[str | int, ...]


class Severity(StrEnum):
    """Errors keep a site from starting; warnings do not."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; line and column count from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing check has to say; *loc* is turned into *mark* by the loader's line map."""

    code: str
    what: str
    fix: str = ""
    severity: Severity = Severity.ERROR
    loc: Loc = ()
    #: characters into the scalar at loc, for errors inside an expression
    offset: int = 0
    #: whether loc means the key rather than its value
    at_key: bool = False
    mark: Mark | None = None

    def __str__(self) -> str:
        place = f"{self.mark} " if self.mark else ""
        word = "" if self.severity is Severity.ERROR else "warning: "
        tail = f"; {self.fix}" if self.fix else ""
        return f"{place}{self.code} {word}{self.what}{tail}"


def has_errors(findings: Sequence[Finding]) -> bool:
    """Return whether any finding keeps the site from starting."""
    return any(finding.severity is Severity.ERROR for finding in findings)
