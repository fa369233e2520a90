"""The receiver refuses, hangs, resets, drips, nacks, mis-acks and answers late."""

from __future__ import annotations

import contextlib
import datetime
import ssl
import threading
import warnings
from pathlib import Path

import pytest
import trustme

from tests.faults.bench import IMPATIENT, Bench, after, answer_with, bench, message
from tests.torture.engine import WAIT_S, wait_until
from tests.torture.receiver import accept_all, framed, reset
from tests.torture.wire import Wire, field, make_ack

fault = pytest.mark.fault

BY_PATIENT = 'order_by: ["PID-3.1"]\nlanes: 2\nbackoff: {first: 50ms, factor: 2, max: 200ms}'


@fault(19, "downstream refuses connections", "back-off, order kept, drains when it is back")
def test_refused(tmp_path: Path) -> None:
    """While the receiver is down messages queue; when it is back they come in accept order."""
    it = Bench(tmp_path)
    try:
        it.receiver.stop()
        it.start()
        assert [it.send(message(n)) for n in range(1, 11)] == ["AA"] * 10
        wait_until(lambda: it.deliveries()[0]["attempts"] >= 2, WAIT_S, "it is tried again")
        it.receiver.start()
        it.receiver.wait_for(10)
        assert it.receiver.control_ids() == [f"F{n}" for n in range(1, 11)]
        outcomes = {row["outcome"] for row in it.attempts(it.first_message_id())}
        assert outcomes == {"refused", "acked"}
    finally:
        it.close()


@fault(20, "accepts and never answers", "time-out, new connection, same bytes again")
def test_never_answers(tmp_path: Path) -> None:
    """A receiver that keeps silent gets the same bytes again on a new connection."""
    script = after(lambda wire, body, number: None, 1, accept_all)
    with bench(tmp_path, script, connect=IMPATIENT) as it:
        it.send(message(1))
        it.receiver.wait_for(2)
        (delivery,) = it.wait_for_states("delivered")
        came = it.receiver.messages
        assert set(came) == {message(1)}
        assert it.receiver.connections == delivery["attempts"] == len(came)
        assert it.attempts(it.first_message_id())[0]["outcome"] == "timeout"


@fault(20, "never answers, and the budget is used up", "parked as timeout after the tries allowed")
def test_never_answers_with_a_budget(tmp_path: Path) -> None:
    """With a budget of two further tries a silent receiver gets three; then it is parked."""
    policy = "on_timeout: {retry: 2, then: park}\nbackoff: {first: 20ms, factor: 1, max: 20ms}"
    with bench(
        tmp_path, lambda wire, body, number: None, connect="timeout: 300ms", outbound=policy
    ) as it:
        it.send(message(1))
        (delivery,) = it.wait_for_states("parked")
        assert delivery["park_code"] == "timeout"
        assert len(it.receiver.messages) == 3


@fault(22, "reset in the middle of our frame", "the whole message again")
def test_reset_while_receiving(tmp_path: Path) -> None:
    """A connection reset before the answer leads to the whole message on a new connection."""
    script = after(lambda wire, body, number: reset(wire), 2, accept_all)
    with bench(tmp_path, script) as it:
        it.send(message(1, text="x" * 200_000))
        messages = it.receiver.wait_for(3)
        assert len(set(messages)) == 1
        it.wait_for_states("delivered")


@fault(23, "AE, then AA", "retried with the same bytes, delivered")
@pytest.mark.parametrize("code", [b"AE", b"CE"])
def test_error_then_accept(tmp_path: Path, code: bytes) -> None:
    """A negative ack that means error is retried and then delivered."""
    script = after(answer_with(lambda body: make_ack(body, code)), 2, accept_all)
    with bench(tmp_path, script) as it:
        it.send(message(1))
        it.receiver.wait_for(3)
        (delivery,) = it.wait_for_states("delivered")
        assert delivery["attempts"] == 3


@fault(23, "AR for one patient's message", "only that patient is held; requeue delivers in order")
@pytest.mark.parametrize("code", [b"AR", b"CR"])
def test_reject_holds_that_patient_only(tmp_path: Path, code: bytes) -> None:
    """A rejected message is parked at once, holds only its patient, and requeue restores order."""
    refused = {"F1"}

    def script(wire: Wire, body: bytes, number: int) -> None:
        is_refused = field(body, b"MSH", 10).decode() in refused
        wire.send(make_ack(body, code if is_refused else b"AA"))

    with bench(tmp_path, script, outbound=BY_PATIENT) as it:
        for number, patient in ((1, "P1"), (2, "P2"), (3, "P1"), (4, "P2"), (5, "P1")):
            assert it.send(message(number, patient=patient)) == "AA"
        deliveries = it.wait_for_states("parked", "delivered", "held", "delivered", "held")
        assert deliveries[0]["park_code"] == "nack"
        assert deliveries[0]["attempts"] == 1
        refused.clear()
        done = it.engine.command(
            "requeue", deliveries[0]["delivery_id"], "--reason", "receiver mended", "--yes", "1"
        )
        assert done.returncode == 0, done.stderr
        it.wait_for_states(*["delivered"] * 5)
        order = [i for i in it.receiver.control_ids() if i in ("F1", "F3", "F5")]
        assert order == ["F1", "F1", "F3", "F5"]


