"""
Templates with statements ({% for %}, {% if %}, {% set %}) run by Jinja, with our meaning.

The tree is rewritten before Jinja compiles it: every path, variable and operator becomes a call of
the same functions the closures use. Names that begin with an underscore cannot be written by
analysts, so nothing of an analyst's is overruled.

Rules of this file: what is not rewritten here was refused by the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jinja2 import nodes

from engine.hl7.path import Path
from engine.pipeline import meaning
from engine.pipeline.closures import RUN_NAMES
from engine.pipeline.failures import StepFailed
from engine.pipeline.filters import FILTERS, TESTS, lookup, raw_path
from engine.pipeline.loops import Element, elements_of
from engine.pipeline.paths_in_jinja import PATH_PREFIX
from engine.pipeline.run import Run
from engine.pipeline.syntax import ENVIRONMENT
from engine.pipeline.values import Value, check_length, join_texts, kind_of

#: the name the bound run has inside Jinja; no analyst can write it
BOUND = "bound__"


class Bound:
    """What one rendering needs: the run, the paths and constants, how values are written."""

    __slots__ = ("constants", "functions", "run", "write", "written")

    def __init__(
        self,
        run: Run,
        constants: list[Any],
        write: Callable[[Value], str],
        functions: dict[str, Callable[..., Value]],
    ) -> None:
        self.run = run
        self.constants = constants
        self.write = write
        self.functions = functions
        #: characters written so far
        self.written = 0


class Lowering:
    """Rewrites one tree; keeps the constants that Jinja's code cannot hold."""

    def __init__(self, paths: list[Path], site_vars: dict[str, str]) -> None:
        self._paths = paths
        self._site_vars = site_vars
        self._local: list[str] = []
        self.constants: list[Any] = []

    def template(self, tree: nodes.Template) -> nodes.Template:
        """Return *tree* with our meaning."""
        return nodes.Template(self._body(tree.body), lineno=1)

    def result(self, tree: nodes.Expr) -> nodes.Template:
        """Return a template that leaves the value of the expression *tree* in ``result``."""
        target = nodes.Name("result", "store", lineno=1)
        return nodes.Template([nodes.Assign(target, self.value(tree), lineno=1)], lineno=1)

    def _body(self, body: list[nodes.Node]) -> list[nodes.Node]:
        return [self._statement(node) for node in body]

    def _statement(self, node: nodes.Node) -> nodes.Node:
        if isinstance(node, nodes.Output):
            return nodes.Output([self._output(child) for child in node.nodes], lineno=node.lineno)
        if isinstance(node, nodes.If):
            return nodes.If(
                self.value(node.test), self._body(node.body),
                [self._statement(branch) for branch in node.elif_], self._body(node.else_),
                lineno=node.lineno,
            )  # fmt: skip
        if isinstance(node, nodes.Assign):
            assert isinstance(node.target, nodes.Name)
            value = self.value(node.node)
            self._local.append(node.target.name)
            return nodes.Assign(node.target, value, lineno=node.lineno)
        assert isinstance(node, nodes.For)
        return self._loop(node)

    def _loop(self, node: nodes.For) -> nodes.For:
        assert isinstance(node.target, nodes.Name)
        target = node.target.name
        is_each = isinstance(node.iter, nodes.Call)
        turns = self._elements(node.iter) if is_each else self.value(node.iter)
        before = list(self._local)
        self._local += [target, "loop"]
        body = self._body(node.body)
        self._local = before
        if is_each:
            name = nodes.Name(target, "load")
            body = [
                nodes.Output([_call("_enter", name, _bound())]),
                *body,
                nodes.Output([_call("_leave", name, _bound())]),
            ]
        return nodes.For(
            node.target, _call("_turns", turns, _bound()), body, self._body(node.else_), None,
            False, lineno=node.lineno,
        )  # fmt: skip

    def _elements(self, node: nodes.Node) -> nodes.Expr:
        assert isinstance(node, nodes.Call)
        lead = [kwarg.value for kwarg in node.kwargs] or [nodes.List([])]
        return _call("_elements", _bound(), self.value(node.args[0]), self.value(lead[0]))

    def _output(self, node: nodes.Expr) -> nodes.Expr:
        if isinstance(node, nodes.TemplateData):
            return node
        return _call("_write", self.value(node), _bound())

    # -- values ----------------------------------------------------------------------------

    def value(self, node: nodes.Node) -> nodes.Expr:
        """Return the expression *node* with our meaning."""
        method = getattr(self, f"_value_of_{type(node).__name__.lower()}", None)
        if method is not None:
            lowered: nodes.Expr = method(node)
            return lowered
        assert isinstance(node, nodes.BinExpr)
        name = f"_calculate_{node.operator}"
        return _call(name, self.value(node.left), self.value(node.right))

    def _constant(self, value: Any) -> nodes.Expr:
        self.constants.append(value)
        return _call("_constant", _bound(), nodes.Const(len(self.constants) - 1))

    def _value_of_const(self, node: nodes.Const) -> nodes.Expr:
        value = meaning.constant(node.value)
        return nodes.Const(value) if isinstance(value, str | int) else self._constant(value)

    def _value_of_list(self, node: nodes.List) -> nodes.Expr:
        return nodes.List([self.value(item) for item in node.items])

    def _value_of_name(self, node: nodes.Name) -> nodes.Expr:
        if node.name in self._local:
            return node
        if node.name.startswith(PATH_PREFIX):
            self.constants.append(self._paths[int(node.name[len(PATH_PREFIX) :])])
            return _call("_read", _bound(), nodes.Const(len(self.constants) - 1))
        kind = "_of_run" if node.name in RUN_NAMES else "_variable"
        return _call(kind, _bound(), nodes.Const(node.name))

    def _value_of_getattr(self, node: nodes.Getattr) -> nodes.Expr:
        assert isinstance(node.node, nodes.Name)
        if node.node.name == "vars":
            return nodes.Const(self._site_vars[node.attr])
        return node

    def _value_of_condexpr(self, node: nodes.CondExpr) -> nodes.Expr:
        other = self.value(node.expr2) if node.expr2 is not None else nodes.Const("")
        return nodes.CondExpr(self.value(node.test), self.value(node.expr1), other)

    def _value_of_and(self, node: nodes.And) -> nodes.Expr:
        return nodes.And(self.value(node.left), self.value(node.right))

    def _value_of_or(self, node: nodes.Or) -> nodes.Expr:
        return nodes.Or(self.value(node.left), self.value(node.right))

    def _value_of_not(self, node: nodes.Not) -> nodes.Expr:
        return nodes.Not(self.value(node.node))

    def _value_of_neg(self, node: nodes.Neg) -> nodes.Expr:
        return _call("_negative", self.value(node.node))

    def _value_of_pos(self, node: nodes.Pos) -> nodes.Expr:
        return _call("_positive", self.value(node.node))

    def _value_of_concat(self, node: nodes.Concat) -> nodes.Expr:
        return _call("_concat", nodes.List([self.value(part) for part in node.nodes]))

    def _value_of_compare(self, node: nodes.Compare) -> nodes.Expr:
        pairs: list[nodes.Expr] = []
        left = node.expr
        for operand in node.ops:
            pairs.append(_call(f"_is_{operand.op}", self.value(left), self.value(operand.expr)))
            left = operand.expr
        lowered = pairs.pop()
        while pairs:
            lowered = nodes.And(pairs.pop(), lowered)
        return lowered

    def _value_of_test(self, node: nodes.Test) -> nodes.Expr:
        return _call(f"_test_{node.name}", self.value(node.node))

    def _value_of_call(self, node: nodes.Call) -> nodes.Expr:
        assert isinstance(node.node, nodes.Name)
        arguments = [self.value(argument) for argument in node.args]
        kwargs = [nodes.Keyword(kwarg.key, self.value(kwarg.value)) for kwarg in node.kwargs]
        name = nodes.Const(node.node.name)
        return nodes.Filter(_bound(), "_function", [name, *arguments], kwargs, None, None)

    def _value_of_filter(self, node: nodes.Filter) -> nodes.Expr:
        assert node.node is not None
        inner = node.node
        if (
            node.name == "raw"
            and isinstance(inner, nodes.Name)
            and inner.name.startswith(PATH_PREFIX)
        ):
            self.constants.append(self._paths[int(inner.name[len(PATH_PREFIX) :])])
            return _call("_read_raw", _bound(), nodes.Const(len(self.constants) - 1))
        arguments = [self.value(argument) for argument in node.args]
        kwargs = [nodes.Keyword(kwarg.key, self.value(kwarg.value)) for kwarg in node.kwargs]
        value = self.value(inner)
        if FILTERS[node.name].needs_run:
            name = nodes.Const(node.name)
            return nodes.Filter(
                _bound(), "_with_run", [name, value, *arguments], kwargs, None, None
            )
        return nodes.Filter(value, f"_{node.name}", arguments, kwargs, None, None)


