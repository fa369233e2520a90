"""What operators do with a running engine, and what it does with changed sites."""

from __future__ import annotations

import shutil
import signal
import threading

from tests.runtime.running import CHANNELS, WAIT_S, Sender, Site, adt

STEPS = CHANNELS.replace(
    "      - set: {MSH-5: LIS}\n",
    "      - set: {MSH-5: LIS}\n      - lookup: {path: PID-8, table: sex, column: lis}\n",
)


def test_a_failed_step_is_rerun_under_todays_configuration(site: Site) -> None:
    """If this failed, a message parked for a missing table row could never be delivered."""
    site.write("transforms/tables/sex.csv", "his,lis\nM,1\n")
    site.write_channels(STEPS)
    site.start()
    female = adt("C1", "7").replace(b"CANARYNAME^JOHN", b"X^Y|||F")
    assert site.send(female, adt("C2", "7").replace(b"CANARYNAME^JOHN", b"X^Y|||M")) == ["AA"] * 2
    site.wait(lambda: site.outbound()["parked"] == 1)
    assert site.outbound()["held"] == 1
    parked = site.json("messages", "--state", "parked")["items"][0]
    delivery = parked["deliveries"][0]
    assert (delivery["park_code"], delivery["park_step"]) == ("step", "2")
    assert delivery["has_body"] is False

    code, _, err = site.run("requeue", parked["message_id"], "--reason", "try", "--yes", "1")
    assert code == 1
    assert "fails again at step 2" in err

    site.write("transforms/tables/sex.csv", "his,lis\nM,1\nF,2\n")
    assert site.run("reload", "--reason", "F was missing")[0] == 0
    code, _, err = site.run("requeue", parked["message_id"], "--reason", "F added", "--yes", "1")
    assert code == 0, err
    site.wait(lambda: len(site.receiver.got) == 2)
    assert site.receiver.ids() == ["C1", "C2"], "the patient's order holds"
    assert b"|||2" in site.receiver.got[0]
    after = site.json("show", parked["message_id"])["deliveries"]
    assert [(d["state"], d["replaces"]) for d in after] == [
        ("cancelled", ""),
        ("delivered", delivery["delivery_id"]),
    ]


def test_who_waits_behind_merges_hears_of_the_one_that_needs_a_person(site: Site) -> None:
    """If this failed, `why` would name a delivery that waits itself, and nobody could act on it."""
    site.receiver.answer = lambda body: "AR" if b"|C1|" in body else "AA"
    site.start()
    merge = adt("C2", "8", trigger="A40", more="MRG|7^^^H^MR\r")
    assert site.send(adt("C1", "7"), merge, adt("C3", "8")) == ["AA"] * 3
    site.wait(lambda: site.outbound()["held"] == 2)
    parked, merged = (
        site.json("messages", "--control-id", name)["items"][0]["deliveries"][0]["delivery_id"]
        for name in ("C1", "C2")
    )
    why = site.json("why", "--control-id", "C3", "--to", "lis")["items"][0]["why"]
    assert f"held behind {parked}, parked: nack" in why
    assert why.endswith(f", by way of {merged}")


def test_a_bad_site_changes_nothing_and_a_good_one_switches_without_loss(site: Site) -> None:
    """If this failed, a typing error in YAML could stop a running hospital interface."""
    site.start()
    sender = Sender(site.port())
    assert sender.send(adt("C1", "7")) == "AA"
    before = site.status()["snapshot_id"]
    site.write_channels(CHANNELS.replace("to: lis", "to: lsi"))
    code, _, err = site.run("reload")
    assert code == 1
    assert "CFG-" in err
    assert "untouched" in err
    assert site.status()["snapshot_id"] == before
    assert sender.send(adt("C2", "7")) == "AA"

    site.write_channels(CHANNELS.replace("MSH-5: LIS", "MSH-5: OTHER"))
    assert site.json("reload", "--dry-run")["applied"] is False
    assert site.status()["snapshot_id"] == before
    assert site.run("reload", "--reason", "renamed")[0] == 0
    assert sender.send(adt("C3", "7")) == "AA", "an unchanged listener keeps its connections"
    assert site.run("rollback", "--reason", "wards complain")[0] == 0
    assert sender.send(adt("C4", "7")) == "AA"
    site.wait(lambda: len(site.receiver.got) == 4)
    named = [body.split(b"|")[4] for body in site.receiver.got]
    assert named == [b"LIS", b"LIS", b"OTHER", b"LIS"]
    assert site.status()["snapshot_id"] == before
    first = site.json("messages")["items"][1]
    change = site.json("trace", first["message_id"])["routes"][0]["steps"][0]["changes"][0]
    assert change["after"] == "OTHER", "trace runs what ran then"


