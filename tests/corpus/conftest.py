"""The shared corpus: where it is, and a loud word where it is not."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def corpus_folder() -> Path:
    """Return the folder MEDBUS_CORPUS names, by default ../shared/corpus beside the repository."""
    return Path(os.environ.get("MEDBUS_CORPUS") or ROOT.parent / "shared" / "corpus")


@pytest.fixture(scope="session")
def corpus() -> dict[str, bytes]:
    """All corpus files by name; skips with a warning where the folder is absent, fails in CI."""
    folder = corpus_folder()
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.hl7"))}
    if not files:
        what = f"NO CORPUS in {folder}: set MEDBUS_CORPUS; these tests prove nothing without it"
        if os.environ.get("CI") == "true":
            pytest.fail(what)
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(pytest.PytestWarning(what), stacklevel=1)
        pytest.skip(what)
    return files


@pytest.fixture(scope="session")
def bulk(corpus: dict[str, bytes]) -> bytes:
    """The one large file of the corpus."""
    return (corpus_folder() / "bulk" / "simhospital_1013_messages.out").read_bytes()