@fault(24, "ack for another control id", "not taken; waits until the time-out, then sends again")
@pytest.mark.parametrize("wrong", [b"F", b"F11", b"", b"f1"])
def test_ack_of_another_message(tmp_path: Path, wrong: bytes) -> None:
    """An ack whose MSA-2 is not byte for byte ours never counts as success."""
    script = after(answer_with(lambda body: make_ack(body, control_id=wrong)), 1, accept_all)
    with bench(tmp_path, script, connect=IMPATIENT) as it:
        it.send(message(1))
        it.receiver.wait_for(2)
        (delivery,) = it.wait_for_states("delivered")
        assert delivery["attempts"] == len(it.receiver.messages)


@fault(25, "two acks for one message; a late ack", "matched by MSA-2, no shift by one")
def test_two_acks(tmp_path: Path) -> None:
    """A doubled ack is not taken for the next message's."""

    def script(wire: Wire, body: bytes, number: int) -> None:
        if field(body, b"MSH", 10) == b"F1":
            wire.send(make_ack(body))
            wire.send(make_ack(body))
        elif number < 4:
            wire.send(make_ack(body, b"AR"))
        else:
            wire.send(make_ack(body))

    with bench(tmp_path, script) as it:
        it.send(message(1))
        it.send(message(2))
        deliveries = it.wait_for_states("delivered", "parked")
        assert deliveries[1]["park_code"] == "nack"


@fault(25, "late ack of the previous message", "the connection was closed, it cannot match")
def test_late_ack(tmp_path: Path) -> None:
    """An ack that comes after the time-out settles nothing."""
    late: list[tuple[Wire, bytes]] = []

    def script(wire: Wire, body: bytes, number: int) -> None:
        if number == 1:
            late.append((wire, body))
            return
        for slow, first in late:
            with contextlib.suppress(OSError):
                slow.socket.sendall(framed(make_ack(first)))
        wire.send(make_ack(body))

    with bench(tmp_path, script, connect=IMPATIENT) as it:
        it.send(message(1))
        it.receiver.wait_for(2)
        it.wait_for_states("delivered")
        assert it.attempts(it.first_message_id())[0]["outcome"] == "timeout"


@fault(26, "garbage instead of an ack", "bounded, connection closed, same bytes again")
@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        framed(b"garbage"),
        b"\x0b" + b"x" * 10_000_000,
        b"\x0bMSH|no end",
    ],
    ids=["http", "framed", "ten-megabytes", "no-end"],
)
def test_garbage_instead_of_an_ack(tmp_path: Path, garbage: bytes) -> None:
    """Garbage is never an ack: the connection is closed and the same bytes go out again."""
    script = after(lambda wire, body, number: wire.socket.sendall(garbage), 1, accept_all)
    with bench(tmp_path, script, connect=IMPATIENT) as it:
        before = it.engine.memory_mb()
        it.send(message(1))
        assert set(it.receiver.wait_for(2)) == {message(1)}
        it.wait_for_states("delivered")
        assert it.engine.memory_mb() < before + 60


@fault(27, "the ack drips one byte at a time", "the total deadline holds")
def test_dripping_ack(tmp_path: Path) -> None:
    """An ack that never gets whole in time is a time-out, however steadily it drips."""

    def drip(wire: Wire, body: bytes, number: int) -> None:
        pause = threading.Event()
        for byte in framed(make_ack(body)):
            wire.socket.sendall(bytes([byte]))
            pause.wait(0.1)

    with bench(tmp_path, after(drip, 1, accept_all), connect=IMPATIENT) as it:
        it.send(message(1))
        it.receiver.wait_for(2)
        it.wait_for_states("delivered")
        first = it.attempts(it.first_message_id())[0]
        assert first["outcome"] == "timeout"


