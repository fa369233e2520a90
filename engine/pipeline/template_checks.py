"""What a template may be made of: literal text, values, for, if and set."""

from __future__ import annotations

from jinja2 import nodes

from engine.hl7.errors import PathError
from engine.hl7.path import FIRST, Path, parse_path
from engine.pipeline.checks import Checker
from engine.pipeline.failures import LanguageError
from engine.pipeline.filter_specs import Kind


def check_body(checker: Checker, body: list[nodes.Node]) -> Kind:
    """Check statements; return the kind where the body is one value alone."""
    kind = Kind.TEXT
    count = 0
    for node in body:
        if isinstance(node, nodes.Output):
            for child in node.nodes:
                count += 1
                if not isinstance(child, nodes.TemplateData):
                    kind = _check_output(checker, child)
        else:
            count += 2
            _check_statement(checker, node)
    return kind if count == 1 else Kind.TEXT


def _check_output(checker: Checker, node: nodes.Expr) -> Kind:
    kind = checker.kind_of(node)
    if kind is Kind.LIST:
        checker.refuse_list(node)
    return kind


def _check_statement(checker: Checker, node: nodes.Node) -> None:
    if isinstance(node, nodes.If):
        checker.check_condition(node.test)
        for body in (node.body, node.elif_, node.else_):
            check_body(checker, list(body))
    elif isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name):
        _refuse_segment_name(checker, node.target)
        checker.local[node.target.name] = checker.kind_of(node.node)
    elif isinstance(node, nodes.For):
        _check_loop(checker, node)
    else:
        checker.object(
            "LNG-015",
            f"a template has no {type(node).__name__.lower()}",
            "known are for, if and set",
        )


def _refuse_segment_name(checker: Checker, target: nodes.Name) -> None:
    path = checker.path_of(target)
    if path is not None:
        checker.object(
            "LNG-015", f"{path} is a path and cannot name a value", "choose small letters",
            offset=checker.place_of(target),
        )  # fmt: skip


def _check_loop(checker: Checker, node: nodes.For) -> None:
    if not isinstance(node.target, nodes.Name) or node.recursive:
        checker.object("LNG-015", "write {% for NAME in LIST %}")
        return
    if node.test is not None:
        checker.object(
            "LNG-015", "a loop has no condition of its own", "put {% if … %} inside the loop"
        )
    _refuse_segment_name(checker, node.target)
    is_each = isinstance(node.iter, nodes.Call) and _check_each(checker, node.iter)
    if not is_each and checker.kind_of(node.iter) not in (Kind.LIST, Kind.ANY):
        checker.object(
            "LNG-015",
            "for runs over a list",
            "write {% for x in OBX[*]-5 %} or {% for n in each('OBX') %}",
            offset=checker.place_of(node.iter),
        )
    outer = dict(checker.local)
    checker.local |= {node.target.name: Kind.NUMBER if is_each else Kind.TEXT, "loop": Kind.ANY}
    check_body(checker, node.body)
    checker.local = outer
    check_body(checker, node.else_)


def _check_each(checker: Checker, node: nodes.Call) -> bool:
    if not isinstance(node.node, nodes.Name) or node.node.name != "each":
        return False
    target = node.args[0].value if node.args and isinstance(node.args[0], nodes.Const) else None
    keys = [kwarg.key for kwarg in node.kwargs]
    if not isinstance(target, str) or len(node.args) != 1 or keys not in ([], ["lead"]):
        checker.object("LNG-015", "write each('OBX') or each('OBR', lead=['ORC'])")
        return True
    try:
        parse_target(target)
    except LanguageError as error:
        checker.object(error.code, error.what, error.fix)
    return True


def parse_target(text: str) -> Path:
    """Return what `each` runs over: a segment or a field; raises LanguageError."""
    try:
        path = parse_path(text)
    except PathError as error:
        raise LanguageError(error.what, error.fix, code="LNG-002") from None
    if path.component is not None or path.repetition != FIRST:
        raise LanguageError(
            "each runs over segments or the repetitions of a field", "write each: PID-3",
            code="LNG-002",
        )  # fmt: skip
    return path
