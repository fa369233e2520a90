"""
Expressions as plain Python closures: no interpreter, no code generation.

Rules of this file: one small function per kind of node, each returning a function of the run; the
meaning of every operator comes from meaning.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import nodes

from engine.hl7.path import Path
from engine.pipeline import meaning
from engine.pipeline.filters import FILTERS, TESTS, lookup, raw_path
from engine.pipeline.paths_in_jinja import PATH_PREFIX
from engine.pipeline.run import Run
from engine.pipeline.values import NULL, Value, join_texts

Closure = Callable[[Run], Value]

#: names read from the run itself rather than from its variables
RUN_NAMES = frozenset(
    {"message_id", "control_id", "received_at", "inbound", "route", "site", "part", "delivery_id"}
)
_FROM_ARRIVED = frozenset({"message_id", "inbound", "site"})


class CannotClose(Exception):
    """The node is no plain expression; Jinja runs it."""


class Closer:
    """Turns the nodes of one expression into closures."""

    def __init__(
        self,
        paths: list[Path],
        site_vars: dict[str, str],
        functions: dict[str, Callable[..., Value]] | None = None,
    ) -> None:
        self._paths = paths
        self._site_vars = site_vars
        self._functions = functions or {}

    def close(self, node: nodes.Node) -> Closure:
        """Return *node* as a function of the run."""
        method = getattr(self, f"_close_{type(node).__name__.lower()}", None)
        if method is None:
            if isinstance(node, nodes.BinExpr):
                return self._close_arithmetic(node)
            raise CannotClose(type(node).__name__)
        closure: Closure = method(node)
        return closure

    def _close_const(self, node: nodes.Const) -> Closure:
        value = meaning.constant(node.value)
        return lambda run: value

    def _close_list(self, node: nodes.List) -> Closure:
        if all(isinstance(item, nodes.Const) for item in node.items):
            values = [meaning.constant(item.value) for item in node.items]  # type: ignore[attr-defined]
            return lambda run: values
        items = [self.close(item) for item in node.items]
        return lambda run: [item(run) for item in items]

    def _close_name(self, node: nodes.Name) -> Closure:
        name = node.name
        if name.startswith(PATH_PREFIX):
            return read_path(self._paths[int(name[len(PATH_PREFIX) :])])
        if name in _FROM_ARRIVED:
            return lambda run: getattr(run.arrived, name)
        if name in RUN_NAMES:
            return lambda run: getattr(run, name)
        return lambda run: run.variables.get(name, "")

    def _close_getattr(self, node: nodes.Getattr) -> Closure:
        if isinstance(node.node, nodes.Name) and node.node.name == "vars":
            text = self._site_vars[node.attr]
            return lambda run: text
        raise CannotClose("Getattr")

    def _close_condexpr(self, node: nodes.CondExpr) -> Closure:
        test, yes = self.close(node.test), self.close(node.expr1)
        no: Closure = self.close(node.expr2) if node.expr2 is not None else lambda run: ""
        return lambda run: yes(run) if test(run) else no(run)

    def _close_and(self, node: nodes.And) -> Closure:
        left, right = self.close(node.left), self.close(node.right)
        return lambda run: left(run) and right(run)

    def _close_or(self, node: nodes.Or) -> Closure:
        left, right = self.close(node.left), self.close(node.right)
        return lambda run: left(run) or right(run)

    def _close_not(self, node: nodes.Not) -> Closure:
        inner = self.close(node.node)
        return lambda run: not inner(run)

    def _close_neg(self, node: nodes.Neg) -> Closure:
        inner = self.close(node.node)
        return lambda run: meaning.negative(inner(run))

    def _close_pos(self, node: nodes.Pos) -> Closure:
        inner = self.close(node.node)
        return lambda run: meaning.positive(inner(run))

    def _close_concat(self, node: nodes.Concat) -> Closure:
        parts = [self.close(part) for part in node.nodes]
        return lambda run: join_texts([part(run) for part in parts])

    def _close_arithmetic(self, node: nodes.BinExpr) -> Closure:
        operation = meaning.calculate(node.operator)
        left, right = self.close(node.left), self.close(node.right)
        return lambda run: operation(left(run), right(run))

    def _close_compare(self, node: nodes.Compare) -> Closure:
        if len(node.ops) == 1:
            return self._close_pair(node.expr, node.ops[0])
        first = self.close(node.expr)
        links = [(meaning.COMPARISONS[op.op], self.close(op.expr)) for op in node.ops]

        def chain(run: Run) -> bool:
            left = first(run)
            for compare, closure in links:
                right = closure(run)
                if not compare(left, right):
                    return False
                left = right
            return True

        return chain

    def _close_pair(self, left_node: nodes.Expr, operand: nodes.Operand) -> Closure:
        left, right_node = self.close(left_node), operand.expr
        quick = _quick_pair(left, left_node, operand.op, right_node)
        if quick is not None:
            return quick
        compare, right = meaning.COMPARISONS[operand.op], self.close(right_node)
        return lambda run: compare(left(run), right(run))

    def _close_test(self, node: nodes.Test) -> Closure:
        test, inner = TESTS[node.name], self.close(node.node)
        return lambda run: test(inner(run))

    def _close_call(self, node: nodes.Call) -> Closure:
        name = node.node.name if isinstance(node.node, nodes.Name) else ""
        arguments = [self.close(argument) for argument in node.args]
        if name == "lookup":
            table, column, *keys = arguments
            named = self._named(node.kwargs)
            return lambda run: lookup(
                run, keys[0](run), table(run), column(run), *[key(run) for key in keys[1:]],
                **{key: value(run) for key, value in named.items()},
            )  # fmt: skip
        function = self._functions[name]
        return lambda run: function(run, *[argument(run) for argument in arguments])

    def _close_filter(self, node: nodes.Filter) -> Closure:
        assert node.node is not None
        if node.name == "raw" and _is_path(node.node):
            path = self._paths[int(node.node.name[len(PATH_PREFIX) :])]  # type: ignore[attr-defined]
            return lambda run: raw_path(run, path)
        spec, inner = FILTERS[node.name], self.close(node.node)
        function, needs_run = spec.function, spec.needs_run
        arguments = [self.close(argument) for argument in node.args]
        named = self._named(node.kwargs)
        if needs_run:
            return lambda run: function(
                run, inner(run), *[argument(run) for argument in arguments],
                **{key: value(run) for key, value in named.items()},
            )  # fmt: skip
        if not arguments and not named:
            return lambda run: function(inner(run))
        if all(isinstance(arg, nodes.Const) for arg in node.args) and not named:
            fixed = [meaning.constant(arg.value) for arg in node.args]  # type: ignore[attr-defined]
            return lambda run: function(inner(run), *fixed)
        return lambda run: function(
            inner(run), *[argument(run) for argument in arguments],
            **{key: value(run) for key, value in named.items()},
        )  # fmt: skip

    def _named(self, kwargs: list[Any]) -> dict[str, Closure]:
        return {kwarg.key: self.close(kwarg.value) for kwarg in kwargs}


def read_path(path: Path) -> Closure:
    """Return a function that reads *path*."""
    if path.has_all:
        return lambda run: run.read(path)

    def read(run: Run) -> Value:
        if run.scope is not None:
            return run.read(path)
        text = run.message.get(path)
        return NULL if text == '""' else text

    return read


def _is_path(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name.startswith(PATH_PREFIX)


def _quick_pair(
    left: Closure, left_node: nodes.Expr, operation: str, right_node: nodes.Expr
) -> Closure | None:
    """Return the comparison of a path's text with written-out text, without any checks of kind."""
    if not _is_path(left_node):
        return None
    if isinstance(right_node, nodes.Const) and isinstance(right_node.value, str):
        text: str = right_node.value
        if operation == "eq":
            return lambda run: left(run) == text
        if operation == "ne":
            return lambda run: left(run) != text
    if isinstance(right_node, nodes.List) and operation in ("in", "notin"):
        texts = [item.value for item in right_node.items if isinstance(item, nodes.Const)]
        if len(texts) == len(right_node.items) and all(isinstance(text, str) for text in texts):
            choices = frozenset(texts)
            if operation == "in":
                return lambda run: left(run) in choices
            return lambda run: left(run) not in choices
    return None