def test_sighup_reloads(site: Site) -> None:
    """If this failed, `systemctl reload` would do nothing."""
    site.start()
    before = site.status()["snapshot_id"]
    site.write_channels(CHANNELS.replace("MSH-5: LIS", "MSH-5: OTHER"))
    assert site.process is not None
    site.process.send_signal(signal.SIGHUP)
    site.wait(lambda: site.status()["snapshot_id"] != before)


def test_a_removed_channel_that_owes_keeps_its_queue_and_a_renamed_one_takes_it(
    site: Site,
) -> None:
    """If this failed, deleting or renaming a channel would lose what it owes."""
    site.receiver.close()
    site.start()
    site.send(adt("C1", "7"), adt("C2", "8"))
    assert site.outbound()["pending"] == 2
    without = CHANNELS.replace("  lis:\n", "  other:\n").replace("to: lis", "to: other")
    site.write_channels(without)
    told = site.json("reload", "--dry-run")
    assert [f["code"] for f in told["findings"] if f["code"].startswith("RUN")] == ["RUN-037"]
    assert "2 deliveries" in told["findings"][-1]["what"]
    assert site.run("reload")[0] == 0
    assert (site.outbound()["state"], site.outbound()["pending"]) == ("orphaned", 2)
    assert "ALM-011" in [a["code"] for a in site.status()["alarms"]]

    site.write_channels(without.replace("  other:\n", "  other:\n    renamed_from: lis\n"))
    assert site.run("reload")[0] == 0
    site.receiver.open_again()
    site.wait(lambda: len(site.receiver.got) == 2)
    site.wait(lambda: site.outbound("other")["pending"] == 0)


def test_a_pause_holds_over_a_restart_and_nothing_is_lost(site: Site) -> None:
    """If this failed, a restart at night would undo what the day shift switched off."""
    site.start()
    assert site.run("pause", "lis", "--reason", "upgrade")[0] == 0
    assert site.send(adt("C1", "7")) == ["AA"]
    assert site.stop() == 0
    site.restart()
    assert (site.outbound()["state"], site.outbound()["pending"]) == ("paused", 1)
    told = site.json("handover")
    assert (told["paused"][0]["channel"], told["paused"][0]["reason"]) == ("lis", "upgrade")
    assert site.receiver.got == []
    assert site.run("resume", "lis")[0] == 0
    site.wait(lambda: site.receiver.ids() == ["C1"])

    port = site.port()
    assert site.run("pause", "his")[0] == 0
    try:
        Sender(port)
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("a paused inbound channel still listens")
    assert site.run("resume", "his")[0] == 0
    assert site.send(adt("C2", "7")) == ["AA"]


def test_replays_are_new_records_linked_to_the_old(site: Site) -> None:
    """If this failed, a replay would overwrite evidence or send other bytes than promised."""
    site.start()
    site.send(adt("C1", "7"), adt("C2", "7"))
    site.wait(lambda: len(site.receiver.got) == 2)
    first = site.json("messages")["items"][1]["message_id"]
    reason = ("--reason", "LIS lost its disk", "--yes", "1")

    assert site.run("replay", first, "--as", "sent", *reason)[0] == 0
    site.wait(lambda: len(site.receiver.got) == 3)
    assert site.receiver.got[2] == site.receiver.got[0]

    site.write_channels(CHANNELS.replace("MSH-5: LIS", "MSH-5: OTHER"))
    site.run("reload")
    dry = site.json("replay", first, "--as", "received", "--dry-run")
    assert dry["items"][0]["changes"][0]["after"] == "OTHER"
    assert dry["items"][0]["newer_count"] == 1
    assert len(site.receiver.got) == 3, "a dry run sends nothing"
    code, _, told = site.run("replay", first, "--as", "received", "--to", "lsi", "--dry-run")
    assert (code, "no outbound channel 'lsi'" in told) == (1, True)
    assert site.run("replay", first, "--as", "received", *reason)[0] == 0
    site.wait(lambda: len(site.receiver.got) == 4)
    assert b"|OTHER|" in site.receiver.got[3]

    listed = site.json("messages")["items"]
    assert [(m["replay_of"], m["replay_as"]) for m in listed[:2]] == [
        (first, "received"),
        (first, "sent"),
    ]
    assert site.run("messages")[1].count(f"replay of {first}:") == 2
    assert len(site.json("trace", first)["replays"]) == 2
    flows = {row["flow"]: row["stored"] for row in site.status()["ledger"]}
    assert flows == {"live": 2, "replay": 2}


