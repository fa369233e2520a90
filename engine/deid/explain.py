"""Which rule decides what becomes of a field, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from engine.deid.catalogue import KINDS, Row, catalogue

if TYPE_CHECKING:
    from engine.deid.plan import Planner


class Explanation(NamedTuple):
    """What becomes of one field (or component) and why."""

    segment: str
    field: int
    #: "" for the field, "1" or "4.2" for a component with a rule of its own
    inner: str
    name: str
    kind: str
    action: str
    #: the rule: profile and key of its YAML
    rule: str
    #: why the catalogue has the field so
    reason: str

    @property
    def path(self) -> str:
        """PID-5 or PID-5.1."""
        return f"{self.segment}-{self.field}" + (f".{self.inner}" if self.inner else "")


def explain_segment(segment: str, planner: Planner) -> list[Explanation]:
    """Return one line per catalogued field of *segment* and per component rule."""
    dropped = planner.segment_decision(segment)
    lines: list[Explanation] = []
    for row in sorted(planner.rows(segment)):
        decision, parts = planner.decide(row)
        if dropped is not None:
            decision, parts = dropped, {}
        reason = row.reason or KINDS.get(row.kind, "the catalogue has no such field")
        lines.append(
            Explanation(
                segment,
                row.field,
                "",
                row.name,
                row.kind,
                decision.rule.action,
                decision.why,
                reason,
            )
        )
        for inner, own in parts.items():
            action = own.rule.action
            lines.append(
                Explanation(segment, row.field, inner, row.name, row.kind, action, own.why, reason)
            )
    return lines


def explain_unknown(segment: str, number: int, unknown: str) -> Explanation:
    """Return the line for a field or segment the catalogue does not know."""
    known = any(place[0] == segment for place in catalogue())
    action = "clear" if known else unknown
    rule = "always: fields beyond the catalogue" if known else f"segments unknown: {unknown}"
    what = "a field the standard does not have" if known else "a segment nobody has reviewed"
    return Explanation(segment, number, "", "", "unknown", action, rule, what)


def row_of(segment: str, number: int) -> Row | None:
    """Return the catalogue's row, None where it has none."""
    return catalogue().get((segment, number))
