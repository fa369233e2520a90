"""
What a recorder is told while a message runs: each step's before and after, and what decided.

Rules of this file: nothing here runs unless somebody asked; records hold values of the message and
go only to those who may see them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.hl7.message import Message
from engine.model.finding import Loc

if TYPE_CHECKING:
    from engine.pipeline.compiled import CompiledRoute
    from engine.pipeline.expressions import Expression
    from engine.pipeline.run import Run
    from engine.pipeline.steps.base import Step


@dataclass(slots=True)
class Decision:
    """A condition that decided, with the values it looked at."""

    rule: str
    #: (path, value) of everything the rule reads
    values: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class StepRecord:
    """One step on one output."""

    #: inbound, route or outbound, and its name
    place: str
    owner: str
    number: str
    kind: str
    loc: Loc
    #: run, skipped, failed or filtered
    outcome: str
    part: int = 1
    about: str = ""
    #: name of the output of an emit step, or ""
    output: str = ""
    #: the element of a loop, such as ``OBR[2] OBX[1]``, or ""
    element: str = ""
    before: Message | None = None
    after: Message | None = None
    #: the condition that let it run or not
    decision: Decision | None = None
    #: alternative of a choose that was taken, from 1; 0 where none was
    branch: int = 0
    #: what its look-ups came to: hit, miss
    lookups: frozenset[str] = frozenset()
    log: tuple[str, ...] = ()


@dataclass(slots=True)
class Recorder:
    """Collects the records of one run."""

    records: list[StepRecord] = field(default_factory=list)
    #: what each route's own `when` looked at, where it was not met
    route_decisions: dict[str, Decision] = field(default_factory=dict)
    #: routes whose own `when` was met, or that have none
    routes_begun: set[str] = field(default_factory=set)
    #: (table, row number) of every look-up that found something; row 0 where one found nothing
    rows_used: list[tuple[str, int]] = field(default_factory=list)
    _place: tuple[str, str] = ("", "")
    #: steps that have begun, each with how many look-ups there were before it
    _open: list[tuple[StepRecord, int]] = field(default_factory=list)

    def enter(self, place: str, owner: str) -> None:
        """The steps that follow belong to *owner*."""
        self._place = (place, owner)

    def note_when(self, route: CompiledRoute, run: Run) -> None:
        """A route's own condition was not met."""
        assert route.when is not None
        self.route_decisions[route.name] = decision_of(route.when, run)

    def skip(self, step: Step, run: Run) -> None:
        """The step's condition was not met."""
        self.records.append(self._record(step, run, "skipped"))

    def begin(self, step: Step, run: Run) -> StepRecord:
        """The step is about to run."""
        record = self._record(step, run, "run")
        record.before = run.snapshot()
        self.records.append(record)
        self._open.append((record, len(self.rows_used)))
        return record

    def end(self, record: StepRecord, run: Run, outcome: str) -> None:
        """The step is done: run, filtered or failed."""
        before = 0
        while self._open:
            last, before = self._open.pop()
            if last is record:
                break
        if record.kind == "lookup":
            used = self.rows_used[before:]
            record.lookups = frozenset(["hit" if row else "miss" for _, row in used])
        record.outcome = outcome
        if outcome != "failed":
            record.after = run.snapshot()

    def note_branch(self, number: int) -> None:
        """The choose step at hand took alternative *number*."""
        if self._open:
            self._open[-1][0].branch = number

    def note_log(self, lines: Sequence[str]) -> None:
        """The Python step at hand logged *lines*."""
        if self._open:
            self._open[-1][0].log += tuple(lines)

    def _record(self, step: Step, run: Run, outcome: str) -> StepRecord:
        place, owner = self._place
        record = StepRecord(
            place, owner, step.number, step.kind, step.loc, outcome, run.part, step.about,
            run.output,
            run.scope.label if run.scope is not None else "",
        )  # fmt: skip
        if step.when is not None:
            record.decision = decision_of(step.when, run)
        return record


def decision_of(rule: Expression, run: Run) -> Decision:
    """Return what *rule* looked at."""
    values = []
    for path in dict.fromkeys(rule.paths):
        value = run.read(path)
        values.append((str(path), "~".join(value) if isinstance(value, list) else str(value)))
    return Decision(rule.text, tuple(values))