@fault(29, "ack without MSA, MSH only, without code", "no success; sent again")
@pytest.mark.parametrize(
    "ack",
    [
        lambda body: make_ack(body).split(b"MSA")[0],
        lambda body: b"MSH|^~\\&|",
        lambda body: make_ack(body, b""),
    ],
    ids=["no-msa", "msh-only", "no-code"],
)
def test_unreadable_ack(tmp_path: Path, ack: object) -> None:
    """An ack that says nothing readable is not a success."""
    script = after(answer_with(ack), 1, accept_all)  # type: ignore[arg-type]
    with bench(tmp_path, script) as it:
        it.send(message(1))
        it.receiver.wait_for(2)
        (delivery,) = it.wait_for_states("delivered")
        assert delivery["attempts"] == 2


@fault(29, "ack with a lower-case code", "read as what it means")
def test_lower_case_ack(tmp_path: Path) -> None:
    """`aa` from a careless receiver counts as AA, and `ar` as AR."""
    script = after(
        answer_with(lambda body: make_ack(body, b"aa")),
        1,
        answer_with(lambda body: make_ack(body, b"ar")),
    )
    with bench(tmp_path, script) as it:
        it.send(message(1))
        it.send(message(2))
        it.wait_for_states("delivered", "parked")
        assert it.receiver.control_ids() == ["F1", "F2"]


@fault(46, "a poison message at the head", "parked after its budget; the others go on")
def test_poison_message(tmp_path: Path) -> None:
    """A message the receiver cannot stand is parked after its budget and the queue goes on."""

    def script(wire: Wire, body: bytes, number: int) -> None:
        code = b"AE" if field(body, b"MSH", 10) == b"F1" else b"AA"
        wire.send(make_ack(body, code))

    policy = "on_ack: {AE: {retry: 2, then: park}}\nbackoff: {first: 20ms, factor: 1, max: 20ms}"
    with bench(tmp_path, script, outbound=policy) as it:
        for number in (1, 2, 3):
            it.send(message(number))
        it.wait_for_states("parked", "delivered", "delivered")
        assert it.receiver.control_ids() == ["F1", "F1", "F1", "F2", "F3"]


def server_side() -> ssl.SSLContext:
    """Return a context as an honest receiver has it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def old_tls(side: int) -> ssl.SSLContext:
    """Return a context that speaks nothing newer than TLS 1.1, and checks nobody."""
    context = ssl.SSLContext(side)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@fault(
    30,
    "downstream TLS: unknown CA, wrong name, expired certificate, TLS 1.1",
    "refused, the queue keeps, then delivered",
)
@pytest.mark.parametrize("wrong_in", ["name", "issuer", "time", "version"])
def test_downstream_tls(tmp_path: Path, wrong_in: str) -> None:
    """A receiver whose certificate does not hold gets nothing; one whose does gets the queue."""
    import socket

    right, wrong = trustme.CA(), trustme.CA()
    (tmp_path / "site").mkdir(parents=True)
    right.cert_pem.write_to_path(str(tmp_path / "site" / "ca.pem"))
    context = old_tls(ssl.PROTOCOL_TLS_SERVER) if wrong_in == "version" else server_side()
    issuer = wrong if wrong_in == "issuer" else right
    name = "elsewhere.example" if wrong_in == "name" else "127.0.0.1"
    long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC) if wrong_in == "time" else None
    issuer.issue_cert(name, not_before=long_ago, not_after=long_ago).configure_cert(context)
    good = server_side()
    right.issue_cert("127.0.0.1").configure_cert(good)
    current = [context]
    it = Bench(tmp_path, connect="timeout: 60s, tls: {ca: ca.pem, server_name: 127.0.0.1}")
    it.receiver.stop()
    plain: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", it.receiver.port))
    tried, got = threading.Event(), threading.Event()

    def serve() -> None:
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            raw.settimeout(WAIT_S)
            try:
                wire = Wire(current[0].wrap_socket(raw, server_side=True))
                while True:
                    plain.append(wire.receive())
                    wire.send(make_ack(plain[-1]))
                    got.set()
            except Exception:  # noqa: BLE001  every failed handshake is what the test wants
                raw.close()
            finally:
                tried.set()

    threading.Thread(target=serve, daemon=True).start()
    try:
        it.start()
        assert it.send(message(1)) == "AA"
        assert tried.wait(WAIT_S)
        if wrong_in == "version":
            # It does speak TLS 1.1 with a client that takes that.
            raw = socket.create_connection(("127.0.0.1", it.receiver.port), timeout=WAIT_S)
            with old_tls(ssl.PROTOCOL_TLS_CLIENT).wrap_socket(raw) as client:
                assert client.version() == "TLSv1.1"
        assert plain == []
        assert it.states() == ["pending"]
        current[0] = good
        assert got.wait(WAIT_S)
        it.wait_for_states("delivered")
    finally:
        it.close()
        listener.close()
