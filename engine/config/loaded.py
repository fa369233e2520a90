"""
A loaded site with its findings, and where everything in it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from engine.config.models.site import Site
from engine.config.yaml_tree import Place
from engine.model.finding import Finding, Loc, Mark

SITE_FILE = "medbus.yaml"


@dataclass
class LoadedSite:
    """What came of loading; *site* is None when a finding is an error."""

    site: Site | None
    findings: list[Finding]
    #: environment variables the site asked for, with their values
    environ_used: dict[str, str]
    #: what could be read, even where there are errors; for check only
    partial: Site
    #: kind -> name -> place, of everything that was declared, right or wrong
    declared: Mapping[str, Mapping[str, Loc]]
    places: Mapping[Loc, Place] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)

    def mark_of(self, loc: Loc, *, at_key: bool = False, offset: int = 0) -> Mark:
        """
        Return where *loc* stands in a file; parts that are in no file are skipped over.

        Args:
            offset: characters into the scalar, for a place within an expression.
        """
        if mark := self._table_mark(loc):
            return mark
        known: Loc = next((loc[:size] for size in (2, 1) if loc[:size] in self.places), ())
        for part in loc[len(known) :]:
            if (*known, part) in self.places:
                known = (*known, part)
        place = self.places.get(known)
        if place is None:
            return Mark(SITE_FILE)
        is_short = known != loc and place.style == "{"
        # A value that begins on a later line is looked for at its key.
        is_below = place.key is not None and place.key.line != place.value.line and not offset
        if place.key and (at_key or is_short or is_below):
            return place.key
        return self._within(place, offset)

    def located(self, findings: Iterable[Finding]) -> list[Finding]:
        """Return the findings with their marks filled in, by file and line."""
        marked = [
            finding
            if finding.mark
            else replace(
                finding,
                mark=self.mark_of(finding.loc, at_key=finding.at_key, offset=finding.offset),
            )
            for finding in findings
        ]
        unique = dict.fromkeys(marked)
        return sorted(
            unique,
            key=lambda f: (f.mark.file, f.mark.line, f.mark.column) if f.mark else ("", 0, 0),
        )

    def _table_mark(self, loc: Loc) -> Mark | None:
        if len(loc) < 2 or loc[0] != "tables" or loc[1] not in self.partial.tables:
            return None
        table = self.partial.tables[str(loc[1])]
        row = loc[2] if len(loc) > 2 else None
        line = table.lines[row] if isinstance(row, int) and row < len(table.lines) else 1
        return Mark(table.file, line)

    def _within(self, place: Place, offset: int) -> Mark:
        mark = place.value
        if offset <= 0 or place.style in ("{", "["):
            return mark
        lines = self.files.get(mark.file, b"").decode("utf-8-sig", "replace").splitlines()
        if place.style in ("|", ">"):
            line, column = mark.line + 1, 1
            while line <= len(lines):
                text = lines[line - 1]
                indent = len(text) - len(text.lstrip())
                if offset <= len(text) - indent:
                    return Mark(mark.file, line, indent + offset + 1)
                offset -= len(text) - indent + 1
                line += 1
            return Mark(mark.file, mark.line, column)
        text = lines[mark.line - 1] if mark.line <= len(lines) else ""
        column = mark.column + (1 if place.style else 0)
        while offset > 0 and column <= len(text):
            pair = text[column - 1 : column + 1]
            column += (
                2
                if (place.style == "'" and pair == "''")
                or (place.style == '"' and pair[:1] == "\\")
                else 1
            )
            offset -= 1
        return Mark(mark.file, mark.line, column)
