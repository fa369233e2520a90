"""Real messages of the field through sites in which every step stands but none matches."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.pipeline.route import drive, run_inbound
from tests.support.missing import not_run
from tests.support.pipelines import ARRIVED, compiled, in_process

CORPUS = Path(os.environ.get("MEDBUS_CORPUS", Path(__file__).parents[3] / "shared" / "corpus"))

NEVER = "ZQX-1 == 'never'"
FILES = {
    "transforms/python/p.py": "def f(message, context):\n    return message\n",
    "transforms/templates/t.j2": "MSH|^~\\&|\n",
    "transforms/other.yaml": "steps:\n- clear: [PID-5]\n",
}
#: one of each kind, none of which has anything to do
STEPS: list[dict[str, Any]] = [
    {"set": {"PID-5.1": "x"}},
    {"copy": {"from": "PID-5", "to": "PID-9"}},
    {"move": {"from": "PID-5", "to": "PID-9"}},
    {"clear": ["PID-5"]},
    {"nullify": ["PID-5"]},
    {"lookup": {"path": "PID-8", "table": "sex"}},
    {"lookup": {"table": "loinc", "keys": {"loinc": "OBX-3.1"}, "set": {"OBX-3.4": "local"}}},
    {"keep_segments": ["PID"]},
    {"drop_segments": ["PID"]},
    {"drop_segments": {"segment": "OBX", "where": NEVER}},
    {"add_segment": {"segment": "NTE", "after": "PID"}},
    {"sort": {"segment": "OBX", "by": "OBX-3"}},
    {"renumber": ["OBX-1"]},
    {"join": {"from": "NTE[*]-3", "into": "OBX-5"}},
    {"each": "OBX", "steps": [{"clear": ["OBX-5"]}]},
    {"each": {"group": "OBR", "lead": ["ORC"]}, "steps": [{"clear": ["OBR-4"]}]},
    {"choose": [{"when": NEVER, "steps": [{"clear": ["PID-5"]}]}]},
    {"let": {"name": "{{ PID-5 }}"}},
    {"split": {"group": "OBR"}},
    {"emit": [{"name": "a", "steps": []}]},
    {"template": {"file": "t.j2"}},
    {"python": "p:f"},
    {"validate": {}},
    {"deidentify": "safe_harbor"},
    {"charset": "UTF-8"},
    {"apply": "other"},
    {"filter": "never"},
]
#: kinds that run and still find nothing to do
IDLE: list[dict[str, Any]] = [
    {"each": "ZQX", "steps": [{"clear": ["ZQX-1"]}]},
    {"each": {"group": "ZQX"}, "steps": [{"clear": ["PID-5"]}]},
    {"each": "OBX", "where": NEVER, "steps": [{"clear": ["OBX-5"]}]},
    {"choose": [{"when": NEVER, "steps": [{"clear": ["PID-5"]}]}]},
    {"let": {"name": "{{ PID-5 | upper }}{{ OBX[*]-5 | join('') }}"}},
    {"clear": ["ZQX-1", "PID-99"]},
    {"set": {"ZQX-1": "{{ ZQX-2 }}", "PID-99": ""}},
    {"move": {"from": "ZQX-1", "to": "PID-3[+]"}},
    {"copy": {"from": "ZQX-1", "to": "ZQX-2"}},
    {"drop_segments": ["ZQX"]},
    {"drop_segments": {"segment": "OBX", "where": NEVER}},
    {"join": {"from": "ZQX[*]-3", "into": "OBX-5"}},
    {"sort": {"segment": "ZQX", "by": "ZQX-1"}},
    {"renumber": ["ZQX-1"]},
    {"lookup": {"path": "ZQX-1", "table": "sex"}},
    {"split": {"group": "ZQX"}},
    {"emit": [{"name": "only", "steps": []}]},
    {"validate": {"on_error": "warn"}},
    {"python": "p:f"},
    {"apply": "none"},
    {"filter": "never", "when": NEVER},
]


def corpus() -> Iterator[tuple[str, bytes]]:
    """Yield the name and bytes of every message of the corpus that can be read at all."""
    for path in sorted(CORPUS.glob("*.hl7")):
        raw = path.read_bytes()
        try:
            Message.parse(raw)
        except Hl7Error:
            continue
        yield path.name, raw


@pytest.fixture(name="needs_corpus")
def _needs_corpus() -> None:
    if not CORPUS.is_dir():
        not_run(f"there is no corpus at {CORPUS}; set MEDBUS_CORPUS")


def through(steps: list[dict[str, Any]], files: dict[str, str]) -> Iterator[tuple[str, bytes, Any]]:
    """Yield name, bytes and result of every corpus message through these steps."""
    site, findings = compiled(steps, files=files)
    assert not findings, [str(finding) for finding in findings]
    for name, raw in corpus():
        run = run_inbound(site.inbound["his"], Message.parse(raw), ARRIVED)
        yield name, raw, drive(run, in_process)


@pytest.mark.usefixtures("needs_corpus")
def test_steps_that_do_not_match_leave_every_real_message_as_it_came() -> None:
    """With one of every kind of step present, not a byte of a message that none wants changes."""
    guarded = [{**step, "when": NEVER} for step in STEPS]
    count = 0
    for name, raw, result in through(guarded, FILES):
        assert [delivery.body for delivery in result.deliveries] == [raw], name
        count += 1
    assert count > 100


@pytest.mark.usefixtures("needs_corpus")
def test_steps_that_find_nothing_to_do_leave_every_real_message_as_it_came() -> None:
    """Steps that run on messages without what they are about change nothing either."""
    files = {**FILES, "transforms/none.yaml": "steps:\n- clear: [ZQX-1]\n"}
    for name, raw, result in through(IDLE, files):
        parks = [delivery.park for delivery in result.deliveries]
        assert parks == [None], (name, parks)
        assert [delivery.body for delivery in result.deliveries] == [raw], name


@pytest.mark.usefixtures("needs_corpus")
def test_no_step_raises_on_any_real_message() -> None:
    """Whatever a message looks like, a step does its work or parks with a reason."""
    for step in STEPS:
        for name, _, result in through([step], FILES):
            for route in result.routes:
                park = route.park
                assert park is None or not park.reason.startswith("an unexpected"), (
                    name,
                    step,
                    park,
                )
            for delivery in result.deliveries:
                if delivery.body is not None:
                    Message.parse(delivery.body)
