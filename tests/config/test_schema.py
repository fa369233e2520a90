"""The JSON Schema for editors: it knows every key, explains it, and agrees with the loader."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config.models.steps import STEP_FORMS
from engine.config.schema import FILE_KINDS
from engine.config.schema import build_schema as build
from tests.config.test_bad_files import CASES
from tests.support.json_schema import errors_of

build_schema = cache(build)
ROOT = Path(__file__).parents[2]
SITES = [ROOT, *sorted((ROOT / "docs" / "jobs").iterdir())]


def kind_of(path: str) -> str:
    """Return which schema an editor would take for a file of a site."""
    if path == "medbus.yaml":
        return "site"
    if path.startswith("environments/"):
        return "environment"
    if path.startswith("channels/"):
        return "tests" if path.endswith("_test.yaml") else "channels"
    return "profiles" if path.startswith("transforms/deid/") else "transforms"


def yaml_files() -> list[tuple[Path, str]]:
    """Return every YAML file of the sites in this repository, with its path in the site."""
    found = []
    for site in SITES:
        for pattern in (
            "medbus.yaml",
            "environments/*.yaml",
            "channels/*.yaml",
            "transforms/**/*.yaml",
        ):
            found += [(path, path.relative_to(site).as_posix()) for path in site.glob(pattern)]
    return found


@pytest.mark.parametrize(("path", "name"), yaml_files(), ids=lambda value: str(value)[-60:])
def test_right_files_fit_their_schema(path: Path, name: str) -> None:
    """An editor never underlines what the loader takes."""
    schema = build_schema(kind_of(name))
    value = yaml.safe_load(path.read_text("utf-8"))
    assert errors_of(value, schema, schema) == []


SHAPES = {"CFG-002", "CFG-009", "CFG-011", "CFG-012", "CFG-013"}
WRONG = [case for case in CASES if case[0] in SHAPES]


@pytest.mark.parametrize(("code", "changes", "place", "text"), WRONG)
def test_wrong_files_do_not_fit(code: str, changes: dict[str, Any], place: str, text: str) -> None:
    """An editor underlines unknown keys, wrong shapes and missing units as the loader does."""
    name = place.partition(":")[0]
    schema = build_schema(kind_of(name))
    assert errors_of(yaml.safe_load(changes[name]), schema, schema) != []


def every_part(part: Any) -> list[dict[str, Any]]:
    """Return all mappings within a schema."""
    if isinstance(part, list):
        return [found for item in part for found in every_part(item)]
    if not isinstance(part, dict):
        return []
    return [part, *(found for item in part.values() for found in every_part(item))]


@pytest.mark.parametrize("kind", [*FILE_KINDS, None])
def test_every_key_is_explained(kind: str | None) -> None:
    """Pointing at any key in the editor shows a sentence about it."""
    schema = build_schema(kind)
    for part in every_part(schema["$defs"]):
        for key, value in part.get("properties", {}).items():
            if isinstance(value, dict) and part.get("type") == "object":
                target = schema["$defs"].get(str(value.get("$ref", "")).rpartition("/")[2], {})
                assert value.get("description") or target.get("description"), key


def test_every_reference_leads_somewhere() -> None:
    """A schema for one kind of file is complete in itself."""
    for kind in [*FILE_KINDS, None]:
        schema = build_schema(kind)
        refs = {part["$ref"] for part in every_part(schema) if "$ref" in part}
        assert {ref.rpartition("/")[2] for ref in refs} <= set(schema["$defs"])


def test_every_step_has_an_example_that_fits() -> None:
    """The example an editor offers for a step is one that the schema takes."""
    schema = build_schema("channels")
    step = schema["$defs"]["Step"]
    assert len(step["oneOf"]) == len(STEP_FORMS)
    for kind, form in STEP_FORMS.items():
        field = next(f for f in form.model_fields.values() if (f.alias or "") == kind or f.examples)
        value: dict[str, Any] = {kind: field.examples[0]}  # type: ignore[index]
        if kind == "each":
            value["steps"] = []
        assert errors_of(value, step, schema) == [], kind
        form.model_validate(value)


def test_defaults_are_shown_in_their_units() -> None:
    """An editor shows 30s, not 30.0."""
    mllp = build_schema("channels")["$defs"]["OutboundMllp"]["properties"]
    assert mllp["timeout"]["default"] == "30s"
    inbound = build_schema("channels")["$defs"]["InboundMllp"]["properties"]
    assert inbound["max_message"]["default"] == "50MB"
