"""Whatever an analyst does to a right site, check answers with findings, each at a place."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.check.site import check_site
from engine.config.files import read_site_files
from engine.config.load import load_site

ROOT = Path(__file__).parents[2]
SITES = [ROOT, *sorted((ROOT / "docs" / "jobs").iterdir())]
FILES = [read_site_files(folder) for folder in SITES]
EDITABLE = [
    (files, name)
    for files in FILES
    for name in sorted(files)
    if name.endswith((".yaml", ".csv", ".j2", ".py"))
]
JUNK = ["", "x", "{{ ", "}}", "[", "'", '"', ": ", "- ", "#", "|", "&a", "PID-", "==", "null", "\t",
        "OBX[*]-5", "{else: []}", "葉"]  # fmt: skip


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(range(len(EDITABLE))),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(JUNK)), max_size=4),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from(["drop", "twice", "indent"])), max_size=2),
)
def test_check_never_raises(
    which: int, cuts: list[tuple[float, int, str]], moves: list[tuple[float, str]]
) -> None:
    """Cut, doubled, moved and sprinkled files give findings, not exceptions."""
    files, name = EDITABLE[which]
    text = files[name].decode()
    for where, size, junk in cuts:
        at = int(where * len(text))
        text = text[:at] + junk + text[at + size :]
    lines = text.split("\n")
    for where, move in moves:
        at = min(int(where * len(lines)), len(lines) - 1)
        line = lines[at]
        lines[at : at + 1] = {"drop": [], "twice": [line, line], "indent": ["  " + line]}[move]
        lines = lines or [""]
    edited = {**files, name: "\n".join(lines).encode()}
    for finding in check_site(load_site(edited, environ={})):
        assert finding.mark is not None
        assert finding.what
