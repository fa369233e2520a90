"""`why` gives one true answer for each way a message may fail to arrive, and the next step."""

from __future__ import annotations

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
    assert step == f"if it is still wanted, `medbus replay {older} --as received --to lis`"
    assert why(site, "C2")[0].endswith(f", by {user}: test data")
    shown = site.json("show", newer)["deliveries"][0]
    assert shown["why"] == f"by {user}: test data"


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