def test_commands_do_the_same_on_a_stopped_engine(site: Site) -> None:
    """If this failed, an operator could do nothing while the engine is down."""
    site.receiver.answer = lambda body: "AR"
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.outbound()["parked"] == 1)
    site.stop()
    listed = site.json("messages")["items"]
    assert listed[0]["deliveries"][0]["state"] == "parked"
    code, out, _ = site.run("show", listed[0]["message_id"], "--received", "--raw")
    assert out.encode() == adt("C1", "7")
    assert site.run("requeue", listed[0]["message_id"], "--reason", "x", "--yes", "1")[0] == 0
    verbs = [r["verb"] for r in site.json("audit", "list")["items"]]
    assert verbs == ["requeue", "show"]
    site.receiver.answer = lambda body: "AA"
    site.receiver.got.clear()
    site.restart()
    site.wait(lambda: site.receiver.ids() == ["C1"])
    for verb in ("reload", "stop"):
        code, _, err = site.run(verb) if verb == "reload" else (1, "", "RUN-027")
        assert code == 1 or "RUN" not in err


def test_a_backup_made_while_running_restores_and_delivers_what_it_owed(site: Site) -> None:
    """If this failed, the backup would be a copy that cannot be used."""
    site.receiver.close()
    site.start()
    site.send(adt("C1", "7"), adt("C2", "8"))
    copy = site.folder / "copy"
    assert site.run("backup", str(copy))[0] == 0
    assert not (copy / "keys/master.key").exists()
    assert site.run("backup", str(copy))[0] == 1, "a backup never overwrites another"
    site.send(adt("C3", "9"))
    site.stop(signal.SIGKILL)
    shutil.move(site.folder / "data", site.folder / "data.old")
    shutil.copytree(copy, site.folder / "data")
    shutil.copy2(site.folder / "data.old/keys/master.key", site.folder / "data/keys/master.key")
    site.receiver.open_again()
    site.restart()
    site.wait(lambda: sorted(site.receiver.ids()) == ["C1", "C2"])


def test_a_replay_to_a_channel_that_is_gone_says_so_before_it_is_done(site: Site) -> None:
    """If this failed, a replay would be counted, consented to, and then fail."""
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.receiver.got)
    first = site.json("messages")["items"][0]["message_id"]
    site.write_channels(CHANNELS.replace("  lis:\n", "  other:\n").replace("to: lis", "to: other"))
    assert site.run("reload")[0] == 0
    code, _, told = site.run("replay", first, "--as", "sent", "--reason", "x", "--yes", "0")
    assert (code, "no stored output can be sent again" in told) == (1, True)
    code, _, told = site.run("replay", first, "--as", "sent", "--to", "lis", "--dry-run")
    assert (code, "there are other" in told) == (1, True)


def test_a_pause_goes_with_a_renamed_channel_and_is_told_by_why(site: Site) -> None:
    """If this failed, renaming a channel would send to a receiver that is being repaired."""
    site.start()
    site.run("pause", "lis", "--until", "2h", "--reason", "repair")
    site.send(adt("C1", "7"))
    assert (
        "lis is paused by"
        in site.json("why", "--control-id", "C1", "--to", "lis")["items"][0]["why"]
    )
    other = CHANNELS.replace("  lis:\n", "  other:\n    renamed_from: lis\n")
    site.write_channels(other.replace("to: lis", "to: other"))
    assert site.run("reload")[0] == 0
    assert (site.outbound("other")["state"], site.outbound("other")["pending"]) == ("paused", 1)
    [paused] = site.json("handover")["paused"]
    assert (paused["channel"], paused["reason"]) == ("other", "repair")
    assert paused["until"]
    site.stop()
    site.restart()
    assert site.outbound("other")["state"] == "paused"
    assert site.receiver.got == []
    assert site.run("resume", "other")[0] == 0
    site.wait(lambda: site.receiver.ids() == ["C1"])


