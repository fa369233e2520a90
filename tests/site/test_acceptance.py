"""What a new user tries first: foreign clients, a day of somebody else's traffic, a worked site."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import hl7
import hl7.client
import pytest

from tests.faults.bench import Bench, bench
from tests.support.missing import not_run
from tests.torture.engine import MEDBUS
from tests.torture.wire import Wire, field

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("MEDBUS_CORPUS", ROOT.parent / "shared" / "corpus"))
CONTRACT = Path(os.environ.get("MEDBUS_CONTRACT", ROOT.parent / "shared" / "contract"))


def needs(path: Path) -> Path:
    """Return *path*, or say loudly that this test cannot run without it."""
    if not path.exists():
        not_run(f"{path} is not here; set MEDBUS_CORPUS or MEDBUS_CONTRACT")
    return path


def test_python_hl7_talks_to_us(tmp_path: Path) -> None:
    """python-hl7's own MLLP client sends to us and understands our acks."""
    with bench(tmp_path) as it, hl7.client.MLLPClient("127.0.0.1", it.port) as client:
        text = (
            "MSH|^~\\&|A|B|C|D|20261101083000||ADT^A08|PY1|P|2.5.1\r"
            "PID|1||P1^^^T^MR||Harbour^Nell\r"
        )
        ack = hl7.parse(client.send_message(text).strip(b"\x0b\x1c\r").decode())
        assert str(ack.segment("MSA")) == "MSA|AA|PY1"
        assert it.receiver.wait_for(1) == [text.encode()]


def bulk_messages() -> list[bytes]:
    """Return the messages of the bulk file, exactly as they stand in it."""
    raw = needs(CORPUS / "bulk" / "simhospital_1013_messages.out").read_bytes()
    framed = re.findall(rb"\x0b(.*?)\x1c\r?", raw, re.DOTALL)
    if framed:
        return framed
    starts = [match.start() for match in re.finditer(rb"(?:^|(?<=[\r\n]))MSH\|", raw)]
    return [raw[a:b].rstrip(b"\n") for a, b in zip(starts, [*starts[1:], len(raw)], strict=True)]


def test_a_thousand_messages_pass_through_unchanged(tmp_path: Path) -> None:
    """A day of somebody else's traffic goes through completely, in order and byte-identical."""
    sent = bulk_messages()
    assert len(sent) > 1000
    it = Bench(tmp_path, inbound="duplicates: off")
    try:
        it.start()
        wire = Wire.connect(it.port)
        for body in sent:
            wire.send(body)
            ack = wire.receive()
            assert field(ack, b"MSA", 1) in (b"AA", b"CA"), ack
        wire.close()
        received = it.receiver.wait_for(len(sent))
        assert received == sent
    finally:
        it.close()


@pytest.mark.parametrize("verb", ["check", "test"])
def test_the_worked_site(tmp_path: Path, verb: str) -> None:
    """The worked site passes `check` and `test` as it stands."""
    shutil.copytree(needs(CONTRACT), tmp_path / "site")
    subprocess.run(["chmod", "-R", "u+w", str(tmp_path / "site")], check=True)
    told = subprocess.run(
        [MEDBUS, "--site", str(tmp_path / "site"), verb],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
