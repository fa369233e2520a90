"""The sample site and the documented jobs are sites that check and test without a finding."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.torture.engine import MEDBUS

ROOT = Path(__file__).parents[2]
JOBS = sorted(path for path in (ROOT / "docs" / "jobs").iterdir() if path.is_dir())


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one medbus command on a site."""
    return subprocess.run(
        [MEDBUS, "--site", str(folder), *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("folder", [ROOT, *JOBS], ids=lambda path: path.name)
def test_check_has_nothing_to_say(folder: Path) -> None:
    """`medbus check` finds neither error nor warning in a site we show to others."""
    told = run(folder, "check", "--json")
    assert told.returncode == 0, told.stdout + told.stderr
    assert json.loads(told.stdout)["items"] == []


@pytest.mark.parametrize("folder", [ROOT, *JOBS], ids=lambda path: path.name)
def test_channel_tests_pass(folder: Path) -> None:
    """The channel tests of a site we show to others pass."""
    told = run(folder, "test")
    assert told.returncode == 0, told.stdout + told.stderr


def test_there_are_ten_jobs() -> None:
    """The ten everyday jobs are there, and the page names each."""
    page = (ROOT / "docs" / "jobs.md").read_text()
    assert len(JOBS) == 10
    assert [path.name for path in JOBS if path.name not in page] == []


def test_every_sample_is_used_by_a_test() -> None:
    """No sample message lies about that no channel test sends."""
    tests = "".join(path.read_text() for path in (ROOT / "channels").glob("*_test.yaml"))
    samples = [path.name for path in (ROOT / "sample_messages").glob("*.hl7")]
    assert samples
    assert [name for name in samples if name not in tests] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "sample_messages").glob("*.hl7")), ids=lambda path: path.name
)
def test_samples_end_segments_with_cr(path: Path) -> None:
    """Samples are bytes as a HIS sends them: segments end in CR, no LF anywhere."""
    raw = path.read_bytes()
    assert b"\n" not in raw
    assert raw.endswith(b"\r")


def test_nothing_of_a_workplace_is_in_the_project() -> None:
    """No tracked text names a machine's private paths or a package index."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    private = re.compile(r"/(?:work|root|home)/|--index-url|extra-index")
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path != Path(__file__):
            text = path.read_bytes().decode("utf-8", "replace")
            found += [f"{name}: {match[0]}" for match in private.finditer(text)]
    assert found == []
