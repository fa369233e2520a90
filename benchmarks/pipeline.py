"""
What expressions, steps and whole routes cost, in microseconds of processor time.

    python benchmarks/pipeline.py [--seconds 0.2] [--profile ROUTE]

One core, a 1 KB ADT; the best of several rounds, so that a busy machine disturbs little.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from engine.config.load import load_site
from engine.hl7.message import Message
from engine.pipeline.compile import compile_site
from engine.pipeline.compiled import CompiledInbound
from engine.pipeline.context import Arrived, FixedKeys
from engine.pipeline.expressions import compile_condition, compile_with_jinja
from engine.pipeline.known import Known
from engine.pipeline.route import drive, no_python, run_inbound
from engine.pipeline.run import Run
from engine.pipeline.tables import Table
from engine.pipeline.templates import compile_template

ADT = (
    b"MSH|^~\\&|HIS|RIVERSIDE|MEDBUS|RIVERSIDE|20261102081500||ADT^A01^ADT_A01|C0001|P|2.5.1\r"
    b"EVN|A01|20261102081500|||CLERK7^Marlow^Ida\r"
    b"PID|1||88001^^^RIVERSIDE^MR~110101199003078515^^^CN^NI||harbour^nell^K||19710618|F|||14 Quay "
    b"Lane^^Port Alder^^20417^XX||5550100||EN|M\r"
    b"NK1|1|Harbour^Tobias|SPO|14 Quay Lane^^Port Alder^^20417^XX|5550101\r"
    b"PV1|1|I|W3^312^A^RIVERSIDE|U|||D1007^Okoro^Ben|||MED||||7|||D1007^Okoro^Ben|IN|V2026110012\r"
    b"AL1|1|DA|PCN^Penicillin^LOCAL|SV|Rash\r"
    b"DG1|1||I50.9^Heart failure, unspecified^I10||20261102|A\r"
    b"IN1|1|PLAN1|INS1|Harbour Mutual|1 Dock Road^^Port Alder^^20417^XX\r"
    b"GT1|1||Harbour^Nell^K||14 Quay Lane^^Port Alder^^20417^XX|5550100\r"
    b"NTE|1||Patient arrived by ambulance, walks with sticks, speaks softly and likes the window.\r"
    b"NTE|2||Belongings are with the ward clerk, the keys are with the neighbour in number six\r"
)
ARRIVED = Arrived("20261102-1", 1_793_500_200.0, "his", "bench", ZoneInfo("UTC"))
TABLES = {"sex": Table("sex", ("hl7", "lis"), [("M", "1"), ("F", "2")])}

EXPRESSIONS = (
    "PV1-2 == 'I'",
    "PV1-2 in ['I', 'E'] and PID-3[5='MR'].1",
    "PID-7 | hl7_date('%Y') | number < 1990",
    "PID-3.1 | matches('^\\d{5}$')",
)
TEMPLATES = (
    "{{ PID-5.1 | upper }}",
    "{{ PID-3[5='MR'].1 | pad(10, '0') }}",
    "{{ PID-5.1 }}^{{ PID-5.2 }}",
    "{% if PID-8 == 'F' %}F{% else %}M{% endif %}",
)
STEPS: dict[str, list[Any]] = {
    "set of a literal": [{"set": {"MSH-5": "LIS"}}],
    "set of a value": [{"set": {"PID-5.1": "{{ PID-5.1 | upper }}"}}],
    "set with when": [{"set": {"PID-9": "x"}, "when": "PV1-2 == 'O'"}],
    "copy": [{"copy": {"from": "PV1-19", "to": "PID-18"}}],
    "clear": [{"clear": ["PID-19"]}],
    "lookup": [{"lookup": {"path": "PID-8", "table": "sex"}}],
    "drop_segments": [{"drop_segments": ["NK1"]}],
    "keep_segments": [{"keep_segments": ["MSH", "EVN", "PID", "PV1"]}],
    "each over 2 repetitions": [{"each": "PID-3", "steps": [{"set": {"PID-3.4": "X"}}]}],
    "choose": [{"choose": [{"when": "PID-8 == 'M'", "steps": []}, {"else": []}]}],
    "let": [{"let": {"name": "{{ PID-5.1 }}"}}],
    "validate": [{"validate": {"on_error": "warn"}}],
    "deidentify": [{"deidentify": "safe_harbor"}],
}
ROUTES: dict[str, dict[str, Any]] = {
    "pass-through": {},
    "3 fields": {
        "types": ["ADT^A01"],
        "when": "PV1-2 in ['I', 'E']",
        "steps": [{"set": {"MSH-5": "LIS", "PID-5.1": "{{ PID-5.1 | upper }}",
                           "PID-8": "{{ PID-8 | default('U') }}"}}],
    },
}  # fmt: skip


def cost_us(run_it: Callable[[], Any], seconds: float) -> float:
    """Return the processor time of one call, the best of five rounds."""
    count = 1
    while True:
        start = time.process_time()
        for _ in range(count):
            run_it()
        took = time.process_time() - start
        if took > seconds / 10:
            break
        count *= 4
    best = took / count
    for _ in range(4):
        start = time.process_time()
        for _ in range(count):
            run_it()
        best = min(best, (time.process_time() - start) / count)
    return best * 1e6


def compiled(route: dict[str, Any], *, keyed: bool = False) -> CompiledInbound:
    """Return an inbound channel with one route."""
    lis: dict[str, Any] = {"mllp": {"connect": "127.0.0.1:2"}}
    if keyed:
        lis |= {"order_by": ["PID-3[5='MR'].1"], "lanes": 8}
    channels = {
        "inbound": {"his": {"mllp": {"listen": "127.0.0.1:1"}}},
        "outbound": {"lis": lis},
        "routes": {"r": {"from": "his", "to": "lis", **route}},
    }
    files = {
        "medbus.yaml": b"site: bench\n",
        "channels/a.yaml": yaml.safe_dump(channels).encode(),
        "transforms/tables/sex.csv": b"hl7,lis\nM,1\nF,2\n",
    }
    loaded = load_site(files, environ={}, env_name=None)
    assert loaded.site is not None, [str(finding) for finding in loaded.findings]
    site, findings = compile_site(loaded.site, keys=FixedKeys())
    assert not findings, [str(finding) for finding in findings]
    return site.inbound["his"]


def through(inbound: CompiledInbound, *, terms: bool = False) -> Callable[[], Any]:
    """Return a call that takes fresh bytes through the channel."""

    def run_it() -> Any:
        routed = drive(run_inbound(inbound, Message.parse(ADT), ARRIVED), no_python)
        return routed.terms if terms else routed

    return run_it


def show(name: str, microseconds: float) -> None:
    """Print one line."""
    print(f"  {name:<44}{microseconds:8.2f}")


def main() -> None:
    """Measure and print, or profile one route."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--profile", default="")
    options = parser.parse_args()
    if options.profile:
        run_it = through(compiled(ROUTES[options.profile], keyed=True), terms=True)
        profile = cProfile.Profile()
        profile.runcall(lambda: [run_it() for _ in range(3000)])
        pstats.Stats(profile).sort_stats("tottime").print_stats(30)
        return
    known = Known(tables=TABLES)
    run = Run(Message.parse(ADT), ARRIVED, dict(TABLES))
    print(
        f"microseconds per call; a message of {len(ADT)} bytes\nexpressions: closures, then Jinja"
    )
    for text in EXPRESSIONS:
        expression, objections = compile_condition(text, known)
        assert expression is not None, objections
        by_closures, by_jinja = expression.value, compile_with_jinja(text, known)
        show(text, cost_us(lambda: by_closures(run), options.seconds))  # noqa: B023
        show("    the same by Jinja", cost_us(lambda: by_jinja(run), options.seconds))  # noqa: B023
    print("templates")
    for text in TEMPLATES:
        template, objections = compile_template(text, known)
        assert template is not None, objections
        render = template.render_hl7
        show(text, cost_us(lambda: render(run), options.seconds))  # noqa: B023
    print("parsing alone")
    parse = cost_us(lambda: Message.parse(ADT), options.seconds)
    show("Message.parse", parse)
    print("steps, beyond a pass-through")
    nothing = cost_us(through(compiled(ROUTES["pass-through"])), options.seconds)
    for name, steps in STEPS.items():
        cost = cost_us(through(compiled({"steps": steps})), options.seconds)
        show(name, cost - nothing)
    print("routes, beyond parsing")
    for name, route in ROUTES.items():
        show(name, cost_us(through(compiled(route)), options.seconds) - parse)
        keyed = through(compiled(route, keyed=True), terms=True)
        show(f"{name}, order key and terms", cost_us(keyed, options.seconds) - parse)


if __name__ == "__main__":
    main()
