"""The pages about de-identification say what the catalogue and the profiles say."""

from __future__ import annotations

from tests.deid.render import CATALOGUE_PAGE, PAGE, catalogue_page, rendered


def test_the_tables_are_those_of_the_program() -> None:
    """docs/deidentification.md is current; `python -m tests.deid.render` renews it."""
    text = PAGE.read_text("utf-8")
    assert text == rendered(text)
    assert "| patient_name |" in text


def test_the_catalogue_page_is_the_catalogue() -> None:
    """docs/deid-catalogue.md is current; `python -m tests.deid.render` renews it."""
    assert CATALOGUE_PAGE.read_text("utf-8") == catalogue_page()
