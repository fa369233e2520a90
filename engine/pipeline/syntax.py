"""
The sandboxed Jinja environment and the parse from an analyst's text to a syntax tree.

Rules of this file: one environment for all sites; it holds no data; only the filters, tests and
statements of the language are in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from jinja2 import TemplateSyntaxError, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from engine.pipeline.failures import LanguageError
from engine.pipeline.paths_in_jinja import Rewritten, rewrite_expression, rewrite_template

#: texts longer than this are no configuration
_MOST_SOURCE = 200_000
#: operators as other languages spell them
_SPELLED = {
    "eq": "==", "equals": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<=",
    "in": "it small: in", "is": "it small: is",
}  # fmt: skip
_PLAIN = {
    "end of print statement": "}}",
    "end of statement block": "%}",
    "begin of print statement": "{{",
    "end of template": "the end",
}
#: what Jinja says where {% if %} has no {% endif %}, and where a }} was expected
_OPEN_TAG = re.compile(r"innermost block that needs to be closed is '(\w+)'")
_NOT_OVER = re.compile(r"^expected token '\}\}', got ")


def _make_environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        autoescape=False, optimized=False, keep_trailing_newline=True, cache_size=0
    )
    environment.filters.clear()
    environment.tests.clear()
    environment.globals.clear()
    return environment


ENVIRONMENT = _make_environment()


@dataclass(frozen=True, slots=True)
class ParsedExpression:
    """One expression as a tree, with the paths its names stand for."""

    text: str
    rewritten: Rewritten
    tree: nodes.Expr


@dataclass(frozen=True, slots=True)
class ParsedTemplate:
    """One template as a tree, with the paths its names stand for."""

    text: str
    rewritten: Rewritten
    tree: nodes.Template


def parse_expression(text: str) -> ParsedExpression:
    """
    Return the tree of *text*, the text of a `when:` or of one ``{{ }}``.

    Raises:
        LanguageError: it is no expression.
    """
    _check_size(text)
    if "{{" in text or "{%" in text:
        raise LanguageError(
            "this is an expression already",
            "write it without {{ }}",
            offset=text.find("{"),
            code="LNG-001",
        )
    rewritten = rewrite_expression(text)
    try:
        parser = Parser(ENVIRONMENT, rewritten.source, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise _unexpected(str(parser.stream.current.value), rewritten, text)
    except TemplateSyntaxError as error:
        raise _explain(error, rewritten, text) from None
    except RecursionError:
        raise LanguageError("the expression is too deep", code="LNG-001") from None
    return ParsedExpression(text, rewritten, tree)


def parse_template(text: str) -> ParsedTemplate:
    """
    Return the tree of *text*, literal text with ``{{ }}`` in it.

    Raises:
        LanguageError: it is no template.
    """
    _check_size(text)
    rewritten = rewrite_template(text)
    try:
        tree = Parser(ENVIRONMENT, rewritten.source).parse()
    except TemplateSyntaxError as error:
        raise _explain(error, rewritten, text) from None
    except RecursionError:
        raise LanguageError("the template is too deep", code="LNG-001") from None
    return ParsedTemplate(text, rewritten, tree)


def _check_size(text: str) -> None:
    if len(text) > _MOST_SOURCE:
        raise LanguageError(f"the text is longer than {_MOST_SOURCE:,} characters", code="LNG-001")
    if not text.strip():
        raise LanguageError(
            "the expression is empty", "write one or remove the key", code="LNG-001"
        )


def _unexpected(token: str, rewritten: Rewritten, text: str) -> LanguageError:
    shown, offset = _place(token, rewritten, text)
    sign = _SPELLED.get(shown.lower(), "")
    fix = f"write {sign}" if sign else "text needs quotes; join conditions with and / or"
    if shown == ",":
        fix = "a component is written with a dot: PID-5.1; a list stands in [ ]"
    return LanguageError(f"{shown} is not expected here", fix, offset=offset, code="LNG-001")


def _explain(error: TemplateSyntaxError, rewritten: Rewritten, text: str) -> LanguageError:
    """Return Jinja's complaint in the analyst's words."""
    message = error.message or "this cannot be read"
    if open_tag := _OPEN_TAG.search(message):
        tag = open_tag[1]
        what = f"{{% {tag} %}} is never closed"
        fix = f"write {{% end{tag} %}} behind it"
        return LanguageError(what, fix, offset=max(text.find("{%"), 0), code="LNG-001")
    for jinja, plain in _PLAIN.items():
        message = message.replace(jinja, plain)
    got = message.rpartition("got ")[2].strip("'")
    shown, offset = _place(got, rewritten, text)
    if got != shown:
        message = message.replace(got, shown)
    if error.lineno > 1 and not offset:
        offset = _start_of_line(text, error.lineno)
    if _NOT_OVER.search(message):
        statement = shown if got in rewritten.names else ""
        fix = "text needs quotes; a filter needs | before it"
        if re.match(r"\s*(if|for|set)\b", rewritten.source.partition("{{")[2]):
            fix = "write {% if CONDITION %}…{% endif %}, or {{ 'A' if CONDITION else 'B' }}"
        what = f"{statement or shown} is not expected here"
        return LanguageError(what, fix, offset=offset, code="LNG-001")
    return LanguageError(message[0].lower() + message[1:], offset=offset, code="LNG-001")


def _place(token: str, rewritten: Rewritten, text: str) -> tuple[str, int]:
    """Return how the analyst wrote *token*, and where."""
    if token.startswith("path__") and token[6:].isdigit():
        offset = rewritten.offsets[int(token[6:])]
        return str(rewritten.paths[int(token[6:])]), offset
    return token, rewritten.names.get(token, 0)


def _start_of_line(text: str, line: int) -> int:
    return sum(len(part) + 1 for part in text.split("\n")[: line - 1])