def _call(name: str, first: nodes.Expr, *rest: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(first, name, list(rest), [], None, None)


def _bound() -> nodes.Name:
    return nodes.Name(BOUND, "load")


# -- what the rewritten tree calls -------------------------------------------------------------


def _read(bound: Bound, number: int) -> Value:
    return bound.run.read(bound.constants[number])


def _read_raw(bound: Bound, number: int) -> Value:
    return raw_path(bound.run, bound.constants[number])


def _constant_of(bound: Bound, number: int) -> Value:
    return bound.constants[number]


def _of_run(bound: Bound, name: str) -> Value:
    run = bound.run
    return getattr(run.arrived if name in ("message_id", "inbound", "site") else run, name)


def _variable(bound: Bound, name: str) -> Value:
    return bound.run.variables.get(name, "")


def _function(bound: Bound, name: str, *arguments: Value, **named: Value) -> Value:
    if name == "lookup":
        table, column, key, *more = arguments
        return lookup(bound.run, key, table, column, *more, **named)
    return bound.functions[name](bound.run, *arguments)


def _with_run(bound: Bound, name: str, *arguments: Value, **named: Value) -> Value:
    return FILTERS[name].function(bound.run, *arguments, **named)


def _write(value: Value, bound: Bound) -> str:
    text = bound.write(value)
    bound.written += len(text)
    check_length(bound.written)
    return text


def _turns(values: Value, bound: Bound) -> Iterator[Value]:
    if not isinstance(values, list):
        raise StepFailed(f"for runs over a list, not {kind_of(values)}")
    for value in values:
        bound.run.turn()
        yield value


def _elements(bound: Bound, target: str, lead: list[str]) -> list[Element]:
    return elements_of(bound.run, target, lead)


def _enter(element: Element, bound: Bound) -> str:
    bound.run.scope = element.scope
    return ""


def _leave(element: Element, bound: Bound) -> str:
    bound.run.scope = element.scope.parent
    return ""


def _install() -> None:
    calls: dict[str, Callable[..., Any]] = {
        "_read": _read, "_read_raw": _read_raw, "_constant": _constant_of, "_of_run": _of_run,
        "_variable": _variable, "_function": _function, "_with_run": _with_run, "_write": _write,
        "_turns": _turns, "_elements": _elements, "_enter": _enter, "_leave": _leave,
        "_negative": meaning.negative, "_positive": meaning.positive, "_concat": join_texts,
    }  # fmt: skip
    calls |= {f"_is_{name}": function for name, function in meaning.COMPARISONS.items()}
    calls |= {f"_calculate_{sign}": meaning.calculate(sign) for sign in meaning.SIGNS}
    calls |= {f"_test_{name}": function for name, function in TESTS.items()}
    calls |= {f"_{name}": spec.function for name, spec in FILTERS.items()}
    ENVIRONMENT.filters.update(calls)


_install()
