"""Python steps, looked at without running them: the module, the function, its parameters."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from engine.check.references import unknown
from engine.check.walk import walk_site
from engine.config.models.site import Site
from engine.model.finding import Finding, Loc, Mark


def check_python(site: Site) -> Iterator[Finding]:
    """Yield a finding for every source that does not compile and every call that goes nowhere."""
    functions: dict[str, dict[str, ast.FunctionDef] | None] = {}
    for module, source in site.python.items():
        file = f"transforms/python/{module}.py"
        try:
            tree = ast.parse(source, file)
        except (SyntaxError, ValueError) as error:
            functions[module] = None
            line, column = getattr(error, "lineno", 1) or 1, getattr(error, "offset", 1) or 1
            what = f"this is not Python: {getattr(error, 'msg', error)}"
            yield Finding("CFG-107", what, "correct the line", mark=Mark(file, line, column))
            continue
        functions[module] = {
            node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)
        }
    for visit in walk_site(site):
        if visit.step.kind == "python":
            args = visit.step.args
            loc: Loc = (*visit.loc, "python", "call")
            yield from _check_call(args.module, args.function, functions, loc)


def _check_call(
    module: str,
    function: str,
    functions: dict[str, dict[str, ast.FunctionDef] | None],
    loc: Loc,
) -> Iterator[Finding]:
    if module not in functions:
        yield unknown("CFG-107", "module in transforms/python named", module, functions, loc)
        return
    known = functions[module]
    if known is None:
        return
    if function not in known:
        yield unknown("CFG-107", f"function in {module}.py named", function, known, loc)
        return
    parameters = known[function].args
    required = len(parameters.args) + len(parameters.posonlyargs) - len(parameters.defaults)
    most = len(parameters.args) + len(parameters.posonlyargs)
    if required > 2 or (most < 2 and parameters.vararg is None):
        what = f"{function} must take (message, context)"
        yield Finding("CFG-107", what, f"write def {function}(message, context):", loc=loc)
