"""Tables for people."""

from __future__ import annotations

import pytest

from engine.cli.output import cut, format_table, pad, short_age, width_of, wrap
from engine.cli.show import print_facts
from engine.cli.status import _print


def test_chinese_characters_take_two_columns() -> None:
    """If this failed, tables with Chinese names would not line up."""
    table = format_table(("who", "n"), [("张伟", 1), ("Li", 22)])
    assert [width_of(line) for line in table.splitlines()[1:]] == [8, 8]


def test_a_table_never_exceeds_100_columns() -> None:
    """If this failed, rows would wrap on an ordinary terminal."""
    row = ("20261121-1234567", "x" * 90, "y" * 200)
    table = format_table(("message", "control id", "why"), [row])
    assert max(width_of(line) for line in table.splitlines()) <= 100
    assert "20261121-1234567" in table


def test_a_narrow_terminal_moves_columns_together_before_anything_is_cut() -> None:
    """If this failed, 80 columns would hide the ports of listeners behind an empty column."""
    row = ("his_orders_long", "listening", "127.0.0.1:42577", "11-22 11:27:08", "")
    table = format_table(("inbound", "state", "listens", "last message", "error"), [row], width=63)
    assert table.splitlines()[1].split() == " ".join(row).split()
    narrow = format_table(("a", "b"), [("x" * 40, "y" * 24)], width=50)
    assert max(width_of(line) for line in narrow.splitlines()) == 50


def test_wrapping_loses_nothing_of_a_path_or_of_chinese() -> None:
    """If this failed, the end of a reason would be missing where a terminal is narrow."""
    told = wrap("at transforms/python/boom.py:2", 12)
    assert told == ["at", "transforms/p", "ython/boom.p", "y:2"]
    assert wrap("系统切换停机维护", 6) == ["系统切", "换停机", "维护"]


def test_cutting_never_splits_a_wide_character() -> None:
    """If this failed, a cut name would take more columns than its cell has."""
    assert cut("病区护士站", 6) == "病区…"
    assert width_of(pad(cut("病区护士站", 6), 6)) == 6


@pytest.mark.parametrize(
    ("seconds", "told"), [(5, "5s"), (90, "1m"), (12000, "3h20m"), (187200, "2d4h"), (None, "")]
)
def test_an_age_is_told_in_two_units_at_most(seconds: float | None, told: str) -> None:
    """If this failed, the age of a queue would be hard to read at night."""
    assert short_age(seconds) == told


def test_the_warnings_of_a_message_are_plain_english(capsys: pytest.CaptureFixture[str]) -> None:
    """If this failed, show and trace would say deid_soft_hit to an operator."""
    words = ("message_type", "state", "inbound", "peer", "control_id", "ack_code", "snapshot_id")
    facts = dict.fromkeys((*words, "reject_reason", "duplicate_of", "replay_of"), "")
    told = {"message_id": "20261121-1", "bytes": 1, "received_at": None, "routes": [],
            "deliveries": [], "warnings": ["deid_soft_hit", "of_a_later_version"]}  # fmt: skip
    print_facts({**facts, **told})
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("warning: ")] == [
        "warning: de-identification took words out of free text; look whether they were all",
        "warning: of_a_later_version",
    ]


def test_status_fits_80_columns_and_tells_errors_below(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this failed, the page most looked at would be unreadable in a small window."""
    monkeypatch.setenv("COLUMNS", "80")
    error = "the answer is no ack: the message does not begin with MSH"
    inbound = {"name": "his_orders", "state": "listening", "listen": "127.0.0.1:42577",
               "connections": 12, "today_count": 12_000, "rate": 12.5,
               "last_message_at": "2026-11-21T08:00:00+08:00", "last_error": ""}  # fmt: skip
    outbound = {"name": "laboratory", "state": "connecting", "pending": 1_200, "parked": 10,
                "held": 7, "oldest_age_s": 90.0, "rate": 1.5, "target": "127.0.0.1:46661",
                "last_error": error}  # fmt: skip
    names = ("stored", "accepted", "rejected", "duplicate", "queued", "filtered", "parked",
             "deliveries")  # fmt: skip
    line = {"inbound": "his_orders", "day": "20261121", "difference": "", **dict.fromkeys(names, 9)}
    head = {"site": "h", "state": "running", "version": "1", "store": "s", "snapshot_id": "x"}
    _print({**head, "inbound": [inbound], "outbound": [outbound], "alarms": [], "ledger": [line]})
    lines = capsys.readouterr().out.splitlines()
    assert max(width_of(shown) for shown in lines) <= 80
    assert f"  laboratory: {error}" in lines
    assert any("127.0.0.1:42577" in shown for shown in lines)
