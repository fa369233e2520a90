"""Compiled sites and runs, for tests of the language and its steps."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from zoneinfo import ZoneInfo

from engine.config.load import load_site
from engine.hl7.message import Message
from engine.model.finding import Finding
from engine.pipeline.compile import compile_site
from engine.pipeline.compiled import CompiledSite
from engine.pipeline.context import Arrived, FixedKeys
from engine.pipeline.known import Known
from engine.pipeline.python_message import run_python_step
from engine.pipeline.route import Routed, drive, run_inbound
from engine.pipeline.run import Run
from engine.pipeline.steps.base import PythonAnswer, PythonCall
from engine.pipeline.tables import Table
from engine.pipeline.trace import Recorder

ARRIVED = Arrived("20261101-7", 1_793_500_200.0, "his", "test", ZoneInfo("Asia/Shanghai"))

ADT = (
    "MSH|^~\\&|HIS|HOSP|ENGINE|HOSP|20261101083000||ADT^A01^ADT_A01|C0001|P|2.5.1\r"
    "EVN|A01|20261101083000\r"
    "PID|1||88001^^^HOSP^MR~110101199003078515^^^CN^NI||doe^john^m||19900307081500|M\r"
    "PV1|1|I|W1^101^A|||||||MED|||||||||V8002\r"
    "AL1|1|DA|PCN^Penicillin\r"
    "ZPI|1|VIP\r"
)
ORU = (
    "MSH|^~\\&|LAB|LAB|ENGINE|LAB|20261101090500||ORU^R01|R0003|P|2.5.1\r"
    "PID|1||88001^^^HOSP^MR||doe^john\r"
    "NTE|1||about the patient\r"
    "ORC|RE|O1\r"
    "OBR|1|O1|F1|718-7^Hemoglobin^LN\r"
    "OBX|1|NM|718-7^Hemoglobin^LN||13.2|g/dL\r"
    "NTE|1||first note\r"
    "NTE|2||second note\r"
    "OBX|2|TX|NOTE||fine\r"
    "ORC|RE|O2\r"
    "OBR|2|O2|F2|2823-3^Potassium^LN\r"
    "OBX|1|NM|2823-3^Potassium^LN||>10|mmol/L\r"
    "ZDS|1.2.3\r"
)
TABLES = {
    "sex": "hl7,lis,text\nM,1,Male\nF,2,Female\n",
    "loinc": "loinc,local,name\n718-7,HGB,Hemoglobin\n2823-3,K,Potassium\n",
    "dated": "code,unit,valid_from,valid_to\nA,old,,2026-06-30\nA,new,2026-07-01,\n",
}


def message(text: str = ADT, **how: Any) -> Message:
    """Return a message from text."""
    return Message.parse(text.encode(how.get("charset") or "utf-8"), **how)


def known(**more: Any) -> Known:
    """Return what expressions of these tests may refer to."""
    tables = {
        name: Table(name, rows[0], [tuple(row) for row in rows[1:]])
        for name, rows in (
            (name, [line.split(",") for line in text.splitlines()]) for name, text in TABLES.items()
        )
    }
    return Known(tables=tables, site_vars={"LAB": "L1"}, **more)


def run_on(text: str = ADT, **how: Any) -> Run:
    """Return a run standing on a message."""
    return Run(message(text, **how), ARRIVED, dict(known().tables))


def compiled(
    steps: Sequence[Any] = (),
    *,
    files: Mapping[str, str] | None = None,
    inbound: Mapping[str, Any] | None = None,
    outbound: Mapping[str, Any] | None = None,
    outbounds: Mapping[str, Any] | None = None,
    route: Mapping[str, Any] | None = None,
) -> tuple[CompiledSite, list[Finding]]:
    """Return a site with one inbound channel, one route with *steps* and one outbound channel."""
    to = {"lis": {"mllp": {"connect": "127.0.0.1:2"}, **(outbound or {})}, **(outbounds or {})}
    channels = {
        "inbound": {"his": {"mllp": {"listen": "127.0.0.1:1"}, **(inbound or {})}},
        "outbound": to,
        "routes": {"r": {"from": "his", "to": list(to), "steps": list(steps), **(route or {})}},
    }
    written = {
        "medbus.yaml": "site: test\ntimezone: Asia/Shanghai\nvars: {LAB: L1}\n",
        "channels/all.yaml": json.dumps(channels, ensure_ascii=False),
        **{f"transforms/tables/{name}.csv": text for name, text in TABLES.items()},
        **(files or {}),
    }
    loaded = load_site(
        {path: text.encode() for path, text in written.items()}, environ={}, env_name=None
    )
    assert loaded.site is not None, [str(finding) for finding in loaded.findings]
    return compile_site(loaded.site, keys=FixedKeys())


def in_process(call: PythonCall) -> PythonAnswer:
    """Answer a Python call as a worker would, errors by their type."""
    try:
        body, log = run_python_step(
            call.module, call.function, call.body, call.context, call.sources
        )
    except Exception as error:  # noqa: BLE001 - a step may raise anything
        return PythonAnswer(None, type(error).__name__)
    return PythonAnswer(body, "", tuple(log))


def routed(
    steps: Sequence[Any] = (),
    text: str | bytes = ADT,
    *,
    recorder: Recorder | None = None,
    charset: str | None = None,
    arrived: Arrived = ARRIVED,
    **site: Any,
) -> Routed:
    """Return what a site with these steps makes of a message; its findings must be none."""
    compiled_site, findings = compiled(steps, **site)
    assert not findings, [str(finding) for finding in findings]
    raw = text.encode() if isinstance(text, str) else text
    received = Message.parse(raw, charset=charset)
    return drive(
        run_inbound(compiled_site.inbound["his"], received, arrived, recorder=recorder), in_process
    )


def output(steps: Sequence[Any], text: str | bytes = ADT, **site: Any) -> Message:
    """Return the one output these steps make of a message."""
    result = routed(steps, text, **site)
    assert [delivery.park for delivery in result.deliveries] == [None], result
    body = result.deliveries[0].body
    assert body is not None
    return Message.parse(body, charset=site.get("charset"))


def segments_of(message: Message, name: str) -> list[str]:
    """Return the text of the segments called *name*."""
    return [segment.text for segment in message.segments(name)]


def findings_of(steps: Sequence[Any], **site: Any) -> list[Finding]:
    """Return what is wrong with these steps."""
    return compiled(steps, **site)[1]
