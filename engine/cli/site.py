"""Reading the site for a command: the checked models, or just where its data lies."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.settings import Settings
from engine.model.errors import MedbusError, NotFound

if TYPE_CHECKING:
    from engine.config.models.site import Site

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


def read_site(settings: Settings) -> Site:
    """Return the site's models; refuse a site with errors, telling the first."""
    from engine.config.files import read_site_files
    from engine.config.load import load_site
    from engine.model.finding import Severity

    _demand_site(settings.site)
    loaded = load_site(
        read_site_files(settings.site), environ=os.environ, env_name=settings.env_name
    )
    errors = [finding for finding in loaded.findings if finding.severity is Severity.ERROR]
    if loaded.site is None or errors:
        raise MedbusError(
            f"the site has {len(errors)} errors; the first: {errors[0]}",
            code="RUN-023",
            fix="run `medbus check` to see all of them",
        )
    return loaded.site


def find_data_folder(settings: Settings) -> Path:
    """
    Return where the site's data lies, from the `data` key alone.

    A site that no longer passes `check` must still be reachable: its engine may be running.
    """
    import yaml

    _demand_site(settings.site)
    names = ["medbus.yaml"]
    if settings.env_name:
        names.append(f"environments/{settings.env_name}.yaml")
    found = "data"
    for name in names:
        path = settings.site / name
        try:
            top = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506  text only
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        if isinstance(top, dict) and isinstance(top.get("data"), str):
            found = top["data"]
    filled = _VARIABLE.sub(lambda match: os.environ.get(match[1]) or match[2] or "", found)
    return settings.site / (filled or "data")


def _demand_site(folder: Path) -> None:
    if not (folder / "medbus.yaml").is_file():
        raise NotFound(
            f"{folder} is not a site: it has no medbus.yaml",
            fix="go to the site's folder, give --site DIR, or make one with `medbus init DIR`",
        )
