"""The shape of the code: sizes, names, docstrings, tests that do not sleep."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "engine").rglob("*.py"))
TEST_FILES = sorted((ROOT / "tests").rglob("*.py"))

#: lines of a module: above this it must be split
MOST_MODULE_LINES = 600
#: lines of a module: above this somebody should ask why; counted, so that it does not creep
LONG_MODULE_LINES = 400
MOST_LONG_MODULES = 6
MOST_FUNCTION_LINES = 80

BANNED = {"manager", "handler", "helper", "helpers", "util", "utils", "common", "info", "process"}
#: names that other libraries demand, and the site's key for its folder
FOREIGN = {"handler", "info"}


def _id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _words(name: str) -> set[str]:
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
    return {part for part in parts if part}


def _definitions(tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield "class", node.name, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "function", node.name, node.lineno


def found_in(paths: list[Path], rule: Callable[[Path], list[str]]) -> dict[str, list[str]]:
    """Return what *rule* has to say, by file; empty when every file keeps it."""
    told = {_id(path): rule(path) for path in paths}
    return {name: texts for name, texts in told.items() if texts}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_modules_are_short() -> None:
    """No module has outgrown what one can read in one sitting."""
    lengths = {_id(path): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: n for name, n in lengths.items() if n > MOST_MODULE_LINES} == {}
    long = {name: n for name, n in lengths.items() if n > LONG_MODULE_LINES}
    assert len(long) <= MOST_LONG_MODULES, long


def test_functions_are_short() -> None:
    """No function is longer than a screen."""

    def rule(path: Path) -> list[str]:
        lengths = (
            (node.name, (node.end_lineno or 0) - node.lineno + 1) for node in _functions(path)
        )
        return [f"{name} ({lines} lines)" for name, lines in lengths if lines > MOST_FUNCTION_LINES]

    assert found_in(MODULES, rule) == {}


def test_names_say_something() -> None:
    """No module, class or function is called manager, handler, helper, util, common or info."""

    def rule(path: Path) -> list[str]:
        found = [f"module {path.stem}"] if _words(path.stem) & BANNED else []
        for kind, name, line in _definitions(_tree(path)):
            if _words(name) & (BANNED - FOREIGN):
                found.append(f"{kind} {name}, line {line}")
        return found

    assert found_in(MODULES, rule) == {}


def test_public_things_are_explained() -> None:
    """Every module, and every public class and function on top level, has a docstring."""

    def rule(path: Path) -> list[str]:
        tree = _tree(path)
        missing = [] if ast.get_docstring(tree) or not tree.body else ["the module"]
        return missing + [
            node.name
            for node in tree.body
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ]

    assert found_in(MODULES, rule) == {}


def test_nothing_is_left_for_later() -> None:
    """No source file holds a to-do mark or a line that tests are told to overlook."""
    marks = re.compile(r"\b(?:TODO|FIXME|XXX)\b|pragma: no cover")
    assert found_in(MODULES, lambda path: marks.findall(path.read_text())) == {}


def test_tests_do_not_sleep() -> None:
    """No test waits for time to pass; it waits for what must happen."""

    def rule(path: Path) -> list[str]:
        return [
            f"line {node.lineno}"
            for node in ast.walk(_tree(path))
            if isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", "")) == "sleep"
            and not (
                node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
            )
        ]

    assert found_in(TEST_FILES, rule) == {}


def test_every_test_says_what_it_shows() -> None:
    """Every test has a docstring: the sentence that is false when it fails."""

    def rule(path: Path) -> list[str]:
        return [
            node.name
            for node in _functions(path)
            if node.name.startswith("test_") and not ast.get_docstring(node)
        ]

    assert found_in(TEST_FILES, rule) == {}
