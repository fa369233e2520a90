"""Compiled expressions: `when:`, `where:` and what stands inside ``{{ }}``."""

from __future__ import annotations

from dataclasses import dataclass

from engine.hl7.path import Path
from engine.pipeline.checks import Checker
from engine.pipeline.closures import Closer, Closure
from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import Kind
from engine.pipeline.known import Known
from engine.pipeline.lowering import BOUND, Bound, Lowering
from engine.pipeline.run import Run
from engine.pipeline.syntax import ENVIRONMENT, parse_expression
from engine.pipeline.values import Value, text_of


@dataclass(frozen=True, slots=True)
class Expression:
    """One expression, ready to run: call `value(run)`."""

    text: str
    value: Closure
    kind: Kind
    #: paths it reads, for traces and warnings
    paths: tuple[Path, ...]
    #: where each of them begins in the text
    offsets: tuple[int, ...]
    tables: frozenset[str]

    def holds(self, run: Run) -> bool:
        """Return whether the condition is met."""
        return bool(self.value(run))


def compile_condition(text: str, known: Known) -> tuple[Expression | None, list[LanguageError]]:
    """Return the expression *text* asked for yes or no, and all objections to it."""
    return _compile(text, known, is_condition=True)


def compile_expression(text: str, known: Known) -> tuple[Expression | None, list[LanguageError]]:
    """Return the expression *text*, and all objections to it."""
    return _compile(text, known, is_condition=False)


def _compile(
    text: str, known: Known, *, is_condition: bool
) -> tuple[Expression | None, list[LanguageError]]:
    try:
        parsed = parse_expression(text)
    except LanguageError as error:
        return None, [error]
    checker = Checker(known, parsed.rewritten, text)
    closer = Closer(parsed.rewritten.paths, dict(known.site_vars))
    try:
        if is_condition:
            checker.check_condition(parsed.tree)
        kind = checker.kind_of(parsed.tree) if not checker.objections else Kind.ANY
        if checker.objections:
            return None, checker.objections
        closure = closer.close(parsed.tree)
    except RecursionError:
        return None, [LanguageError("the expression is too deep", code="LNG-001")]
    expression = Expression(
        text=text,
        value=closure,
        kind=kind,
        paths=tuple(parsed.rewritten.paths),
        offsets=tuple(parsed.rewritten.offsets),
        tables=frozenset(checker.tables_used),
    )
    return expression, []


def compile_with_jinja(text: str, known: Known) -> Closure:
    """Return the same expression run by Jinja; the second opinion on the closures."""
    parsed = parse_expression(text)
    lowering = Lowering(parsed.rewritten.paths, dict(known.site_vars))
    template = ENVIRONMENT.from_string(lowering.result(parsed.tree))

    def run_it(run: Run) -> Value:
        bound = Bound(run, lowering.constants, text_of, {})
        context = template.new_context({BOUND: bound})
        for _ in template.root_render_func(context):
            pass
        return context.vars["result"]

    return run_it
