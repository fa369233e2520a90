"""The main stories of a running engine: real processes, real sockets, the public commands."""

from __future__ import annotations

import signal
import threading
import urllib.request

from tests.runtime.running import CHANNELS, SITE, WAIT_S, Sender, Site, adt
from tests.support.ports import free_port


def test_a_message_goes_in_is_stored_changed_delivered_and_explained(site: Site) -> None:
    """If this failed, the engine would not do what it exists for."""
    site.start()
    out_patient = adt("C3", "3").replace(b"PV1|1|I", b"PV1|1|O")
    assert site.send(adt("C1", "88001"), adt("C2", "88002"), out_patient) == ["AA"] * 3
    site.wait(lambda: len(site.receiver.got) == 2)
    assert site.receiver.got[0] == adt("C1", "88001").replace(b"|E|E|", b"|LIS|E|")

    listed = site.json("messages")["items"]
    assert [item["control_id"] for item in listed] == ["C3", "C2", "C1"]
    newest, first = listed[0], listed[2]
    assert newest["routes"][0]["result"] == "filtered"
    assert site.json("messages", "--patient", "88002")["items"][0]["control_id"] == "C2"
    assert site.json("messages", "--state", "parked")["items"] == []
    site.wait(lambda: site.json("messages")["items"][2]["deliveries"][0]["state"] == "delivered")

    code, out, _ = site.run("show", first["message_id"], "--received", "--raw")
    assert (code, out.encode()) == (0, adt("C1", "88001"))
    code, out, _ = site.run("show", first["message_id"], "--sent", "lis", "--raw")
    assert b"|LIS|" in out.encode()
    traced = site.json("trace", first["message_id"])
    change = traced["routes"][0]["steps"][0]["changes"][0]
    assert (change["path"], change["before"], change["after"]) == ("MSH-5", "E", "LIS")
    assert traced["deliveries"][0]["attempts"][0]["outcome"] == "acked"
    why = site.json("why", newest["message_id"], "--to", "lis")["items"][0]["why"]
    assert "PV1-2 is 'O'" in why

    status = site.status()
    row = status["ledger"][0]
    assert (row["stored"], row["accepted"], row["queued"], row["filtered"]) == (3, 3, 2, 1)
    assert row["difference"] == ""
    assert status["alarms"] == []
    verbs = [record["verb"] for record in site.json("audit", "list")["items"]]
    assert verbs == ["why", "trace", "show", "show"]
    assert site.json("audit", "verify")["ok"]
    assert "CANARYNAME" not in site.log
    assert site.stop() == 0


def test_a_refused_patient_waits_and_everybody_else_goes_on(site: Site) -> None:
    """If this failed, one bad message would hold up the hospital, or overtake its patient."""
    site.receiver.answer = lambda body: "AR" if b"|7^^^" in body else "AA"
    site.start()
    ids = ["C1", "C2", "C3", "C4", "C5"]
    patients = ["7", "8", "7", "9", "7"]
    site.send(*(adt(i, p) for i, p in zip(ids, patients, strict=True)))
    site.wait(lambda: site.outbound()["held"] == 2 and site.outbound()["pending"] == 0)
    assert set(site.receiver.ids()) == {"C1", "C2", "C4"}
    assert site.outbound()["parked"] == 1
    assert [a["code"] for a in site.status()["alarms"]] == ["ALM-005"]

    told = site.json("requeue", "--outbound", "lis", "--dry-run")
    assert (told["count"], site.outbound()["parked"]) == (1, 1)
    code, _, err = site.run("requeue", "--outbound", "lis", "--reason", " ", "--yes", "1")
    assert (code, "wants --reason" in err) == (2, True)
    code, _, err = site.run("requeue", "--outbound", "lis", "--reason", "fixed")
    assert (code, "--yes 1" in err) == (2, True)
    code, _, err = site.run("requeue", "--outbound", "lis", "--reason", "fixed", "--yes", "3")
    assert (code, "nothing was done" in err) == (1, True)
    assert site.outbound()["parked"] == 1

    site.receiver.got.clear()
    site.receiver.answer = lambda body: "AA"
    code, _, err = site.run("requeue", "--outbound", "lis", "--reason", "fixed", "--yes", "1")
    assert code == 0, err
    site.wait(lambda: len(site.receiver.got) == 3)
    assert site.receiver.ids() == ["C1", "C3", "C5"]
    record = site.json("audit", "list", "--verb", "requeue")["items"][0]
    assert (record["reason"], bool(record["user"])) == ("fixed", True)


