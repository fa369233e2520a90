"""
Compiled templates: any text with ``{{ }}``, and the files of transforms/templates.

Rules of this file: a template of literal text and values alone is run by closures; one with
statements is run by Jinja. Where HL7 is wanted, values are escaped and what is raw is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from jinja2 import nodes

from engine.hl7.delimiters import DEFAULT_DELIMITERS
from engine.hl7.escapes import escape
from engine.hl7.path import Path
from engine.pipeline.checks import Checker
from engine.pipeline.closures import Closer, Closure
from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import Kind
from engine.pipeline.known import Known
from engine.pipeline.lowering import BOUND, Bound, Lowering
from engine.pipeline.run import Run
from engine.pipeline.syntax import ENVIRONMENT, ParsedTemplate, parse_template
from engine.pipeline.template_checks import check_body
from engine.pipeline.values import Raw, Value, join_texts, text_of

Functions = Mapping[str, Callable[..., Value]]
#: how values are written
Write = Callable[[Value], str]


def as_hl7(value: Value) -> str:
    """Return *value* as it stands inside HL7 in the default delimiters."""
    text = text_of(value)
    return text if isinstance(value, Raw) else escape(text, DEFAULT_DELIMITERS)


@dataclass(frozen=True, slots=True)
class Template:
    """One template, ready to run."""

    text: str
    #: the text itself where nothing is computed
    literal: str | None
    #: whether a value is written as HL7 structure
    has_raw: bool
    paths: tuple[Path, ...]
    offsets: tuple[int, ...]
    tables: frozenset[str]
    #: the value itself where the template is one ``{{ }}`` alone
    single: Closure | None
    kind: Kind
    _render: Callable[[Run, Write, Write], str]

    def render(self, run: Run) -> str:
        """Return the text, nothing escaped."""
        if self.literal is not None:
            return self.literal
        return self._render(run, text_of, str)

    def render_hl7(self, run: Run) -> str:
        """Return HL7 in the default delimiters: literals as they are, values escaped."""
        if self.literal is not None:
            return self.literal
        return self._render(run, as_hl7, str)

    def render_escaped(self, run: Run) -> str:
        """Return HL7 in the default delimiters: all escaped but what is raw."""
        return self._render(run, as_hl7, as_hl7)

    def value(self, run: Run) -> Value:
        """Return the value: a number stays one where the template is one ``{{ }}`` alone."""
        return self.single(run) if self.single is not None else self.render(run)


def compile_template(
    text: str, known: Known, functions: Functions | None = None
) -> tuple[Template | None, list[LanguageError]]:
    """Return the template *text*, and all objections to it."""
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return _literal(text), []
    try:
        parsed = parse_template(text)
    except LanguageError as error:
        return None, [error]
    try:
        return _compile(parsed, known, dict(functions or {}))
    except RecursionError:
        return None, [LanguageError("the template is too deep", code="LNG-001")]


def _compile(
    parsed: ParsedTemplate, known: Known, functions: dict[str, Callable[..., Value]]
) -> tuple[Template | None, list[LanguageError]]:
    checker = Checker(known, parsed.rewritten, parsed.text)
    kind = check_body(checker, parsed.tree.body)
    if checker.objections:
        return None, checker.objections
    closer = Closer(parsed.rewritten.paths, dict(known.site_vars), functions)
    render = _with_closures(parsed, closer) or _with_jinja(parsed, known, functions)
    template = Template(
        text=parsed.text,
        literal=None,
        has_raw=any(node.name == "raw" for node in parsed.tree.find_all(nodes.Filter)),
        paths=tuple(parsed.rewritten.paths),
        offsets=tuple(parsed.rewritten.offsets),
        tables=frozenset(checker.tables_used),
        single=_single(parsed, closer),
        kind=kind,
        _render=render,
    )
    return template, []


def _literal(text: str) -> Template:
    return Template(
        text=text, literal=text, has_raw=False, paths=(), offsets=(), tables=frozenset(),
        single=None, kind=Kind.TEXT, _render=lambda run, write, literal: literal(text),
    )  # fmt: skip


def _with_closures(
    parsed: ParsedTemplate, closer: Closer
) -> Callable[[Run, Write, Write], str] | None:
    """Return a renderer for literal text and values; None where there are statements."""
    parts: list[str | Closure] = []
    for statement in parsed.tree.body:
        if not isinstance(statement, nodes.Output):
            return None
        for node in statement.nodes:
            parts.append(
                node.data if isinstance(node, nodes.TemplateData) else closer.close(node)
            )  # fmt: skip
    if len(parts) == 1 and not isinstance(parts[0], str):
        only = parts[0]
        return lambda run, write, literal: write(only(run))

    def render(run: Run, write: Write, literal: Write) -> str:
        texts = [
            literal(part) if isinstance(part, str) else write(part(run)) for part in parts
        ]  # fmt: skip
        return join_texts(texts)

    return render


def _with_jinja(
    parsed: ParsedTemplate, known: Known, functions: dict[str, Callable[..., Value]]
) -> Callable[[Run, Write, Write], str]:
    lowering = Lowering(parsed.rewritten.paths, dict(known.site_vars))
    tree = lowering.template(parsed.tree)
    tree.set_environment(ENVIRONMENT)
    compiled = ENVIRONMENT.from_string(tree)

    def render(run: Run, write: Write, literal: Write) -> str:
        bound = Bound(run, lowering.constants, write, functions)
        scope = run.scope
        try:
            context = compiled.new_context({BOUND: bound})
            return join_texts(compiled.root_render_func(context))
        finally:
            run.scope = scope

    return render


def _single(parsed: ParsedTemplate, closer: Closer) -> Closure | None:
    if len(parsed.tree.body) != 1:
        return None
    output = parsed.tree.body[0]
    if not isinstance(output, nodes.Output) or len(output.nodes) != 1:
        return None
    only = output.nodes[0]
    return None if isinstance(only, nodes.TemplateData) else closer.close(only)
