"""A site that was changed while the engine was stopped: as a reload would have changed it."""

from __future__ import annotations

import pytest

from tests.runtime.running import CHANNELS, Site, adt


def test_a_rename_that_is_taken_back_while_stopped_keeps_queue_and_pause(site: Site) -> None:
    """If this failed, a `git revert` at night would leave a queue without a channel."""
    site.start()
    site.run("pause", "lis", "--reason", "repair")
    site.send(adt("C1", "7"))
    other = CHANNELS.replace("  lis:\n", "  other:\n    renamed_from: lis\n")
    site.write_channels(other.replace("to: lis", "to: other"))
    assert site.run("reload")[0] == 0
    site.stop()
    site.write_channels(CHANNELS)
    site.restart()
    assert [row["name"] for row in site.status()["outbound"]] == ["lis"]
    assert (site.outbound()["state"], site.outbound()["pending"]) == ("paused", 1)
    assert site.run("resume", "lis")[0] == 0
    site.wait(lambda: site.receiver.ids() == ["C1"])


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_changed_order_keys_wait_over_a_restart(site: Site, is_reloaded: bool) -> None:
    """If this failed, a patient's new message could overtake the old ones after a restart."""
    site.receiver.close()
    site.start()
    assert site.send(adt("C1", "7"), adt("C2", "7")) == ["AA", "AA"]
    if not is_reloaded:
        site.stop()
    site.write_channels(CHANNELS.replace('"PID-3.1", "MRG-1.1"', '"MSH-10"'))
    if is_reloaded:
        assert site.run("reload")[0] == 0
        site.stop()
    site.restart()
    more = [f"C{number}" for number in range(3, 9)]
    assert site.send(*(adt(name, "7") for name in more)) == ["AA"] * len(more)
    site.receiver.open_again()
    site.wait(lambda: site.outbound()["pending"] == 0)
    assert site.receiver.ids() == ["C1", "C2", *more]