def test_a_rename_that_is_rolled_back_keeps_queue_and_pause(site: Site) -> None:
    """If this failed, a rollback would send to a receiver that is being repaired, and owe twice."""
    site.start()
    site.run("pause", "lis", "--reason", "repair")
    site.send(adt("C1", "7"))
    other = CHANNELS.replace("  lis:\n", "  other:\n    renamed_from: lis\n")
    site.write_channels(other.replace("to: lis", "to: other"))
    assert site.run("reload")[0] == 0
    _, out, err = site.run("rollback", "--reason", "wrong name")
    assert ("outbound lis: renamed from other; 1 in its queue" in out, err) == (True, "")
    assert (site.outbound()["state"], site.outbound()["pending"]) == ("paused", 1)
    assert [row["name"] for row in site.status()["outbound"]] == ["lis"]
    assert site.send(adt("C2", "7")) == ["AA"]
    assert site.run("resume", "lis")[0] == 0
    site.wait(lambda: site.receiver.ids() == ["C1", "C2"])


def test_why_tells_that_a_halted_channel_waits_for_a_person(site: Site) -> None:
    """If this failed, nobody would learn after a restart why nothing goes out any more."""
    site.write_channels(CHANNELS.replace("    lanes: 2\n", "    on_park: halt\n"))
    site.receiver.answer = lambda body: "AR"
    site.start()
    site.send(adt("C1", "7"), adt("C2", "8"))
    site.wait(lambda: site.outbound()["parked"] == 1)
    site.stop()
    site.restart()
    site.wait(lambda: site.outbound()["state"] == "halted")
    told = site.json("why", "--control-id", "C2", "--to", "lis")["items"][0]["why"]
    assert "pending, lis is halted by" in told
    step = site.json("why", "--control-id", "C1", "--to", "lis")["items"][0]["next_step"]
    assert "`medbus release " in step


def test_a_channel_removed_while_paused_can_be_resumed(site: Site) -> None:
    """If this failed, its pause would be shown for ever, and its end would disturb the others'."""
    site.start()
    site.run("pause", "lis")
    site.write_channels(CHANNELS.replace("  lis:\n", "  other:\n").replace("to: lis", "to: other"))
    assert site.run("reload")[0] == 0
    assert site.run("resume", "lis")[0] == 0
    assert site.json("handover")["paused"] == []
    assert site.run("resume", "lis")[0] == 1


def test_python_steps_run_beside_the_engine_and_a_loop_does_not_stop_it(site: Site) -> None:
    """If this failed, one bad Python step would stop every interface."""
    source = (
        "def lower(message, context):\n"
        "    if message['PID-3.1'] == '13':\n"
        "        while True: pass\n"
        "    message['PID-5.1'] = message['PID-5.1'].lower()\n"
        "    return message\n"
    )
    site.write("transforms/python/names.py", source)
    step = "      - python: {call: names:lower, timeout: 3s}\n"
    site.write_channels(CHANNELS.replace("    to: lis\n", step + "    to: lis\n"))
    site.start()
    assert site.send(adt("C1", "1"), adt("C2", "13"), adt("C3", "2")) == ["AA"] * 3
    site.wait(lambda: site.outbound()["pending"] == 0 and len(site.receiver.got) == 2)
    assert site.receiver.ids() == ["C1", "C3"]
    assert b"canaryname^JOHN" in site.receiver.got[0]
    parked = site.json("messages", "--state", "parked")["items"][0]["deliveries"][0]
    assert "did not finish" in parked["park_reason"]


