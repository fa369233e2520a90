"""Reload in traffic, steps that raise or loop, and what may be found in logs afterwards."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest
import trustme

from tests.faults.bench import Bench, bench, message, shimmed, verdict
from tests.torture.engine import WAIT_S, wait_until
from tests.torture.wire import Wire

fault = pytest.mark.fault

PYTHON = """
def raises(message, context):
    raise ValueError(message["PID-5.1"])


def loops(message, context):
    while message["PID-5.1"]:
        pass
    return message


def grows(message, context):
    kept = []
    while True:
        kept.append(bytearray(50_000_000))
"""


@fault(44, "a Python step raises, loops, or takes a gigabyte", "that route parks; others go on")
@pytest.mark.parametrize("function", ["raises", "loops", "grows"])
def test_bad_python_step(tmp_path: Path, function: str) -> None:
    """A Python step that misbehaves parks its route; the engine and other messages go on."""
    steps = f"- python: bad:{function}\n  when: MSH-10 == 'F1'"
    files = {"transforms/python/bad.py": PYTHON}
    with bench(tmp_path, steps=steps, **files) as it:
        assert it.send(message(1)) == "AA"
        assert it.send(message(2)) == "AA"
        it.receiver.wait_for(1)
        deliveries = it.wait_for_states("parked", "delivered")
        assert deliveries[0]["park_code"] == "step"
        assert it.receiver.control_ids() == ["F2"]
        assert "ZQCANARY" not in it.engine.log() + str(deliveries)


def edited(it: Bench, old: str, new: str) -> None:
    """Change the site's channel file."""
    path = it.engine.folder / "channels" / "channels.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@fault(42, "reload under load: good, then broken", "good: at once and whole; broken: old goes on")
def test_reload_in_traffic(tmp_path: Path) -> None:
    """Under load a good reload takes effect and loses nothing, a broken one changes nothing."""
    with bench(tmp_path, steps="- set: {MSH-6: BEFORE}") as it:
        acked: list[str] = []
        stop = threading.Event()

        def load() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                if it.send(message(number)) == "AA":
                    acked.append(f"F{number}")

        thread = threading.Thread(target=load)
        thread.start()
        try:
            it.receiver.wait_for(10)
            edited(it, "BEFORE", "LATER")
            assert it.engine.command("reload").returncode == 0
            count = len(it.receiver.messages)
            it.receiver.wait_for(count + 20)
            edited(it, "set:", "sett:")
            broken = it.engine.command("reload")
            assert broken.returncode == 1
            assert "channels.yaml:" in broken.stdout + broken.stderr
            count = len(it.receiver.messages)
            it.receiver.wait_for(count + 10)
        finally:
            stop.set()
            thread.join()
        it.engine.wait_drained()
        assert it.receiver.control_ids() == acked
        facilities = [body.split(b"|")[5] for body in it.receiver.messages]
        first_later = facilities.index(b"LATER")
        assert set(facilities[:first_later]) == {b"BEFORE"}
        assert set(facilities[first_later:]) == {b"LATER"}


@fault(42, "a reload removes a channel that owes deliveries", "refused or kept, never dropped")
def test_reload_removes_a_channel_that_owes(tmp_path: Path) -> None:
    """Taking away an outbound channel with a queue is reported with its count."""
    it = Bench(tmp_path)
    try:
        it.receiver.stop()
        it.start()
        assert it.send(message(1)) == "AA"
        edited(it, "  lis:\n", "  other:\n")
        edited(it, "to: lis", "to: other")
        answer = it.engine.command("reload")
        told = answer.stdout + answer.stderr
        assert "lis" in told
        assert "1" in told
        assert it.engine.all_messages()[0]["deliveries"][0]["state"] == "pending"
    finally:
        it.close()


@fault(48, "patient data in logs, metrics and plain files", "none")
def test_no_patient_data_in_plain_sight(tmp_path: Path) -> None:
    """After traffic, refusals, parks and a restart no name stands in any log or plain file."""
    with bench(
        tmp_path,
        steps="- lookup: {path: PV1-2, table: t, column: b}",
        **{"transforms/tables/t.csv": "a,b\nI,1\n"},
    ) as it:
        it.send(message(1))
        it.send(message(2).replace(b"|I|", b"|Q|"))
        it.send(message(3).replace(b"|F3|", b"||"))
        it.send(b"MSH|ZQCANARY")
        it.receiver.wait_for(1)
        it.engine.kill()
        it.start()
        it.engine.wait_drained()
        it.engine.ask("status")
        it.engine.terminate()
        for path in it.engine.folder.rglob("*"):
            if path.is_file():
                assert b"ZQCANARY" not in path.read_bytes(), path.relative_to(it.engine.folder)


@fault(41, "the clock jumps a day ahead, then two days back", "order kept, retries go on")
def test_clock_jumps(tmp_path: Path) -> None:
    """Whatever the wall clock does, messages go out in accept order and retries go on."""
    with shimmed(tmp_path) as (it, shim):
        it.receiver.stop()
        assert it.send(message(1)) == "AA"
        shim.arm("clock - shift 86400")
        assert it.send(message(2)) == "AA"
        shim.arm("clock - shift -86400")
        assert it.send(message(3)) == "AA"
        it.receiver.start()
        it.receiver.wait_for(3)
        assert it.receiver.control_ids() == ["F1", "F2", "F3"]
        it.engine.wait_drained()
        days = {item["message_id"][:8] for item in it.engine.all_messages()}
        assert len(days) >= 2


@fault(43, "the certificate is replaced in traffic", "new connections new one, old ones live on")
def test_certificate_reload(tmp_path: Path) -> None:
    """After a reload new connections get the new certificate, an open one goes on undisturbed."""
    ca = trustme.CA()
    folder = tmp_path / "site"
    folder.mkdir()

    def put_certificate(name: str) -> None:
        issued = ca.issue_cert("127.0.0.1", common_name=name)
        issued.private_key_pem.write_to_path(str(folder / "engine.key"))
        issued.cert_chain_pems[0].write_to_path(str(folder / "engine.pem"))

    context = ssl.create_default_context()
    ca.configure_trust(context)

    def connect() -> tuple[Wire, str]:
        raw = socket.create_connection(("127.0.0.1", it.port), timeout=WAIT_S)
        wrapped = context.wrap_socket(raw, server_hostname="127.0.0.1")
        subject = dict(part[0] for part in wrapped.getpeercert()["subject"])  # type: ignore
        return Wire(wrapped), subject["commonName"]

    put_certificate("first")
    it = Bench(tmp_path, mllp_in="tls: {cert: engine.pem, key: engine.key}")
    try:
        it.start()
        old, name = connect()
        assert name == "first"
        put_certificate("second")
        assert it.engine.command("reload").returncode == 0
        wait_until(
            lambda: connect()[1] == "second", WAIT_S, "new connections get the new certificate"
        )
        old.send(message(1))
        assert verdict(old.receive()) == "AA"
        old.close()
    finally:
        it.close()
