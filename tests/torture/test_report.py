"""The report names what did not run; only one run on one commit is called one run."""

from __future__ import annotations

from typing import Any

from tests.torture.__main__ import PARTS
from tests.torture.report import NUMBERS, PART_NAMES, describe_origin, render_faults


def part(name: str, *, run: str = "1", commit: str = "abc1234") -> dict[str, Any]:
    """Return what a part leaves, as far as the sentence about the origin reads it."""
    return {"part": name, "run": run, "commit": commit, "minutes": 2.0}


def row(number: int, outcome: str = "held") -> dict[str, Any]:
    """Return what a fault test leaves."""
    told = {"fault": "f", "expected": "e", "seconds": 1.0, "test": "t"}
    return {"number": number, "outcome": outcome, **told}


def test_the_parts_are_those_that_are_run() -> None:
    """Report and runner know the same parts, or a part could be missing without a word."""
    assert tuple(PARTS) == PART_NAMES


def test_one_run_on_one_commit_is_said_so() -> None:
    """All parts of one run on one commit are called one run."""
    told = describe_origin([part(name) for name in PART_NAMES])
    assert told == "One run of `make torture` at commit abc1234, 12 minutes."


def test_parts_put_together_are_never_called_one_run() -> None:
    """Another run, another commit, a commit in the middle or a missing part: each is named."""
    whole = [part(name) for name in PART_NAMES]
    for odd in (
        [*whole[:-1], part(PART_NAMES[-1], run="2")],
        [*whole[:-1], part(PART_NAMES[-1], commit="def5678")],
        [part(name, commit="abc1234 to def5678") for name in PART_NAMES],
        whole[:-1],
        [],
    ):
        told = describe_origin(odd)
        assert told.startswith("Not one run"), odd
        assert all(f"{each['part']} at commit {each['commit']}" in told for each in odd)
    assert f"Not run: {PART_NAMES[-1]}." in describe_origin(whole[:-1])


def test_a_fault_without_an_outcome_is_counted_and_named() -> None:
    """Missing, skipped and broken faults stand above the table and in its count."""
    found = [row(number) for number in NUMBERS if number not in (5, 21, 49)]
    lines = render_faults([*found, row(21, "NOT RUN: no root"), row(49, "BROKEN")])
    assert lines[0] == f"Faults: {len(found)} held, 1 broken, 2 not run."
    assert [line for line in lines if line.startswith("- ")] == [
        "- 5, `-`: NOT RUN: no test of this fault was run",
        "- 21, `t`: NOT RUN: no root",
        "- 49, `t`: BROKEN",
    ]
    assert sum(line.startswith("| ") for line in lines) == len(NUMBERS) + 1
