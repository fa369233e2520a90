"""Quick acks are the same acks."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from engine.hl7.ack import build_ack
from engine.hl7.errors import Hl7Error
from engine.hl7.header import parse_header
from engine.intake.positive_acks import PositiveAcks

ZONE = ZoneInfo("Asia/Shanghai")
AT = 1_793_500_200.5
texts = st.text(st.sampled_from("AB1 ^~\\&|@\u6771\u00e9-"), max_size=5)
encodings = st.sampled_from(["^~\\&", "^~\\&#", "%~\\&", "^~&", "^"])


@given(
    st.lists(st.tuples(st.lists(texts, min_size=8, max_size=18), encodings), max_size=12),
    st.sampled_from(["AA", "CA"]),
    st.sampled_from(["utf-8", "gb18030"]),
)
def test_they_are_what_build_ack_gives(
    headers: list[tuple[list[str], str]], code: str, codec: str
) -> None:
    """Whatever headers come in which order, the ack is byte for byte the plainly built one."""
    quick = PositiveAcks(ZONE)
    for number, (fields, encoding) in enumerate(headers * 2):
        raw = "|".join(["MSH", encoding, *fields]).encode(codec) + b"\r"
        try:
            header = parse_header(raw)
        except Hl7Error:
            continue
        at = AT + number * 0.4
        plain = build_ack(header, code=code, control_id=f"2026-{number}", at=at, timezone=ZONE)
        assert quick.build(header, code, f"2026-{number}", at) == plain


def test_a_sender_that_never_repeats_itself_is_bounded() -> None:
    """Headers that are always new do not pile up."""
    quick = PositiveAcks(ZONE)
    for number in range(2000):
        header = parse_header(b"MSH|^~\\&|S%d|||||||X|P|2.5\r" % number)
        assert b"|S%d|" % number in quick.build(header, "AA", "2026-1", AT)
    assert len(quick._templates) <= 512
