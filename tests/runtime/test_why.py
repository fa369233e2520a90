"""`why` gives one true answer for each way a message may fail to arrive, and the next step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC
from types import SimpleNamespace
from typing import cast

from engine.model.records import StoredDelivery, StoredMessage
from engine.model.states import DeliveryState, MessageState
from engine.runtime.desk import Desk
from engine.runtime.why import tell_why
from tests.runtime.running import CHANNELS, Site, adt

ONE_LANE = CHANNELS.replace('    order_by: ["PID-3.1", "MRG-1.1"]\n    lanes: 2\n', "")


def why(site: Site, control_id: str) -> tuple[str, str]:
    """Return the answer and the next step for one message and lis."""
    row = site.json("why", "--control-id", control_id, "--to", "lis")["items"][-1]
    return row["why"], row["next_step"]


def test_a_cancelled_delivery_says_who_took_it_out_and_why(site: Site) -> None:
    """If this failed, nobody would learn from `why` that a colleague stopped the message."""
    site.start()
    site.run("pause", "lis", "--reason", "LIS moves")
    site.send(adt("C1", "7"), adt("C2", "8"))
    told, step = why(site, "C1")
    assert "pending, lis is paused by " in told
    assert told.endswith(": LIS moves")
    assert step == "`medbus resume lis`"
    newer, older = (item["message_id"] for item in site.json("messages")["items"])
    assert site.run("cancel", older, "--reason", "entered twice", "--yes", "1")[0] == 0
    assert site.run("cancel", "--outbound", "lis", "--reason", "test data", "--yes", "1")[0] == 0
    user = site.json("audit", "list", "--verb", "cancel")["items"][0]["user"]
    told, step = why(site, "C1")
    assert told.endswith(f", by {user}: entered twice")
    looked = site.json("audit", "list", "--verb", "why")["items"][0]
    assert looked["detail"] == {"to": "lis", "asked": "--control_id C1"}
    assert step == f"if it is still wanted, `medbus replay {older} --as received --to lis`"
    assert why(site, "C2")[0].endswith(f", by {user}: test data")
    shown = site.json("show", newer)["deliveries"][0]
    assert shown["why"] == f"by {user}: test data"
    words = ("--as", "received", "--reason", "wanted", "--yes", "1")
    made = site.json("replay", older, *words)["created"][0]
    row = site.json("why", older, "--to", "lis")["items"][0]
    assert row["next_step"] == f"it was replayed: `medbus why {made} --to lis`"


def test_what_expired_is_told_by_the_configuration_of_that_time(site: Site) -> None:
    """If this failed, `why` would give a limit that was never the one that ran out."""
    limited = CHANNELS.replace("  lis:\n", "  lis:\n    expire_after: 1s\n", 1)
    site.write_channels(limited)
    site.receiver.close()
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.outbound()["pending"] == 0)
    site.write_channels(limited.replace("expire_after: 1s", "expire_after: 12h"))
    assert site.run("reload")[0] == 0
    told, step = why(site, "C1")
    assert "older than its expire_after of 1s; " in told
    assert "--as sent --to lis`" in step
    site.write_channels(CHANNELS)
    assert site.run("reload")[0] == 0
    assert "older than its expire_after of 1s; " in why(site, "C1")[0]


def test_a_duplicate_is_answered_for_the_message_it_repeats(site: Site) -> None:
    """If this failed, an operator would have to ask twice where the message is."""
    site.start()
    out_patient = adt("C1", "7").replace(b"PV1|1|I", b"PV1|1|O")
    assert site.send(out_patient, out_patient) == ["AA", "AA"]
    second, first = (item["message_id"] for item in site.json("messages")["items"])
    row = site.json("why", second, "--to", "lis")["items"][0]
    assert row["why"].startswith(f"a duplicate of {first}; that one: all: filtered, when is not")
    assert f"medbus replay {first}" in row["next_step"]
    told = site.json("replay", second, "--as", "received", "--dry-run")
    assert told["left_out"] == [{"id": second, "reason": f"it is a duplicate of {first}"}]


def test_who_waits_in_a_single_lane_hears_what_the_first_one_waits_for(site: Site) -> None:
    """If this failed, the second message behind a silent receiver would just "wait its turn"."""
    site.write_channels(ONE_LANE)
    site.receiver.answer = lambda body: ""
    site.start()
    site.send(adt("C1", "7"), adt("C2", "8"))
    first = site.json("messages")["items"][1]["message_id"]
    site.wait(lambda: "timeout" in why(site, "C1")[0])
    told, step = why(site, "C2")
    assert f"pending, waits behind {first}.1: " in told
    assert "timeout, no answer in time" in told
    assert f"look at lis (127.0.0.1:{site.receiver.port})" in step
    assert site.stop() == 0
    told, step = why(site, "C2")
    assert ("no engine runs" in told, step) == (True, "`medbus run`")


def test_an_orphaned_delivery_says_that_its_channel_is_gone(site: Site) -> None:
    """If this failed, what a removed channel owes would look as if it were on its way."""
    site.receiver.close()
    site.start()
    site.send(adt("C1", "7"))
    site.write_channels(CHANNELS.replace("lis:\n", "mpi:\n", 1).replace("to: lis", "to: mpi"))
    site.run("reload")
    told, step = why(site, "C1")
    assert "pending, lis is not configured any more, orphaned" in told
    assert "`renamed_from: lis`" in step


def test_no_route_says_where_the_message_went(site: Site) -> None:
    """If this failed, a message on the wrong route would be hard to find."""
    more = CHANNELS.replace("routes:\n", '  mpi: {mllp: {connect: "127.0.0.1:1"}}\nroutes:\n')
    site.write_channels(more + "  never: {from: his, types: [ORU], to: mpi}\n")
    site.start()
    site.send(adt("C1", "7"))
    row = site.json("why", "--control-id", "C1", "--to", "mpi")["items"][0]
    assert row["why"] == "never: filtered, type ADT^A01 is not among ORU"


def test_who_was_not_meant_or_filters_by_itself_is_no_filter_of_the_route(site: Site) -> None:
    """If this failed, a replay to one receiver would read as filtered for all others."""
    mpi = (
        '  mpi: {mllp: {connect: "127.0.0.1:LIS_PORT"}, steps: [{filter: x, when: PID-8 == "F"}]}\n'
    )
    both = CHANNELS.replace("routes:\n", f"{mpi}routes:\n").replace("to: lis", "to: [lis, mpi]")
    site.write_channels(both)
    site.start()
    site.send(adt("C1", "7").replace(b"^JOHN", b"^JANE|||F"), adt("C2", "8"))
    second, first = (item["message_id"] for item in site.json("messages")["items"])
    row = site.json("why", first, "--to", "mpi")["items"][0]
    assert row["why"] == "all: filtered by the steps of mpi itself"
    for replay_as in ("sent", "received"):
        words = ("--as", replay_as, "--to", "lis", "--reason", "lost", "--yes", "1")
        assert site.run("replay", second, *words)[0] == 0
        row = site.json("why", "--control-id", "C2", "--to", "mpi")["items"][0]
        assert row["why"] == f"a replay of {second} that made nothing for mpi"
        assert row["next_step"] == f"`medbus why {second} --to mpi`"


def test_a_renamed_receiver_is_known_by_both_names(site: Site) -> None:
    """If this failed, `why` would deny what went to the receiver under its name of yesterday."""
    site.start()
    site.send(adt("C1", "7"), adt("C2", "8").replace(b"PV1|1|I", b"PV1|1|O"))
    site.wait(lambda: len(site.receiver.got) == 1)
    named = CHANNELS.replace("  lis:\n", "  lab:\n    renamed_from: lis\n", 1)
    site.write_channels(named.replace("to: lis", "to: lab"))
    assert site.run("reload")[0] == 0
    for name in ("lis", "lab"):
        filtered, delivered = site.json("why", "--since", "1h", "--to", name)["items"]
        assert "by all: delivered" in delivered["why"]
        assert filtered["why"].startswith("all: filtered, when is not met")


def test_what_moves_on_while_it_is_looked_at_is_told_as_it_is_then() -> None:
    """If this failed, `why` could show a delivery as pending after a last try that was acked."""
    pending = StoredDelivery(
        "20261121-1.1", "20261121-1", 1, "his", "all", "gone", DeliveryState.PENDING, 0.0, 0, False
    )
    delivered = replace(pending, state=DeliveryState.DELIVERED, attempts=1)
    message = StoredMessage(
        "20261121-1", 1, "his", 0.0, MessageState.ACCEPTED, "ADT^A01", "2.5", "C1", "AA", 9, "", "",
        deliveries=(pending,),
    )  # fmt: skip
    site = SimpleNamespace(outbound={}, timezone=UTC)
    desk = SimpleNamespace(
        configuration=SimpleNamespace(site=site),
        store=SimpleNamespace(get_delivery=lambda _: delivered),
    )
    told = tell_why(cast(Desk, desk), message, "gone")
    assert told == ("20261121-1.1 by all: delivered", "")