def test_release_lets_followers_pass_and_cancel_takes_out(site: Site) -> None:
    """If this failed, an operator could not decide between waiting and going on."""
    site.receiver.answer = lambda body: "AR" if b"|C1|" in body else "AA"
    site.start()
    site.send(adt("C1", "7"), adt("C2", "7"))
    site.wait(lambda: site.outbound()["held"] == 1)
    parked = site.json("messages", "--state", "parked")["items"][0]["message_id"]
    assert site.run("release", parked, "--reason", "later ones matter", "--yes", "1")[0] == 0
    site.wait(lambda: site.receiver.ids() == ["C1", "C2"])
    assert site.outbound()["parked"] == 1
    assert site.run("cancel", parked, "--reason", "entered twice", "--yes", "1")[0] == 0
    assert site.outbound()["parked"] == 0
    code, out, err = site.run("cancel", parked, "--reason", "again", "--yes", "1")
    assert (code, "it is cancelled" in err) == (1, True), out


def test_what_is_owed_survives_a_stop_and_a_receiver_that_is_away(site: Site) -> None:
    """If this failed, a restart would lose what was acknowledged."""
    site.receiver.close()
    site.start()
    assert site.send(*(adt(f"C{n}", "7") for n in range(5))) == ["AA"] * 5
    assert site.outbound()["pending"] == 5
    assert site.stop() == 0
    told = site.status()
    assert (told["state"], told["outbound"][0]["pending"]) == ("stopped", 5)
    assert site.run("status")[0] == 1
    site.restart()
    site.receiver.open_again()
    site.wait(lambda: len(site.receiver.got) == 5)
    assert site.receiver.ids() == [f"C{n}" for n in range(5)]


def test_kill_9_under_load_loses_nothing_that_was_acknowledged(site: Site) -> None:
    """If this failed, AA would not mean durable."""
    site.start()
    for life in range(2):
        acked = _load_until(site, lambda: site.stop(signal.SIGKILL), life)
        assert acked
        site.restart()
        site.wait(lambda: site.outbound()["pending"] == 0)
        missing = set(acked) - set(site.receiver.ids())
        assert not missing


def test_a_drain_says_what_is_owed_after_it(site: Site) -> None:
    """If this failed, an operator would not know whether the queues got empty."""
    may_answer = threading.Event()
    site.receiver.answer = lambda body: "AA" if may_answer.wait(WAIT_S) else ""
    site.start()
    site.send(adt("C1", "7"), adt("C2", "7"))
    told: list[str] = []
    drain = threading.Thread(target=lambda: told.append(site.run("stop", "--drain")[1]))
    drain.start()
    site.wait(lambda: '"stopping"' in site.log)
    may_answer.set()
    drain.join()
    assert told == ["stopped; still owed: 0\n"]
    assert site.receiver.ids() == ["C1", "C2"]


def test_sigterm_under_load_answers_what_was_taken_and_exits_0(site: Site) -> None:
    """If this failed, every planned restart would look like a crash to the senders."""
    site.start()
    codes: list[int] = []
    acked = _load_until(site, lambda: codes.append(site.stop()), 9)
    assert codes == [0]
    site.restart()
    site.wait(lambda: site.outbound()["pending"] == 0)
    assert set(acked) <= set(site.receiver.ids())
    got = site.receiver.ids()
    assert len(got) == len(set(got)), "a clean stop sends nothing twice"


def test_a_stop_ends_a_drain(site: Site) -> None:
    """If this failed, a drain that cannot end would have to be killed."""
    site.receiver.close()
    site.start()
    site.send(adt("C1", "7"))
    told: list[str] = []
    words = ("stop", "--drain", "--within", "600")
    drain = threading.Thread(target=lambda: told.append(site.run(*words)[1]))
    drain.start()
    site.wait(lambda: '"stopping"' in site.log)
    assert site.stop() == 0
    drain.join()
    assert told == ["stopped; still owed: 1 pending\n"]
    assert '"warning"' not in site.log.partition('"stopping"')[2]


def test_a_stop_right_after_the_start_ends_the_process(site: Site) -> None:
    """If this failed, upkeep that meets a stop would keep the process for ever."""
    for _ in range(3):
        site.start()
        assert site.stop() == 0


