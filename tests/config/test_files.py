"""Which files make a site: its own folders and what the YAML names, nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.config.files import read_site_files
from engine.model.errors import MedbusError
from tests.support.sites import make_site


def write(folder: Path, *names: str) -> None:
    """Write files with their own name in them."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give the good site as a folder."""
    for name, content in make_site().items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path


def test_only_what_belongs_to_a_site_is_read(site: Path) -> None:
    """The message store, keys, certificates and hidden files are never taken into a snapshot."""
    before = set(read_site_files(site))
    write(
        site, "data/control.db", "data/keys/k", "out/x.hl7", ".env", "channels/.draft.yaml",
        "channels/tls.key", "transforms/python/__pycache__/x.pyc", "engine/x.py", "README.md",
    )  # fmt: skip
    assert set(read_site_files(site)) == before == set(make_site())


def test_files_the_yaml_names_are_read_wherever_they_are(site: Path) -> None:
    """A message or a list of words may lie where the site likes."""
    write(site, "elsewhere/words.txt", "elsewhere/other.txt")
    (site / "transforms/deid").mkdir(parents=True)
    (site / "transforms/deid/r.yaml").write_text("leak_check: {allow_words: elsewhere/words.txt}")
    files = read_site_files(site)
    assert "elsewhere/words.txt" in files
    assert "elsewhere/other.txt" not in files


def test_a_circle_of_links_ends(site: Path) -> None:
    """A link to a folder above does not make the walk go on for ever."""
    (site / "channels" / "again").symlink_to(site / "channels", target_is_directory=True)
    assert set(read_site_files(site)) == set(make_site())


def test_a_file_that_cannot_be_read_is_named(site: Path) -> None:
    """The error says which file it is and what to look at."""
    path = site / "channels" / "gone.yaml"
    path.symlink_to(site / "nowhere.yaml")
    with pytest.raises(MedbusError, match=r"gone\.yaml cannot be read"):
        read_site_files(site)
    assert os.path.lexists(path)


def test_a_folder_that_is_no_site_gives_no_files(tmp_path: Path) -> None:
    """Nothing is guessed: an empty folder is an empty site, which check refuses."""
    assert read_site_files(tmp_path) == {}