def test_a_sender_can_wait_for_the_receivers_answer(site: Site) -> None:
    """If this failed, `ack: delivered_by` would answer before the receiver has it."""
    waiting = CHANNELS.replace(
        'listen: "127.0.0.1:0"}\n',
        'listen: "127.0.0.1:0"}\n    ack: {delivered_by: lis, timeout: 60s}\n',
    )
    site.write_channels(waiting)
    site.receiver.answer = lambda body: "AR" if b"|C2|" in body else "AA"
    site.start()
    out_patient = adt("C3", "9").replace(b"PV1|1|I", b"PV1|1|O")
    assert site.send(adt("C1", "7"), adt("C2", "8"), out_patient) == ["AA", "AE", "AE"]
    site.receiver.close()
    site.write_channels(waiting.replace("lis, timeout: 60s", "lis, timeout: 2s"))
    assert site.run("reload")[0] == 0
    assert site.send(adt("C4", "10")) == ["AE"]
    site.wait(lambda: site.outbound()["pending"] == 0)
    states = {m["control_id"]: m["deliveries"] for m in site.json("messages")["items"]}
    assert states["C4"][0]["state"] == "expired"
    why = site.json("why", "--control-id", "C4", "--to", "lis")["items"][0]["why"]
    assert "its sender's wait for the answer ran out: ack.timeout of his is 2s" in why
    assert "the last of" in why


def test_a_cancelled_delivery_is_told_to_the_sender_who_waits_for_it(site: Site) -> None:
    """If this failed, its sender would wait out the time-out for what nobody will deliver."""
    waiting = CHANNELS.replace(
        'listen: "127.0.0.1:0"}\n',
        'listen: "127.0.0.1:0"}\n    ack: {delivered_by: lis, timeout: 10m}\n',
    )
    site.write_channels(waiting)
    site.receiver.close()
    site.start()
    answers: list[str] = []
    sender = threading.Thread(target=lambda: answers.extend(site.send(adt("C1", "7"))), daemon=True)
    sender.start()
    site.wait(lambda: site.outbound()["pending"] == 1)
    message = site.json("messages")["items"][0]["message_id"]
    code, _, err = site.run("cancel", message, "--reason", "withdrawn", "--yes", "1")
    assert code == 0, err
    sender.join(WAIT_S)
    assert answers == ["AE"]


def test_why_tells_what_a_delivery_expired_of(site: Site) -> None:
    """If this failed, `expired` would leave an operator to guess at expire_after."""
    site.write_channels(CHANNELS.replace("  lis:\n", "  lis:\n    expire_after: 4s\n", 1))
    site.receiver.close()
    site.start()
    assert site.send(adt("C1", "7")) == ["AA"]
    site.wait(lambda: site.outbound()["pending"] == 0)
    why = site.json("why", "--control-id", "C1", "--to", "lis")["items"][0]["why"]
    assert "expired" in why
    assert "older than its expire_after of 4s" in why
    assert ": refused" in why


def test_a_command_after_a_crash_does_not_hide_what_is_uncertain(site: Site) -> None:
    """If this failed, looking at a crashed engine would make a possible duplicate look certain."""
    site.receiver.answer = lambda body: ""
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.receiver.got)
    site.stop(signal.SIGKILL)
    assert site.status()["state"] == "stopped"
    site.restart()
    site.wait(lambda: len(site.receiver.got) == 2)
    message = site.json("messages")["items"][0]
    site.wait(lambda: site.json("show", message["message_id"])["deliveries"][0]["uncertain"])


def test_a_stop_says_what_is_owed_and_what_waits_for_a_person(site: Site) -> None:
    """If this failed, an engine would be switched off in the belief that nothing is left."""
    site.receiver.answer = lambda body: "AR" if b"|C1|" in body else "AA"
    site.start()
    site.send(adt("C1", "7"), adt("C2", "7"))
    site.wait(lambda: site.outbound()["held"] == 1)
    assert site.run("stop")[1] == "stopped; still owed: 1 parked, 1 held\n"


def test_what_is_cancelled_is_not_sent_and_a_held_one_says_what_it_waits_for(site: Site) -> None:
    """If this failed, a cancelled order could still reach the laboratory."""
    site.receiver.answer = lambda body: "AR" if b"|C1|" in body else "AA"
    site.start()
    site.send(adt("C1", "7"), adt("C2", "7"))
    site.wait(lambda: site.outbound()["held"] == 1)
    held, parked = (m["message_id"] for m in site.json("messages")["items"])
    why = site.json("why", held, "--to", "lis")["items"][0]["why"]
    assert f"held behind {parked}.1, parked: nack" in why
    site.run("pause", "lis")
    site.send(adt("C3", "8"), adt("C4", "9"))
    third = site.json("messages")["items"][1]["message_id"]
    assert site.run("cancel", third, "--reason", "entered twice", "--yes", "1")[0] == 0
    site.run("resume", "lis")
    site.wait(lambda: site.outbound()["pending"] == 0)
    assert site.receiver.ids() == ["C1", "C4"]


