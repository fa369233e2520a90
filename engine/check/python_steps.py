"""Python steps, looked at without running them: what the function takes."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from engine.check.walk import walk_site
from engine.config.models.site import Site
from engine.model.finding import Finding, Loc


def check_python(site: Site) -> Iterator[Finding]:
    """Yield a finding for every function that cannot be called with (message, context)."""
    for visit in walk_site(site):
        if visit.step.kind != "python":
            continue
        args = visit.step.args
        function = _find_function(site.python.get(args.module, ""), args.function)
        if function is not None and not _takes_two(function.args):
            what = f"{args.function} cannot be called with a message and a context"
            fix = f"write def {args.function}(message, context):"
            loc: Loc = (*visit.loc, "python", "call")
            yield Finding("CFG-107", what, fix, loc=loc)


def _find_function(source: str, name: str) -> ast.FunctionDef | None:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None  # told where the step is compiled
    return next(
        (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name),
        None,
    )


def _takes_two(parameters: ast.arguments) -> bool:
    positional = len(parameters.posonlyargs) + len(parameters.args)
    required = positional - len(parameters.defaults)
    keyword_only = sum(default is None for default in parameters.kw_defaults)
    most = 2 if parameters.vararg is not None else positional
    return required <= 2 <= most and not keyword_only
