"""What a test needs and this machine has not: said loudly; in CI it is a failure."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def not_run(what: str) -> NoReturn:
    """End the test as not run, with *what* is missing and how to get it; fail where CI is set."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"NOT RUN: {what}")
    pytest.skip(f"NOT RUN: {what}")
