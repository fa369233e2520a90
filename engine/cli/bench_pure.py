"""What the pure parts cost: de-identification with its leak check, and a large result."""

from __future__ import annotations

import base64
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC

from engine.config.load import load_site
from engine.deid.leak_check import find_leaks
from engine.deid.profiles import compile_profile
from engine.hl7.message import Message
from engine.pipeline.compile import compile_site
from engine.pipeline.context import Arrived, FixedKeys
from engine.pipeline.route import run_inbound

_SITE = {
    "medbus.yaml": b"site: bench\n",
    "channels/bench.yaml": b"""
inbound: {bench: {mllp: {listen: "127.0.0.1:2"}}}
outbound: {peer: {mllp: {connect: "127.0.0.1:3"}}}
routes:
  to_peer:
    from: bench
    steps:
      - set: {MSH-5: PEER}
    to: peer
""",
}

ADT = (
    b"MSH|^~\\&|HIS|RIVERSIDE|MEDBUS|RIVERSIDE|20261102081500||ADT^A01^ADT_A01|B1|P|2.5.1\r"
    b"EVN|A01|20261102081500|||CLERK7^Marlow^Ida\r"
    b"PID|1||400123^^^RIVERSIDE^MR~110101199003078515^^^CN^NI||Harbour^Nell^K||19710618|F|||"
    b"14 Quay Lane^^Port Alder^^20417^XX||5550100||EN|M|||||||||||||N\r"
    b"NK1|1|Harbour^Tobias|SPO|14 Quay Lane^^Port Alder^^20417^XX|5550101\r"
    b"PV1|1|I|W3^312^A^RIVERSIDE|U|||D1007^Okoro^Ben|||MED||||7|||D1007^Okoro^Ben|IN|V2026110012\r"
    b"AL1|1|DA|PCN^Penicillin^LOCAL|SV|Rash\r"
    b"DG1|1||I50.9^Heart failure, unspecified^I10||20261102|A\r"
    b"NTE|1||Nell Harbour seen on the ward round, stable, diet as before, phone 5550100.\r"
)


def _best(run: Callable[[], object], rounds: int) -> float:
    """Return the median time of *run*, in seconds."""
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        run()
        took.append(time.perf_counter() - began)
    return sorted(took)[len(took) // 2]


def _deidentify_us() -> float:
    profile, _ = compile_profile("safe_harbor", {}, key=FixedKeys().named_key)
    assert profile is not None

    def once() -> None:
        message = Message.parse(ADT)
        made = profile.apply(message, received_at=1_793_000_000.0, timezone=UTC)
        body = message.encode()
        find_leaks(made.identifiers, body, message)

    return 1e6 * _best(once, 300)


def big_result(size: int = 5_000_000) -> bytes:
    """Return an ORU of about *size* bytes that carries a PDF."""
    pdf = base64.b64encode(b"%PDF-1.4 sample " * (size * 3 // 4 // 16))
    return (
        b"MSH|^~\\&|LIS|RIVERLAB|MEDBUS|RIVERSIDE|20261102171000||ORU^R01^ORU_R01|B2|P|2.5.1\r"
        b"PID|1||400123^^^RIVERSIDE^MR||Harbour^Nell^K\rOBR|1|O1|F1|11502-2^Report^LN\r"
        b"OBX|1|ED|11502-2^Report^LN||LIS^application^pdf^Base64^" + pdf + b"||||||F\r"
    )


def _big_result() -> tuple[float, float]:
    """Return the time in ms, and the peak memory as a multiple of the size."""
    loaded = load_site(_SITE, environ={}, env_name=None)
    assert loaded.site is not None
    compiled, _ = compile_site(loaded.site, keys=FixedKeys())
    inbound = compiled.inbound["bench"]
    arrived = Arrived("20261102-1", 1_793_000_000.0, "bench", "bench", UTC)
    raw = big_result()

    def once() -> object:
        try:
            next(run_inbound(inbound, Message.parse(raw), arrived))
        except StopIteration as end:
            return end.value
        raise AssertionError("the route has no Python step")

    once()
    took = _best(once, 5)
    tracemalloc.start()
    kept = once()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert kept is not None
    return 1000 * took, (peak + len(raw)) / len(raw)


def measure_pure() -> dict[str, float]:
    """Return the figures."""
    took_ms, memory_times = _big_result()
    return {
        "deid_us": _deidentify_us(),
        "big_oru_ms": took_ms,
        "big_oru_memory_times": memory_times,
    }
