"""Whatever steps are put together, a message comes out, is filtered, or parks with a reason."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.hl7.message import Message
from engine.pipeline.route import drive, run_inbound
from engine.pipeline.trace import Recorder
from tests.support.pipelines import ADT, ARRIVED, ORU, compiled, in_process

MESSAGES = [
    ADT,
    ORU,
    "MSH|^~\\&|A|B|C|D|2026||ADT^A01|1|P|2.5",
    "MSH#*!?%#HIS#H#E#H#20261101##ADT*A01#C1#P#2.5\rPID#1##1*a!2*b##d%e*john\rOBX#1#NM#A##5\r",
    'MSH|^~&|A|B|C|D|2026||ORU^R01||P|\rPID|||""~1\rOBX|1|NM|x||5~6\nline two|\rNTE\rOBX\r',
    "MSH|^~\\&|||||||||||2.5\rstray line\r\rOBR||||a&b^c\\T\\d\rOBX|1||||<5\rPID|1\r",
]
PATHS = [
    "PID-5", "PID-5.1", "PID-3", "PID-3[2].4", "PID-3[5='MR'].1", "PID-3[-1]", "OBX-5", "OBX-1",
    "OBX[2]-5.1", "OBX[3.1='x']-5", "NTE-3", "OBR-4.1.2", "ZZZ-1", "MSH-10", "MSH-5", "PID-19",
]  # fmt: skip
path = st.sampled_from(PATHS)
many = st.sampled_from([*PATHS, "OBX[*]-5", "PID-3[*].1", "NTE[*]-3"])
value = st.one_of(
    st.sampled_from(["", "x", "A^B&C~D", "a|b", '""', "葉", "x\ny"]),
    path.map(lambda p: f"{{{{ {p} }}}}"),
    path.map(lambda p: f"<{{{{ {p} | upper | left(3) }}}}>"),
    path.map(lambda p: f"{{{{ {p} | raw }}}}"),
    path.map(lambda p: f"{{{{ {p} | number(else=0) | times(2) }}}}"),
    path.map(lambda p: f"{{{{ {p} | hl7_date('%Y') }}}}"),
    many.map(lambda p: f"{{{{ {p} | length }}}}"),
)
segment = st.sampled_from(["OBX", "NTE", "PID", "OBR", "ZZZ"])
condition = st.one_of(
    path,
    path.map(lambda p: f"not {p}"),
    path.map(lambda p: f"{p} in ['x', 'M', '1']"),
    path.map(lambda p: f"{p} | number > 3"),
    path.map(lambda p: f"{p} is null or {p} | matches('^[a-z]+$')"),
)
leaf = st.one_of(
    st.dictionaries(path, value, min_size=1, max_size=3).map(lambda v: {"set": v}),
    st.tuples(path, path).map(lambda p: {"copy": {"from": p[0], "to": p[1]}}),
    st.tuples(path, st.sampled_from([*PATHS, "PID-3[+]"])).map(
        lambda p: {"move": {"from": p[0], "to": p[1]}}
    ),
    st.lists(many, min_size=1, max_size=2).map(lambda p: {"clear": p}),
    st.lists(path, min_size=1, max_size=2).map(lambda p: {"nullify": p}),
    many.map(lambda p: {"lookup": {"path": p, "table": "sex", "miss": "keep"}}),
    path.map(lambda p: {"lookup": {"path": p, "table": "sex"}}),
    st.lists(segment, min_size=1).map(lambda s: {"keep_segments": s}),
    st.lists(segment, min_size=1).map(lambda s: {"drop_segments": s}),
    st.tuples(segment, condition).map(
        lambda s: {"drop_segments": {"segment": s[0], "where": s[1]}}
    ),
    st.tuples(segment, segment, value).map(
        lambda s: {"add_segment": {"segment": s[0], "after": s[1], "fields": {"3": s[2]}}}
    ),
    st.tuples(segment, path).map(lambda s: {"sort": {"segment": s[0], "by": s[1]}}),
    path.map(lambda p: {"renumber": [p]}),
    st.tuples(many, path).map(lambda p: {"join": {"from": p[0], "into": p[1]}}),
    value.map(lambda v: {"let": {"name": v}}),
    st.just({"filter": "enough"}),
)
guarded = st.one_of(leaf, st.tuples(leaf, condition).map(lambda s: {**s[0], "when": s[1]}))


def blocks(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return steps that hold steps."""
    lists = st.lists(inner, min_size=1, max_size=3)
    target = st.sampled_from(
        ["OBX", "PID-3", "NTE", "OBX[*]-5", {"group": "OBR", "lead": ["ORC"]}, {"group": "OBX"}]
    )
    return st.one_of(
        st.tuples(target, lists).map(lambda s: {"each": s[0], "steps": s[1]}),
        st.tuples(target, condition, lists).map(
            lambda s: {"each": s[0], "where": s[1], "steps": s[2]}
        ),
        st.tuples(condition, lists, lists).map(
            lambda s: {"choose": [{"when": s[0], "steps": s[1]}, {"else": s[2]}]}
        ),
    )


steps = st.lists(
    st.one_of(
        st.recursive(guarded, blocks, max_leaves=5),
        st.just({"split": {"group": "OBX", "header": ["PID", "OBR"]}}),
        st.lists(guarded, max_size=2).map(
            lambda s: {"emit": [{"name": "a", "steps": s}, {"name": "b", "steps": []}]}
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.sampled_from(MESSAGES))
def test_any_steps_on_any_message_end_well_and_alike(written: list[Any], text: str) -> None:
    """No step raises; the same run gives the same bytes, watched or not; outputs can be read."""
    site, findings = compiled(written)
    assert not findings, [str(finding) for finding in findings]
    raw = text.encode()

    def run(recorder: Recorder | None) -> Any:
        inbound = site.inbound["his"]
        return drive(
            run_inbound(inbound, Message.parse(raw), ARRIVED, recorder=recorder), in_process
        )

    result = run(None)
    assert run(Recorder()).deliveries == result.deliveries
    for route in result.routes:
        assert route.park is None or not route.park.reason.startswith("an unexpected"), route.park
    for delivery in result.deliveries:
        assert (delivery.body is None) == (delivery.park is not None)
        if delivery.body is not None:
            assert Message.parse(delivery.body).header.message_code in ("ADT", "ORU", "")
