"""A route that de-identifies: what leaks is parked, wherever in the route it came in."""

from __future__ import annotations

import pytest

from engine.config.load import load_site
from engine.hl7.message import Message
from engine.model.states import ParkCode
from engine.pipeline.compile import compile_site
from engine.pipeline.context import Arrived, FixedKeys
from engine.pipeline.route import drive, no_python, run_inbound
from tests.deid.canaries import HEADER, RECEIVED_AT, TIMEZONE

PROFILE = "extends: limited_dataset\nsegments: {unknown: %s}\n"
SITE = """
inbound:
  his: {{mllp: {{listen: "127.0.0.1:2575"}}}}
outbound:
  study: {{mllp: {{connect: "127.0.0.1:6661"}}, steps: [{outbound}]}}
routes:
  to_study:
    from: his
    steps: [{before} {{deidentify: own}} {after}]
    to: study
"""
TEXT = (
    HEADER.format("M1") + "\rPID|1||88001234^^^HOSP^MR||Zyxwould^Quentorious||19491231\r"
    "NTE|1||Mr Zyxwould\rZPI|1|Quentorious\r"
)


def _delivery(unknown: str, *, before: str = "", after: str = "", outbound: str = ""):  # type: ignore[no-untyped-def]
    files = {
        "medbus.yaml": b"site: study\n",
        "channels/a.yaml": SITE.format(before=before, after=after, outbound=outbound).encode(),
        "transforms/deid/own.yaml": (PROFILE % unknown).encode(),
    }
    loaded = load_site(files, environ={}, env_name=None)
    assert loaded.site is not None, loaded.findings
    compiled, findings = compile_site(loaded.site, keys=FixedKeys())
    assert findings == []
    arrived = Arrived("20261121-1", RECEIVED_AT, "his", "study", TIMEZONE)
    message = Message.parse(TEXT.encode())
    routed = drive(run_inbound(compiled.inbound["his"], message, arrived), no_python)
    [delivery] = routed.deliveries
    return delivery


def test_a_clean_output_is_queued() -> None:
    """What the profile cleaned leaves; nothing of the patient is in it."""
    delivery = _delivery("drop")
    assert delivery.park is None
    assert b"yxwould" not in delivery.body
    assert b"[NAME]" in delivery.body


@pytest.mark.parametrize(
    ("unknown", "steps", "path"),
    [
        ("keep", {}, "ZPI-2"),
        (
            "drop",
            {
                "before": "{let: {name: '{{ PID-5.2 }}'}},",
                "after": ", {set: {PID-6: '{{ name }}'}}",
            },
            "PID-6",
        ),
        ("drop", {"outbound": "{set: {NTE-3: 'MRN 88001234'}}"}, "NTE-3"),
    ],
)
def test_a_leak_is_parked_with_its_place(unknown: str, steps: dict[str, str], path: str) -> None:
    """A Z-segment let through, a later step, an outbound step: each leak is parked by its path."""
    delivery = _delivery(unknown, **steps)
    assert delivery.park is not None
    assert delivery.park.code is ParkCode.LEAK
    assert path in delivery.park.reason
    assert "across fields" not in delivery.park.reason
    assert "88001234" not in delivery.park.reason
    assert "Quentorious" not in delivery.park.reason


def test_what_an_earlier_step_took_out_of_its_place_is_still_looked_for() -> None:
    """A name cleared before de-identification is taken out of the note all the same."""
    delivery = _delivery("drop", before="{clear: [PID-5]}, {set: {PID-3: '1'}},")
    assert delivery.park is None
    assert b"yxwould" not in delivery.body
    delivery = _delivery(
        "drop", before="{clear: [PID-5]},", outbound="{set: {NTE-3: 'Quentorious came'}}"
    )
    assert delivery.park is not None
    assert delivery.park.code is ParkCode.LEAK
