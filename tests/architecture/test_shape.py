"""The shape of the code: sizes, names, docstrings, tests that do not sleep."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_module_is_short(path: Path) -> None:
    """No module has outgrown what one can read in one sitting."""
    assert len(path.read_text().splitlines()) <= MOST_MODULE_LINES


def test_long_modules_stay_few() -> None:
    """Modules of more than 400 lines are an exception, and there are not more of them."""
    long = [_id(path) for path in MODULES if len(path.read_text().splitlines()) > LONG_MODULE_LINES]
    assert len(long) <= MOST_LONG_MODULES, long


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_functions_are_short(path: Path) -> None:
    """No function is longer than a screen."""
    long = [
        f"{node.name} ({(node.end_lineno or 0) - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_FUNCTION_LINES
    ]
    assert long == []


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_names_say_something(path: Path) -> None:
    """No module, class or function is called manager, handler, helper, util, common or info."""
    found = [f"module {path.stem}"] if _words(path.stem) & BANNED else []
    for kind, name, line in _definitions(ast.parse(path.read_text())):
        if _words(name) & (BANNED - FOREIGN):
            found.append(f"{kind} {name}, line {line}")
    assert found == []


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_public_things_are_explained(path: Path) -> None:
    """Every module, and every public class and function on top level, has a docstring."""
    tree = ast.parse(path.read_text())
    missing = [] if ast.get_docstring(tree) or not path.read_text().strip() else ["the module"]
    for node in tree.body:
        if (
            isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            missing.append(node.name)
    assert missing == []


@pytest.mark.parametrize("path", MODULES, ids=_id)
def test_nothing_is_left_for_later(path: Path) -> None:
    """No source file holds a to-do mark or a line that tests are told to overlook."""
    text = path.read_text()
    assert not re.search(r"\b(TODO|FIXME|XXX)\b|pragma: no cover", text)


@pytest.mark.parametrize("path", TEST_FILES, ids=_id)
def test_tests_do_not_sleep(path: Path) -> None:
    """No test waits for time to pass; it waits for what must happen."""
    asleep = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) == "sleep"
        and not (node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
    ]
    assert asleep == []


@pytest.mark.parametrize("path", TEST_FILES, ids=_id)
def test_every_test_says_what_it_shows(path: Path) -> None:
    """Every test has a docstring: the sentence that is false when it fails."""
    silent = [
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]
    assert silent == []
