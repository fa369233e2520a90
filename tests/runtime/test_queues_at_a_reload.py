"""What becomes of queues when a reload changes their channel."""

from __future__ import annotations

import pytest

from tests.runtime.running import CHANNELS, Site, adt

BY_NAME = CHANNELS.replace('order_by: ["PID-3.1", "MRG-1.1"]', 'order_by: ["PID-5.1"]')


def test_a_paused_queue_given_to_a_running_channel_stays_paused(site: Site) -> None:
    """If this failed, an orphaned queue could be sent although somebody had stopped it."""
    site.start()
    site.run("pause", "lis", "--reason", "it moves")
    ids = [f"C{number}" for number in range(20)]
    site.send(*[adt(one, "7") for one in ids])
    moved = CHANNELS.replace("  lis:\n", "  lab:\n").replace("to: lis", "to: lab")
    site.write_channels(moved)
    site.run("reload")
    site.write_channels(moved.replace("  lab:\n", "  lab:\n    renamed_from: lis\n"))
    site.run("reload")
    lab = site.outbound("lab")
    assert (lab["state"], lab["pending"]) == ("paused", 20)
    assert site.receiver.ids() == []
    site.run("resume", "lab")
    site.wait(lambda: site.receiver.ids() == ids)


def test_changed_order_keys_wait_while_a_parked_one_holds_others(site: Site) -> None:
    """If this failed, a patient's new messages would overtake those that are held."""
    site.receiver.answer = lambda body: "AR"
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.outbound()["parked"] == 1)
    site.write_channels(BY_NAME)
    told = site.json("reload")
    assert "RUN-038" in [finding["code"] for finding in told["findings"]]
    site.send(adt("C2", "7"))
    assert site.outbound()["held"] == 1
    site.receiver.answer = lambda body: "AA"
    site.run("requeue", "--state", "parked", "--reason", "mended", "--yes", "1")
    site.wait(lambda: site.receiver.ids() == ["C1", "C1", "C2"])
    site.wait(lambda: "changed order keys are in use" in site.log)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_changed_order_keys_wait_where_the_channel_is_renamed_with_them(
    site: Site, is_restarted: bool
) -> None:
    """If this failed, a patient's new message could overtake what the old name left."""
    site.receiver.close()
    site.start()
    site.send(adt("C1", "7"), adt("C2", "7"))
    if is_restarted:
        site.stop()
    other = CHANNELS.replace("  lis:\n", "  other:\n    renamed_from: lis\n")
    other = other.replace("to: lis", "to: other")
    site.write_channels(other.replace('"PID-3.1", "MRG-1.1"', '"MSH-10"'))
    if is_restarted:
        site.restart()
    else:
        told = site.json("reload")
        assert "RUN-038" in [finding["code"] for finding in told["findings"]]
    more = [f"C{number}" for number in range(3, 9)]
    site.send(*(adt(name, "7") for name in more))
    site.receiver.open_again()
    site.wait(lambda: site.outbound("other")["pending"] == 0)
    assert site.receiver.ids() == ["C1", "C2", *more]
