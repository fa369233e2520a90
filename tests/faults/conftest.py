"""Keeps the outcome of each numbered fault, so that docs/reliability.md can be written from it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from tests.torture.report import keep_figures

FAULT = "fault"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker that carries a fault's number and text."""
    config.addinivalue_line("markers", "fault(number, fault, expected): a row of the fault table")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write down how a fault test ended: held, broken, or not run and why."""
    report = yield
    mark = item.get_closest_marker(FAULT)
    if mark and (report.when == "call" or report.outcome != "passed"):
        number, fault, expected = mark.args
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        outcome = {"passed": "held", "failed": "BROKEN", "skipped": reason}[report.outcome]
        keep_figures(
            f"fault-{number:02}-{item.name}".replace("/", "_")[:120],
            {
                "number": number,
                "fault": fault,
                "expected": expected,
                "outcome": outcome,
                "test": item.nodeid.split("/")[-1],
                "seconds": round(report.duration, 1),
            },
        )
    return report
