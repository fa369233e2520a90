"""docs/findings.md has a row for every code of the source, with an example that is true."""

from __future__ import annotations

import re
from pathlib import Path

from tests.check.findings_page import MEANINGS, PAGE, examples, render_page

ENGINE = Path(__file__).parents[2] / "engine"


def test_every_code_of_the_source_is_explained_and_shown() -> None:
    """No code exists without a meaning and a bad file that brings it about, and none is made up."""
    source = {
        code
        for path in ENGINE.rglob("*.py")
        for code in re.findall(r"CFG-\d{3}", path.read_text("utf-8"))
    }
    assert source == set(MEANINGS)
    assert source == set(examples())


def test_the_page_is_current() -> None:
    """What the page shows is what check prints today; python -m tests.check.findings_page."""
    assert PAGE.read_text("utf-8") == render_page()