def test_changed_order_keys_wait_until_what_is_pending_has_settled(site: Site) -> None:
    """If this failed, two messages of one patient could overtake each other at a reload."""
    site.receiver.close()
    site.start()
    site.send(adt("C1", "7"))
    other = CHANNELS.replace('order_by: ["PID-3.1", "MRG-1.1"]', 'order_by: ["PID-5.1"]')
    site.write_channels(other)
    told = site.json("reload", "--reason", "by name")
    assert "RUN-038" in [finding["code"] for finding in told["findings"]]
    assert "changed order keys are in use" not in site.log
    site.receiver.open_again()
    site.wait(lambda: site.receiver.ids() == ["C1"])
    site.wait(lambda: "changed order keys are in use" in site.log)
    assert site.send(adt("C2", "7")) == ["AA"]
    site.wait(lambda: site.receiver.ids() == ["C1", "C2"])


def test_mutual_tls_takes_who_has_a_certificate_and_nobody_else(site: Site) -> None:
    """If this failed, messages could be read or forged on the hospital's network."""
    import trustme

    (site.folder / "tls").mkdir()
    authority = trustme.CA()
    authority.cert_pem.write_to_path(site.folder / "tls/ca.pem")
    for name in ("localhost", "his.hospital"):
        cert = authority.issue_cert(name)
        cert.private_key_and_cert_chain_pem.write_to_path(site.folder / f"tls/{name}.pem")
    (site.folder / "two.hl7").write_bytes(adt("C1", "7"))
    tls = "tls: {cert: tls/localhost.pem, key: tls/localhost.pem, client_ca: tls/ca.pem}"
    site.write_channels(CHANNELS.replace('listen: "127.0.0.1:0"', f'listen: "127.0.0.1:0", {tls}'))
    site.start()
    to = f"127.0.0.1:{site.port()}"
    file, ca = str(site.folder / "two.hl7"), str(site.folder / "tls/ca.pem")
    ours = str(site.folder / "tls/his.hospital.pem")
    words = ("send", file, "--to", to, "--ca", ca, "--server-name", "localhost", "--timeout", "60")
    told = site.json(*words, "--cert", ours, "--key", ours)
    assert told["items"][0]["answer"] == "AA"
    assert site.run(*words)[0] == 1
    assert site.run("send", file, "--to", to, "--timeout", "60")[0] == 1
    assert site.status()["inbound"][0]["today_count"] == 1


def test_a_replay_cut_short_by_a_crash_is_finished_once_at_the_next_start(site: Site) -> None:
    """If this failed, an audited action would be lost, or done twice."""
    site.start()
    site.send(adt("C1", "7"), adt("C2", "7"), adt("C3", "7"))
    site.wait(lambda: len(site.receiver.got) == 3)
    site.stop()
    site.start(MEDBUS_FAILPOINT="operation.audited:1")
    words = ("--as", "sent", "--reason", "LIS lost its disk", "--yes", "3")
    code, _, err = site.run("replay", "--inbound", "his", *words)
    assert (code, "RUN-026" in err) == (1, True)
    assert site.process is not None
    assert site.process.wait(WAIT_S) == -signal.SIGKILL
    site.restart()
    site.wait(lambda: len(site.receiver.got) == 6)
    assert site.receiver.ids()[3:] == ["C1", "C2", "C3"]
    assert len(site.json("audit", "list", "--verb", "replay")["items"]) == 1
    site.stop()
    site.restart()
    assert len(site.json("messages")["items"]) == 6, "it is not done again"


