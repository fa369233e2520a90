"""
Compiles the parts of a step (paths, conditions, templates) and collects what is wrong with them.

Rules of this file: nothing raises for what an analyst wrote; every objection becomes a finding with
the place it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from engine.config.models.site import Site
from engine.config.models.steps import StepModel
from engine.hl7.errors import PathError
from engine.hl7.path import Append, Path, parse_path
from engine.model.finding import Finding, Loc, Severity
from engine.pipeline.context import Keys
from engine.pipeline.expressions import Expression, compile_condition
from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import Kind
from engine.pipeline.known import BUILT_IN, Known
from engine.pipeline.tables import Table
from engine.pipeline.templates import Template, compile_template

_SEGMENT = re.compile(r"[A-Z][A-Z0-9]{2}")
_VARIABLE = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*")


@dataclass
class Shared:
    """What all steps of a site share."""

    site: Site
    keys: Keys
    tables: dict[str, Table]
    #: what Python workers are sent: sources of modules, tables as JSON
    python_sources: Mapping[str, str]
    findings: list[Finding] = field(default_factory=list)
    #: names of things that some step uses
    used: dict[str, set[str]] = field(default_factory=dict)
    profiles: dict[str, Any] = field(default_factory=dict)
    validators: dict[tuple[str, str | None], Any] = field(default_factory=dict)

    def note_use(self, kind: str, name: str) -> None:
        """Remember that *name* (a table, transform, template, profile, module) is used."""
        self.used.setdefault(kind, set()).add(name)


class Builder:
    """Compiles the steps of one list, knowing which variables are set when."""

    def __init__(self, shared: Shared, *, place: str) -> None:
        self.shared = shared
        #: where the steps stand: route, inbound, outbound or response
        self.place = place
        self.variables: dict[str, Kind] = {}
        self.is_in_loop = False
        #: names of the transforms being applied, outermost first
        self.applying: list[str] = []

    @property
    def known(self) -> Known:
        """What expressions may refer to at this place."""
        return Known(
            variables=dict(self.variables),
            site_vars=self.shared.site.vars,
            tables=self.shared.tables,
        )

    @contextmanager
    def in_loop(self) -> Iterator[None]:
        """Compile the steps of a loop."""
        before = self.is_in_loop
        self.is_in_loop = True
        yield
        self.is_in_loop = before

    # -- findings --------------------------------------------------------------------------

    def find(
        self,
        loc: Loc,
        what: str,
        fix: str = "",
        *,
        code: str = "LNG-010",
        at_key: bool = False,
        offset: int = 0,
        severity: Severity = Severity.ERROR,
    ) -> None:
        """Note a finding at *loc*."""
        finding = Finding(code, what, fix, severity, loc, offset, at_key)
        if finding not in self.shared.findings:
            self.shared.findings.append(finding)

    def _object(self, errors: list[LanguageError], loc: Loc) -> None:
        for error in errors:
            self.find(loc, error.what, error.fix, code=error.code, offset=error.offset)

    # -- parts -----------------------------------------------------------------------------

    def condition(self, text: str | None, loc: Loc) -> Expression | None:
        """Return the condition *text*, None where there is none or it is wrong."""
        if text is None:
            return None
        expression, errors = compile_condition(text, self.known)
        self._object(errors, loc)
        if expression is not None:
            self._note_tables(expression.tables)
        return expression

    def template(self, text: str, loc: Loc) -> Template | None:
        """Return the template *text*, None where it is wrong."""
        template, errors = compile_template(text, self.known)
        self._object(errors, loc)
        if template is not None:
            self._note_tables(template.tables)
        return template

    def _note_tables(self, tables: frozenset[str]) -> None:
        for name in tables:
            self.shared.note_use("tables", name)

    def path(
        self, text: str, loc: Loc, *, at_key: bool = False, writes: bool = False
    ) -> Path | None:
        """Return the path *text* of a field, None where it is wrong."""
        try:
            path = parse_path(text)
        except PathError as error:
            self.find(loc, error.what, error.fix, code="LNG-002", at_key=at_key)
            return None
        appends = isinstance(path.repetition, Append) or isinstance(path.segment_selector, Append)
        if appends and not writes:
            self.find(loc, f"{path} appends, it cannot be read", code="LNG-002", at_key=at_key)
            return None
        return path

    def field_path(
        self, text: str, loc: Loc, *, at_key: bool = False, writes: bool = False
    ) -> Path | None:
        """Return the path *text*, which must name a field or a part of one."""
        path = self.path(text, loc, at_key=at_key, writes=writes)
        if path is not None and path.field is None:
            self.find(
                loc, f"{path} is a whole segment", f"name a field, as in {path}-1",
                code="LNG-002", at_key=at_key,
            )  # fmt: skip
            return None
        return path

    def segment(self, name: str, loc: Loc) -> str | None:
        """Return the segment name *name*, None where it is none."""
        if _SEGMENT.fullmatch(name):
            return name
        fix = f"did you mean {name.upper()}?" if _SEGMENT.fullmatch(name.upper()) else ""
        if "," in name:
            fix = f"write a list: [{name}]"
        self.find(loc, f"{name!r} is no segment name", fix or "write three capitals: OBX")
        return None

    def variable(self, name: str, loc: Loc) -> bool:
        """Return whether *name* can be a variable."""
        if name in BUILT_IN or name in ("vars", "delivery_id", "loop"):
            self.find(
                loc, f"{name} is a value of every message", "choose another name", at_key=True
            )
            return False
        if not _VARIABLE.fullmatch(name):
            self.find(
                loc, f"{name!r} cannot be a variable", "write small letters, digits and _",
                at_key=True,
            )  # fmt: skip
            return False
        return True


def loc_of(model: StepModel, *parts: str | int) -> Loc:
    """Return the place of a part of a step's arguments."""
    return (*model.loc, model.kind, *parts)
