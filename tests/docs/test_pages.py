"""The documentation says what the program does, no more and no less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.config.models.steps import STEP_FORMS
from engine.config.yaml_tree import parse_tree
from engine.model import states
from engine.pipeline.filters import FILTERS
from engine.pipeline.validation_profile import parse_validation_profile
from tests.docs import render
from tests.docs.example_site import errors_of, site_with_steps

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)[ ]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """One fenced block of a page."""

    page: Path
    line: int
    language: str
    note: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """Give the fenced blocks of a page."""
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match[1], match[2].strip(), match[3])


ALL_BLOCKS = [block for page in PAGES for block in blocks(page)]


def _id(value: Path | Block) -> str:
    return f"{value.page.name}:{value.line}" if isinstance(value, Block) else value.name


@pytest.mark.parametrize("page", render.pages(), ids=_id)
def test_made_parts_are_current(page: Path) -> None:
    """What a page repeats from the program is what the program says now; `make docs` renews it."""
    text = page.read_text()
    assert text == render.rendered(text)


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the project leads to a file that is there."""
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_commands_in_pages_exist(page: Path) -> None:
    """Every `medbus VERB --option` a page shows is a verb and an option that exist."""
    known = dict(render.all_commands())
    shown = re.findall(r"`medbus ([a-z][^`]*)`", page.read_text())
    for block in blocks(page):
        if block.language == "sh":
            shown += re.findall(r"^\s*(?:\$ )?medbus ([^#\n]*)", block.text, re.MULTILINE)
    wrong = []
    for words in (
        part.split() for text in shown for part in re.split(r"&& medbus |; medbus ", text)
    ):
        if words[0].startswith("-"):
            words = words[2:]
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        if name not in known:
            wrong.append(f"medbus {' '.join(words)}: no such command")
            continue
        options = {option for parameter in known[name].params for option in parameter.opts}
        wrong += [
            f"medbus {name} has no {word}"
            for word in words
            if word.startswith("--") and word.split("=")[0] not in options | {"--help"}
        ]
    assert wrong == []


@pytest.mark.parametrize(
    "block", [b for b in ALL_BLOCKS if b.language == "yaml" and b.note == "step"], ids=_id
)
def test_step_examples_pass_check(block: Block) -> None:
    """Every example of a step passes `check` as it stands in the page."""
    assert errors_of(site_with_steps(block.text)) == []


@pytest.mark.parametrize(
    "block", [b for b in ALL_BLOCKS if b.language == "yaml" and b.note == "mistake"], ids=_id
)
def test_mistakes_are_found(block: Block) -> None:
    """Every mistake a page shows is refused by `check`."""
    assert errors_of(site_with_steps(block.text)) != []


@pytest.mark.parametrize("page", PAGES, ids=_id)
def test_site_examples_pass_check(page: Path) -> None:
    """The files a page shows make a site, together, that passes `check`."""
    files = {
        block.note.removeprefix("file="): block.text.encode()
        for block in blocks(page)
        if block.note.startswith("file=")
    }
    if not files:
        files = {"medbus.yaml": b"site: docs\n"}
    elif "medbus.yaml" not in files:
        files = {**site_with_steps("- set: {MSH-5: LIS}"), **files}
    assert errors_of(files) == []


def test_every_yaml_example_is_checked() -> None:
    """No YAML stands in a page without a note that says how it is checked."""
    unchecked = [
        _id(block)
        for block in ALL_BLOCKS
        if block.language == "yaml"
        and block.note not in ("step", "mistake")
        and not block.note.startswith("file=")
        and block.page.name not in ("findings.md", "deidentification.md")
    ]
    assert unchecked == []


def _text(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def test_every_step_is_documented() -> None:
    """The language page has a section for every step."""
    page = _text("language.md")
    assert [kind for kind in STEP_FORMS if f"### `{kind}`" not in page] == []


def test_every_filter_is_documented() -> None:
    """The language page has a row for every filter."""
    page = _text("language.md")
    assert [name for name in FILTERS if f"| `{name}` |" not in page] == []


def test_every_code_is_documented() -> None:
    """The errors page has a row for every code the source knows."""
    page = _text("errors.md")
    assert [code for code in render.all_codes() if f"`{code}`" not in page] == []


def test_every_code_says_something() -> None:
    """No code on the errors page is without words."""
    silent = [
        row for row in _text("errors.md").splitlines() if re.fullmatch(r"\| `\S+` \|  \|.*", row)
    ]
    assert silent == []


def test_every_metric_is_documented() -> None:
    """The metrics page has a row for every metric, and there are metrics."""
    page = _text("metrics.md")
    metrics = render.all_metrics()
    assert metrics
    assert [name for name, _, _ in metrics if f"`{name}`" not in page] == []


def test_every_state_is_documented() -> None:
    """The states page names every state and every move of the transition table."""
    page = _text("states.md")
    values = [*states.DeliveryState, *states.MessageState, *states.ParkCode, *states.AttemptOutcome]
    assert [value for value in values if f"| `{value}` |" not in page] == []
    for before, afters in states.TRANSITIONS.items():
        for after in afters - {before}:
            assert f"{before} --> {after}" in page


def test_every_command_is_documented() -> None:
    """The commands page holds the help of every command."""
    page = _text("commands.md")
    assert [name for name, _ in render.all_commands() if f"## medbus {name}\n" not in page] == []


def test_the_validation_profile_of_the_language_page_is_one() -> None:
    """The keys of a profile are told in one place only: it must be right."""
    page = ROOT / "docs" / "language.md"
    (block,) = [b for b in blocks(page) if b.note == "file=rules/laboratory.yaml"]
    tree = parse_tree(
        "rules/laboratory.yaml", block.text.encode(), prefix=(), known_keys=frozenset()
    )
    assert tree.findings == []
    assert isinstance(tree.root, dict)
    assert parse_validation_profile(tree.root)[1] == []


def test_every_state_says_what_it_means() -> None:
    """docs/states.md has no row that leaves a reader with a bare word."""
    page = next(page for page in render.pages() if page.name == "states.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|$", page, re.M)
    assert "garbage" in dict(rows)
    assert [value for value, about in rows if not about.strip()] == []