def test_a_replay_that_meets_a_stop_goes_on_at_the_next_start(site: Site) -> None:
    """If this failed, a stop would wait for a long replay, or half of it would be lost."""
    ids = [f"C{n}" for n in range(100)]
    site.start()
    site.send(*(adt(name, name) for name in ids))
    site.wait(lambda: len(site.receiver.got) == len(ids) and site.outbound()["pending"] == 0)
    site.receiver.got.clear()
    slow = (
        "import time\n\n\ndef same(message, context):\n    time.sleep(0.05)\n    return message\n"
    )
    site.write("transforms/python/slow.py", slow)
    step = "      - python: {call: slow:same, timeout: 60s}\n"
    site.write_channels(CHANNELS.replace("    to: lis\n", step + "    to: lis\n"))
    assert site.run("reload")[0] == 0
    words = ("--as", "received", "--outbound", "lis", "--reason", "x", "--yes", str(len(ids)))
    told: list[str] = []
    replay = threading.Thread(target=lambda: told.append(site.run("replay", *words)[2]))
    replay.start()
    site.wait(lambda: site.receiver.got)
    assert site.stop() == 0
    replay.join()
    assert "RUN-010" in told[0]
    site.restart()
    assert site.stop() == 0  # once more, while it goes on by itself
    assert '"error"' not in site.log
    site.restart()
    site.wait(lambda: len(site.receiver.got) >= len(ids) and site.outbound()["pending"] == 0)
    assert sorted(site.receiver.ids()) == sorted(ids)


def _load_until(site: Site, end: object, life: int) -> list[str]:
    """Send from four connections while *end* runs in the middle; return the ids acked AA."""
    port, acked, enough = site.port(), list[str](), threading.Event()

    def send(connection: int) -> None:
        sender = Sender(port)
        for number in range(100_000):
            control_id = f"L{life}C{connection}N{number}"
            if sender.send(adt(control_id, f"{connection}{number % 5}")) != "AA":
                return
            acked.append(control_id)
            if len(acked) > 150:
                enough.set()

    senders = [threading.Thread(target=send, args=(n,)) for n in range(4)]
    for thread in senders:
        thread.start()
    assert enough.wait(2 * WAIT_S)
    assert callable(end)
    end()
    for thread in senders:
        thread.join(WAIT_S)
    return acked


def test_a_second_engine_on_the_same_data_refuses(site: Site) -> None:
    """If this failed, two engines could write the same files."""
    site.start()
    code, _, err = site.run("run")
    assert code == 1
    assert "RUN-004" in err
    assert site.send(adt("C1", "7")) == ["AA"]


def test_a_wrong_configuration_never_starts_and_names_every_fault(site: Site) -> None:
    """If this failed, an error in YAML would be found on the first message at night."""
    bad = CHANNELS.replace("to: lis", "to: lsi").replace("PV1-2 != 'O'", "PV1-2 = 'O'")
    site.write_channels(bad)
    code, _, err = site.run("run")
    assert code == 1
    assert "channels/a.yaml:" in err
    assert err.count("\n") >= 3
    assert not (site.folder / "data/control.sock").exists()


def test_a_broken_channel_test_does_not_keep_the_engine_from_starting(site: Site) -> None:
    """If this failed, a mistake in a test would stop a hospital's interfaces."""
    site.write("channels/a_test.yaml", "tests: [{name: x, send: {to: nobody}}]")
    assert site.run("check")[0] == 1
    site.start()
    assert site.send(adt("C1", "7")) == ["AA"]


def test_metrics_and_health_are_served_without_patient_data(site: Site) -> None:
    """If this failed, monitoring would be blind, or would see names."""
    free = free_port()
    site.write("medbus.yaml", SITE.replace("127.0.0.1:0", f"127.0.0.1:{free}"))
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.receiver.got)
    with urllib.request.urlopen(f"http://127.0.0.1:{free}/metrics") as answer:
        told = answer.read().decode()
    assert 'medbus_messages_total{inbound="his",state="accepted"} 1.0' in told
    assert "medbus_ack_seconds_count 1.0" in told
    assert "medbus_delivery_seconds_count" in told
    assert "CANARYNAME" not in told
    with urllib.request.urlopen(f"http://127.0.0.1:{free}/health") as answer:
        assert b'"running"' in answer.read()


def test_a_taken_http_port_is_told_before_a_message_is_accepted(site: Site) -> None:
    """If this failed, senders would get AA from an engine that gives up a moment later."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site.write("medbus.yaml", SITE.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        code, _, told = site.run("run")
    assert code == 1
    assert f"cannot serve HTTP on 127.0.0.1:{port}" in told
    assert '"listening"' not in told
