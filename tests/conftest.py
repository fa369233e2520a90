"""Keeps the outcome of each numbered fault, so that docs/reliability.md can be written from it."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.torture.report import keep_figures

FAULT = "fault"

# How long an example takes says something about the machine, nothing about what is tested.
settings.register_profile(
    "unhurried", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unhurried")


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that carries a fault's number and text."""
    config.addinivalue_line("markers", "fault(number, fault, expected): a row of the fault table")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In a part of the torture, write down how a fault test ended: held, broken, or not run."""
    report = yield
    mark = item.get_closest_marker(FAULT)
    part = os.environ.get("MEDBUS_PART", "")
    # A test that held may still break while it clears up: the later report replaces the earlier.
    if mark and part and (report.when == "call" or report.outcome != "passed"):
        number, fault, expected = mark.args
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else "NOT RUN"
        outcome = {
            "passed": "held",
            "failed": "BROKEN",
            "skipped": reason.removeprefix("Skipped: "),
        }[report.outcome]
        keep_figures(
            f"fault-{part}-{number:02}-{item.name}".replace("/", "_")[:120],
            {
                "part": part,
                "number": number,
                "fault": fault,
                "expected": expected,
                "outcome": outcome,
                "test": item.nodeid.split("/")[-1],
                "seconds": round(report.duration, 1),
            },
        )
    return report
