"""The text of `medbus trace`."""

from __future__ import annotations

from typing import Any

import pytest

from engine.cli.trace import _print_attempts


def attempt(minute: int, detail: str) -> dict[str, Any]:
    """Return one try as the operation tells it."""
    at = f"2026-11-21T08:{minute:02}:00+08:00"
    return {"at": at, "outcome": "refused", "code": "", "took_s": 0.001, "detail": detail}


def test_many_tries_that_ended_alike_are_told_by_the_first_and_the_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """If this failed, a night's tries would push the rest of the trace off the screen."""
    _print_attempts(
        [*(attempt(n, "nobody listens there") for n in range(40)), attempt(50, "reset")]
    )
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines[:1]] == ["2026-11-21 08:00:00"]
    assert lines[1].strip() == "and 38 tries like it, until"
    assert "08:39:00" in lines[2]
    assert lines[3].endswith("reset")
    assert len(lines) == 4
