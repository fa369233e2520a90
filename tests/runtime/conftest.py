"""Fixtures of the running engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.running import Site, sites


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site that no engine runs yet."""
    yield from sites(tmp_path)
