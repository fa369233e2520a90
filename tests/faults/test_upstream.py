"""The sender cuts, floods, pipelines, repeats itself, or is no sender at all."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.bench import bench, message, verdict
from tests.torture.engine import WAIT_S, wait_until
from tests.torture.receiver import framed
from tests.torture.wire import PeerClosed, Wire, field

fault = pytest.mark.fault

#: 東 and 葉 in GB18030 hold the bytes of | and ~
CHINESE = message(1, text="東明 葉").decode().encode("gb18030")


@fault(31, "oversize message", "refused and closed at the limit; memory bounded")
def test_oversize(tmp_path: Path) -> None:
    """A message over max_message is not stored, and the next connection is served."""
    with bench(tmp_path, mllp_in="max_message: 64KB") as it:
        assert it.send(message(1, text="x" * 200_000)) in ("AR", "none")
        assert it.send(message(2)) == "AA"
        it.receiver.wait_for(1)
        accepted = it.engine.all_messages("--state", "accepted")
        assert [item["control_id"] for item in accepted] == ["F2"]


@fault(32, "no end of frame, then silence", "closed at the frame limit; nothing stored")
def test_unterminated(tmp_path: Path) -> None:
    """A frame that never ends is not stored, and its connection is closed."""
    with bench(tmp_path, mllp_in="frame_timeout: 1s") as it:
        wire = Wire.connect(it.port)
        wire.socket.sendall(b"\x0b" + message(1))
        with pytest.raises(PeerClosed, match=r"closed|reset"):
            wire.receive()
        assert it.engine.all_messages() == []


@fault(33, "a hundred frames in one packet", "each answered, in order")
def test_pipelined(tmp_path: Path) -> None:
    """Frames sent at once are answered one by one in the order they came, and delivered so."""
    with bench(tmp_path) as it:
        wire = Wire.connect(it.port)
        wire.socket.sendall(b"".join(framed(message(n)) for n in range(1, 101)))
        answered = [field(wire.receive(), b"MSA", 2).decode() for _ in range(100)]
        wire.close()
        assert answered == [f"F{n}" for n in range(1, 101)]
        it.receiver.wait_for(100)
        assert it.receiver.control_ids() == answered


@fault(34, "byte by byte, cut inside the end and inside a Chinese character", "the same result")
def test_byte_by_byte(tmp_path: Path) -> None:
    """However the stream is cut, the same bytes arrive and leave."""
    with bench(tmp_path, inbound="charset: GB18030") as it:
        wire = Wire.connect(it.port)
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in framed(CHINESE):
            wire.socket.sendall(bytes([byte]))
        assert verdict(wire.receive()) == "AA"
        wire.close()
        assert it.receiver.wait_for(1) == [CHINESE]


@fault(35, "missing CR after FS; noise and NULs between frames; two VT", "accepted as it should be")
@pytest.mark.parametrize(
    ("before", "behind"),
    [(b"", b"\x1c"), (b"\x00\r\nnoise", b"\x1c\r"), (b"\x0b", b"\x1c\r"), (b"", b"\x1c\r\n\x00")],
    ids=["no-cr", "noise", "two-vt", "lf-and-nul"],
)
def test_untidy_framing(tmp_path: Path, before: bytes, behind: bytes) -> None:
    """Framing that is untidy but clear is understood, and the next message too."""
    with bench(tmp_path) as it:
        wire = Wire.connect(it.port)
        for number in (1, 2):
            wire.socket.sendall(before + b"\x0b" + message(number) + behind)
            assert verdict(wire.receive()) == "AA"
        wire.close()
        assert it.receiver.wait_for(2) == [message(1), message(2)]


@contextmanager
def room_for_files(count: int) -> Iterator[None]:
    """Let this process have *count* open files, which is more than many systems begin with."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[0] < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@fault(37, "1,000 idle connections", "the cap holds; a connected sender is unaffected")
def test_many_idle_connections(tmp_path: Path) -> None:
    """A crowd of idle connections does not keep a connected sender from being served."""
    with bench(tmp_path, mllp_in="max_connections: 100") as it, room_for_files(1500):
        good = Wire.connect(it.port)
        crowd: list[socket.socket] = []
        try:
            for _ in range(1000):
                crowd.append(socket.create_connection(("127.0.0.1", it.port), timeout=WAIT_S))
            good.send(message(1))
            assert verdict(good.receive()) == "AA"
            wait_until(lambda: it.engine.open_files() < 180, WAIT_S, "the crowd is let go")
        finally:
            for one in crowd:
                one.close()
            good.close()


@fault(39, "the sender leaves before it reads the AA", "stored once; its resend is a duplicate")
def test_sender_leaves_before_the_ack(tmp_path: Path) -> None:
    """A sender that hangs up and resends gets AA, and the message is delivered once."""
    with bench(tmp_path) as it:
        wire = Wire.connect(it.port)
        wire.send(message(1))
        wire.close()
        it.receiver.wait_for(1)
        assert it.send(message(1)) == "AA"
        it.engine.wait_drained()
        states = [item["state"] for item in it.engine.all_messages()]
        assert states == ["duplicate", "accepted"]
        assert it.receiver.control_ids() == ["F1"]


@fault(40, "same control id again: same bytes, other bytes", "same: AA, once; other: both, warned")
def test_same_control_id(tmp_path: Path) -> None:
    """The same bytes are not delivered twice; other bytes under the same id are another message."""
    with bench(tmp_path) as it:
        assert it.send(message(1)) == "AA"
        assert it.send(message(1)) == "AA"
        assert it.send(message(2, text="changed", control_id="F1")) == "AA"
        it.receiver.wait_for(2)
        it.engine.wait_drained()
        assert it.receiver.messages == [message(1), message(2, text="changed", control_id="F1")]


@fault(40, "the same message on many connections at once", "accepted once, AA for all")
def test_same_message_at_once(tmp_path: Path) -> None:
    """Copies that arrive in the same instant are accepted once and all answered AA."""
    with bench(tmp_path) as it:
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(it.send(message(1)))) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == ["AA"] * 20
        it.engine.wait_drained()
        assert it.receiver.control_ids() == ["F1"]
