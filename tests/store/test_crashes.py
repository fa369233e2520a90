"""The process is killed at the worst moments; what it had answered must be there afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine.store.records import MessageFilter, Retention
from engine.store.settings import StoreSettings
from engine.store.sqlite import open_writer
from engine.store.sqlite_store import SqliteStore
from tests.store.builders import DAY, NOON, due, ids, settle_down, states
from tests.store.crash_child import LATER

LATER_DAY = "20991231"
SETTINGS = StoreSettings(now=lambda: NOON, min_free_bytes=0, min_free_share=0.0)
ROOT = Path(__file__).resolve().parents[2]
fault = pytest.mark.fault


def run_child(
    folder: Path, scenario: str, failpoint: str = "", **environment: str
) -> tuple[int, list[str]]:
    """Run a child to its end; return how it ended and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.crash_child", str(folder), scenario],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env={**os.environ, "MEDBUS_FAILPOINT": failpoint, **environment},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.splitlines()


def said(lines: list[str], word: str) -> list[str]:
    """Return what was said of a kind."""
    return [line.partition(" ")[2] for line in lines if line.startswith(word + " ")]


def reopen(folder: Path) -> SqliteStore:
    """Open what a killed child left."""
    store = SqliteStore(folder, settings=SETTINGS)
    settle_down(store)
    return store


@pytest.mark.parametrize(
    "failpoint", ["commit.before:1", "commit.before:9", "commit.after:1", "commit.after:14"]
)
def test_what_was_answered_is_stored(tmp_path: Path, failpoint: str) -> None:
    """Killed around a commit: every acked message is there, and unanswered ones wholly or not."""
    code, lines = run_child(tmp_path / "d", "accept", failpoint)
    assert code == -signal.SIGKILL
    store = reopen(tmp_path / "d")
    assert store.facts().was_unclean
    kept = {one.message_id for one in store.find_messages(MessageFilter(), limit=1000).items}
    acked = set(said(lines, "acked"))
    assert acked <= kept
    # Killed after a commit and before its answer: that one commit of three is there unanswered.
    assert len(kept - acked) == (3 if failpoint.startswith("commit.after") else 0) or (
        len(kept) % 3 == 0 and len(kept - acked) in (0, 3)
    )
    for message_id in kept:
        assert store.get_body(message_id)
        assert len(store.get_message(message_id).deliveries) == 1
    assert store.check_ledger(DAY) == ()
    store.close()


@fault(1, "kill -9 x10 around commits (store)", "all that was answered is there")
def test_killed_again_and_again_nothing_is_lost(tmp_path: Path) -> None:
    """Ten kills in a row, each at another commit: all acked and settled work is still there."""
    folder = tmp_path / "d"
    acked: list[str] = []
    settled: list[str] = []
    for kill in range(10):
        place = "after" if kill % 2 else "before"
        code, lines = run_child(folder, "accept", f"commit.{place}:{2 + kill}")
        assert code == -signal.SIGKILL
        acked += said(lines, "acked")
        settled += said(lines, "settled")
    store = reopen(folder)
    kept = [one.message_id for one in store.find_messages(MessageFilter(), limit=10_000).items]
    assert set(acked) <= set(kept)
    assert len(acked) == len(set(acked))
    assert set(states(store, *settled)) <= {"delivered"}
    seqs = [store.get_message(one).seq for one in kept]
    assert seqs == sorted(set(seqs), reverse=True)
    assert store.check_ledger(DAY) == ()
    store.close()


def test_after_a_kill_the_head_of_each_lane_is_uncertain(tmp_path: Path) -> None:
    """The deliveries that may have been sent before the kill are flagged, and no others."""
    run_child(tmp_path / "d", "accept", "commit.after:8")
    settings = StoreSettings(
        now=lambda: NOON, min_free_bytes=0, min_free_share=0.0, settle_window=2
    )
    store = SqliteStore(tmp_path / "d", settings=settings)
    token = store.lane_open("lis", 0, 1)
    page = store.next(token, 5)
    assert [one.uncertain for one in page] == [True, True, False, False, False]
    assert [one.uncertain for one in store.next(token, 5)] == [True, True, False, False, False]
    settle_down(store)
    assert store.get_delivery(page[1].delivery_id).uncertain
    assert not store.get_delivery(page[2].delivery_id).uncertain
    store.close()
    store = SqliteStore(tmp_path / "d", settings=settings)
    assert [one.uncertain for one in store.next(store.lane_open("lis", 0, 1), 4)] == [
        True,
        True,
        False,
        False,
    ]
    store.close()


