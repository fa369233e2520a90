"""What an expression may refer to, and the nearest name where it refers to nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.pipeline.filter_specs import Kind
from engine.pipeline.tables import Table

#: the values of every run
BUILT_IN = {
    "message_id": Kind.TEXT,
    "control_id": Kind.TEXT,
    "received_at": Kind.MOMENT,
    "inbound": Kind.TEXT,
    "route": Kind.TEXT,
    "site": Kind.TEXT,
    "part": Kind.NUMBER,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What an expression may refer to at its place in the configuration."""

    #: variables of let, with and the like
    variables: Mapping[str, Kind] = field(default_factory=dict)
    #: {{ vars.NAME }}
    site_vars: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)
    #: functions beyond the usual ones (pseudonym in de-identification profiles)
    functions: frozenset[str] = frozenset()
    #: whether delivery_id is known (names of files)
    has_delivery: bool = False

    def kind_of(self, name: str) -> Kind | None:
        """Return the kind of variable *name*, None where there is none."""
        if name == "delivery_id" and self.has_delivery:
            return Kind.TEXT
        return self.variables.get(name) or BUILT_IN.get(name)

    def names(self) -> list[str]:
        """Return every variable that can be named here."""
        extra = ["delivery_id"] if self.has_delivery else []
        return [*self.variables, *BUILT_IN, "vars", *extra]


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a proposal for *name*, or ""."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else ""
