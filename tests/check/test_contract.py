"""The worked site that the design is judged by: no error, and all its tests pass."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from engine.check.doors import open_door
from engine.check.site import check_site
from engine.config.files import read_site_files
from engine.config.load import load_site
from engine.pipeline.channel_test import run_test
from engine.pipeline.compile import compile_site
from engine.pipeline.context import FixedKeys
from engine.runtime.python_workers import PythonWorkers
from tests.support.missing import not_run

ROOT = Path(__file__).parents[2]
CORPUS = Path(os.environ.get("MEDBUS_CORPUS", ROOT / ".." / "shared" / "corpus"))
CONTRACT = CORPUS.parent / "contract"
SITES = [ROOT, CONTRACT, *sorted(path for path in (ROOT / "docs" / "jobs").iterdir())]


@pytest.mark.parametrize("folder", SITES, ids=lambda path: path.name)
def test_the_site_passes_check_and_test(folder: Path) -> None:
    """What the engine is shipped and judged with has no finding, and does what its tests say."""
    if not (folder / "medbus.yaml").is_file():
        not_run(f"there is no site at {folder}")
    loaded = load_site(read_site_files(folder), environ={}, env_name=None)
    assert [str(finding) for finding in check_site(loaded)] == []
    site = loaded.partial
    compiled, _ = compile_site(site, keys=FixedKeys())
    workers = PythonWorkers()
    try:
        results = [
            run_test(
                test,
                file,
                site=site,
                compiled=compiled,
                open_door=partial(open_door, site),
                call_python=workers.run,
            )
            for file, test in site.tests
        ]
    finally:
        workers.close()
    assert results
    assert [failure.what for result in results for failure in result.failures] == []