@fault(4, "kill -9 in rollover, in migration (store)", "opens again; nothing acked is lost")
@pytest.mark.parametrize("failpoint", ["migration:1", "migration:2", "rollover:1", "rollover:2"])
def test_killed_while_a_file_is_made(tmp_path: Path, failpoint: str) -> None:
    """A half-made file is made whole at the next start; messages go in as ever."""
    code, lines = run_child(tmp_path / "d", "accept", failpoint)
    assert code == -signal.SIGKILL
    store = reopen(tmp_path / "d")
    assert set(said(lines, "acked")) <= {
        one.message_id for one in store.find_messages(MessageFilter()).items
    }
    store.close()
    code, lines = run_child(tmp_path / "d", "accept", "commit.after:4")
    assert said(lines, "acked")


@pytest.mark.parametrize("failpoint", ["followers.slice:4", "followers.slice:5"])
def test_a_release_cut_short_goes_on(tmp_path: Path, failpoint: str) -> None:
    """Killed between two slices of followers: after the start all of them flow, in order."""
    code, lines = run_child(tmp_path / "d", "release", failpoint)
    assert (code, lines[-1]) == (-signal.SIGKILL, "ready")
    store = reopen(tmp_path / "d")
    assert states(store, f"{DAY}-1.1") == ["parked"]
    assert store.get_delivery(f"{DAY}-1.1").released
    assert due(store, n=5000) == ids(*range(2, 3002))
    assert store.check_ledger(DAY) == ()
    store.close()


def test_a_hold_cut_short_goes_on(tmp_path: Path) -> None:
    """Killed while followers were being held: all of them are held after the start."""
    code, lines = run_child(tmp_path / "d", "release", "followers.slice:2")
    assert (code, lines[-1]) == (-signal.SIGKILL, "open")
    store = reopen(tmp_path / "d")
    assert store.counts().outbounds["lis"].held == 3000
    assert due(store) == []
    assert store.check_ledger(DAY) == ()
    store.close()


@pytest.mark.parametrize("failpoint", ["operation.audited:1", "operation.slice:2"])
def test_an_operation_cut_short_is_finished_at_start(tmp_path: Path, failpoint: str) -> None:
    """Killed in the middle of a cancel of 3,000: all are cancelled, audited once."""
    code, _ = run_child(tmp_path / "d", "cancel", failpoint)
    assert code == -signal.SIGKILL
    store = reopen(tmp_path / "d")
    assert store.find_deliveries(MessageFilter(states=("pending",))).items == ()
    assert [one.action for one in store.list_audit().items] == ["cancel"]
    assert store.unfinished() == ()
    assert store.verify_audit().ok
    assert store.check_ledger(DAY) == ()
    store.close()


@fault(4, "kill -9 in prune (store)", "the day is as before or as after, never between")
@pytest.mark.parametrize(
    "failpoint", ["prune.before_rename:1", "prune.after_rename:1", "prune.before_unlink:1"]
)
def test_a_prune_cut_short_is_whole_or_undone(tmp_path: Path, failpoint: str) -> None:
    """Killed in a prune: the folder opens, and the day is as before or as after, never between."""
    folder = tmp_path / "d"
    code, lines = run_child(folder, "prune", failpoint)
    assert code == -signal.SIGKILL
    store = reopen(folder)
    assert list((folder / "messages").glob("*.pruning*")) == []
    if "bodies gone" in lines:
        assert DAY not in store.ledger_days()
        assert not store.keys.has_day(DAY, "evidence")
    else:
        has_key = store.keys.has_day(DAY, "bodies")
        assert store.get_delivery(f"{DAY}-1.1").has_body is has_key
        assert has_key is failpoint.startswith("prune.before_rename")
        assert store.check_ledger(DAY) == ()
        # The next run, an hour later by both clocks, can finish.
        report = store.prune(Retention(bodies_s=86_400.0), now=LATER + 1, clock_is_right=True)
        assert (DAY in report.bodies) is has_key
    store.close()


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_day_whose_file_was_just_made_is_finished(tmp_path: Path, is_empty: bool) -> None:
    """Killed between a day's file and its first table: the next start makes the rest."""
    store = SqliteStore(tmp_path / "d", settings=SETTINGS)
    store.keys.make_day(LATER_DAY)
    store.close()
    path = tmp_path / "d" / "messages" / f"{LATER_DAY[:4]}-{LATER_DAY[4:6]}-{LATER_DAY[6:]}.db"
    path.parent.mkdir(exist_ok=True)
    if is_empty:
        path.touch(0o600)
    else:
        open_writer(path).close()
    store = reopen(tmp_path / "d")
    assert LATER_DAY in store.ledger_days()
    assert store.check_ledger(LATER_DAY) == ()
    store.close()
