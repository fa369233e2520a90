"""Whatever the message, a profile neither breaks nor lets the patient through."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.deid.catalogue import catalogue
from engine.deid.free_text import LONG_TEXT
from engine.hl7.message import Message
from tests.deid.canaries import HEADER, PROFILES, profile, run, segment

SEGMENTS = sorted({row.segment for row in catalogue().values()} - {"MSH"} | {"ZZ1", "QQQ"})
COMPILED = {name: profile(name) for name in PROFILES}
TEXT = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n\x0b\x1c|"), max_size=30
)
FIELDS = st.dictionaries(st.integers(1, 50), TEXT, max_size=8)
WHO = "PID|1||88001234^^^HOSP^MR||Zyxwould^Quentorious||19491231\r"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(PROFILES), st.lists(st.tuples(st.sampled_from(SEGMENTS), FIELDS), max_size=4)
)
def test_no_message_breaks_a_profile(name: str, parts: list[tuple[str, dict[int, str]]]) -> None:
    """Any text in any field goes through: no exception, and the result can be read."""
    lines = [segment(each, fields or {1: ""}) for each, fields in parts]
    raw = (HEADER.format("M1") + "\r" + "".join(f"{line}\r" for line in lines)).encode()
    message, _, _ = run(COMPILED[name], raw)
    assert Message.parse(message.encode()).header.message_type == "ADT^A01"


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(PROFILES),
    st.sampled_from(sorted(catalogue())),
    TEXT,
    st.sampled_from(["Zyxwould", "zyx\u00adwould", "ＺＹＸＷＯＵＬＤ", "88001234", "880-012-34"]),
)
def test_the_patient_is_gone_or_the_output_never_leaves(
    name: str, place: tuple[str, int], around: str, said: str
) -> None:
    """Whatever stands around it, an identifier is out of the output or the leak check sees it."""
    value = f"{around.replace(chr(92), '')} {said} {around.replace(chr(92), '')}"
    line = segment(place[0], {place[1]: value})
    if place[0] in ("MSH", "PID"):
        line = segment("NTE", {3: value})
    raw = f"{HEADER.format('M1')}\r{WHO}{line}\r".encode()
    message, _, leaks = run(COMPILED[name], raw)
    output = message.encode().decode()
    assert said not in output or any(leak.hard for leak in leaks)


def test_a_continued_field_hides_no_name() -> None:
    """A name cut in two by ADD is found in the joined text."""
    text = (
        HEADER.format("M1") + "\nPID|1||||Zyxwould^Quentorious\n"
        "OBX|1|TX|a||The patient Zyxw\nADD|ould is well\n"
    )
    _, _, leaks = run(COMPILED["limited_dataset"], text)
    assert {leak.inside for leak in leaks if leak.hard} == {"continuation"}


@pytest.mark.parametrize("size", [LONG_TEXT - 400, LONG_TEXT + 400])
def test_long_texts_are_searched_like_short_ones(size: int) -> None:
    """A number with separators is found in a long text too."""
    filler = "nothing to see here. " * (size // 21)
    text = HEADER.format("M1") + f"\n{WHO.strip()}\nNTE|1||{filler} 880-01 234 {filler}\n"
    message, _, leaks = run(COMPILED["limited_dataset"], text)
    assert message.get("NTE-3") == f"{filler} [ID] {filler}"
    assert leaks == []


def test_a_large_embedded_document_costs_little() -> None:
    """Five megabytes of PDF are taken out in well under a second."""
    pdf = base64.b64encode(bytes(range(256)) * 15_000).decode()
    text = HEADER.format("M1") + f"\n{WHO.strip()}\nOBX|1|ED|a||^AP^PDF^Base64^{pdf}\n"
    raw = text.replace("\n", "\r").encode()
    started = time.process_time()
    message, _, leaks = run(COMPILED["safe_harbor"], raw)
    assert time.process_time() - started < 0.5
    assert leaks == []
    assert len(message.encode()) < 500
