"""A prune after weeks without an engine: it asks whether the clock is right, and by how much."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.bench import message, shimmed

fault = pytest.mark.fault
FORTY_DAYS_S = 40 * 86_400


@fault(41, "a clock forty days later, told right", "shown and consented to first; then in one go")
def test_a_clock_told_right_is_told_for_how_much(tmp_path: Path) -> None:
    """Nothing goes before somebody has seen how many days go, and consented to just these."""
    with shimmed(tmp_path) as (it, shim):
        with (it.engine.folder / "medbus.yaml").open("a") as settings:
            settings.write("retention: {bodies: 1d, metadata: 2d}\n")
        assert it.send(message(1)) == "AA"
        it.engine.wait_drained()
        first = it.first_message_id()
        assert it.engine.terminate() == 0
        shim.arm(f"clock - shift {FORTY_DAYS_S}")
        it.start(shim.environ)
        stopped = it.engine.command("prune")
        assert (stopped.returncode, "--clock-is-right" in stopped.stdout) == (1, True)
        days = plan(it.engine.ask("prune", "--clock-is-right", "--dry-run"))
        assert first[:8] in days
        for consent in ([], ["--yes", str(len(days) + 1)]):
            refused = it.engine.command("prune", "--clock-is-right", *consent)
            assert refused.returncode != 0
            assert "nothing was done" in refused.stderr
            assert "all of" in refused.stderr or consent
            assert it.first_message_id() == first
        told = it.engine.ask("prune", "--clock-is-right", "--yes", str(len(days)))
        assert plan(told) == days
        assert it.engine.all_messages() == []
        assert it.send(message(2)) == "AA"


def plan(told: dict[str, list[dict[str, str]]]) -> list[str]:
    """Return the days that go, or went."""
    return [row["day"] for row in told["items"] if "deleted" in row["action"]]