def test_a_drain_empties_the_queues_before_it_stops(site: Site) -> None:
    """If this failed, a planned move to another machine would leave deliveries behind."""
    site.start()
    site.run("pause", "lis")
    site.send(*(adt(f"C{n}", str(n)) for n in range(20)))
    assert site.outbound()["pending"] == 20
    site.run("resume", "lis")
    told = site.json("stop", "--drain", "--within", "100")
    assert (told["state"], told["pending"]) == ("stopped", 0)
    assert len(site.receiver.got) == 20
    assert site.process is not None
    assert site.process.wait(WAIT_S) == 0
    assert site.run("stop")[0] == 1


def test_a_taken_port_keeps_the_engine_from_starting_and_says_which(site: Site) -> None:
    """If this failed, an engine could run without hearing one of its senders."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        site.write_channels(CHANNELS.replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        code, _, err = site.run("run")
    assert code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in err


def test_a_pause_during_a_reload_counts(site: Site) -> None:
    """If this failed, a channel paused while its last try ran out would go on after the reload."""
    short = CHANNELS.replace("timeout: 60s", "timeout: 5s")
    site.write_channels(short)
    site.receiver.answer = lambda body: ""
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.receiver.got)
    site.write_channels(short.replace("lanes: 2", "lanes: 3"))
    reload = threading.Thread(target=site.run, args=("reload",))
    reload.start()
    site.wait(lambda: "reload" in [row["verb"] for row in site.json("audit", "list")["items"]])
    assert site.run("pause", "lis", "--reason", "upgrade")[0] == 0
    reload.join()
    assert site.outbound()["lanes"] == 3
    assert site.outbound()["state"] == "paused"


def test_a_bad_certificate_in_a_reload_leaves_the_channel_running(site: Site) -> None:
    """If this failed, one wrong file would cut off a receiver at a reload."""
    site.start()
    site.write("tls/bad.pem", "no certificate")
    tls = "tls: {ca: tls/bad.pem}, timeout: 60s"
    site.write_channels(CHANNELS.replace("timeout: 60s", tls))
    code, _, err = site.run("reload")
    assert code == 1
    assert "channel lis" in err
    assert site.send(adt("C1", "7")) == ["AA"]
    site.wait(lambda: site.receiver.ids() == ["C1"])


def test_keys_are_rotated_while_messages_flow_and_the_audit_can_be_exported(site: Site) -> None:
    """If this failed, rotating the master key would need a stop, or would lose old messages."""
    site.start()
    site.send(adt("C1", "7"))
    master = (site.folder / "data/keys/master.key").read_bytes()
    assert site.run("keys", "rotate", "--reason", "yearly")[0] == 0
    assert (site.folder / "data/keys/master.key").read_bytes() != master
    site.send(adt("C2", "7"))
    site.stop()
    site.restart()
    first = site.json("messages")["items"][1]["message_id"]
    assert site.run("show", first, "--received", "--raw")[1].encode() == adt("C1", "7")
    exported = site.folder / "audit.jsonl"
    assert site.run("audit", "export", str(exported))[0] == 0
    assert [line.count('"verb"') for line in exported.read_text().splitlines()] == [1, 1, 1]
    assert site.json("audit", "verify")["ok"]


def test_a_stop_does_not_wait_for_ever_and_flags_what_it_cut_off(site: Site) -> None:
    """If this failed, a hanging receiver would hold up every restart, or a duplicate go unseen."""
    site.receiver.answer = lambda body: ""
    site.start()
    site.send(adt("C1", "7"))
    site.wait(lambda: site.receiver.got)
    assert site.stop() == 0
    site.restart()
    site.wait(lambda: len(site.receiver.got) == 2)
    message = site.json("messages")["items"][0]
    site.wait(lambda: site.json("show", message["message_id"])["deliveries"][0]["uncertain"])


def test_the_method_of_deidentification_is_in_the_audit_trail(site: Site) -> None:
    """If this failed, nobody could show later how a research copy was made."""
    with_profile = CHANNELS.replace(
        "      - set: {MSH-5: LIS}\n", "      - deidentify: safe_harbor\n"
    )
    site.start()
    assert site.json("audit", "list")["items"] == []
    site.write_channels(with_profile)
    assert site.run("reload", "--reason", "research")[0] == 0
    reloaded, method = reversed(site.json("audit", "list")["items"])
    assert (reloaded["verb"], method["verb"]) == ("reload", "deid_method")
    assert method["subject"] == "safe_harbor"
    assert {"version", "key_id", "snapshot"} <= set(method["detail"])
