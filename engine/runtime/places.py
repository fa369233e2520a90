"""Where a site's data lies, from the `data` key alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from engine.model.errors import NotFound

_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
CONTROL_SOCKET = "control.sock"


def find_data_folder(
    site_folder: Path, *, environ: Mapping[str, str], env_name: str | None
) -> Path:
    """
    Return the data folder of a site.

    A site that no longer passes `check` must still be reachable: its engine may be running.

    Raises:
        NotFound: the folder is no site.
    """
    if not (site_folder / "medbus.yaml").is_file():
        raise NotFound(
            f"{site_folder} is not a site: it has no medbus.yaml",
            fix="go to the site's folder, give --site DIR, or make one with `medbus init DIR`",
        )
    found = _read_key(site_folder / "medbus.yaml") or "data"
    if env_name:
        found = _read_key(site_folder / "environments" / f"{env_name}.yaml") or found
    filled = _VARIABLE.sub(lambda match: environ.get(match[1]) or match[2] or "", found)
    return site_folder / (filled or "data")


def _read_key(path: Path) -> str:
    """Return the `data` key of one file, also below `overrides`; "" where there is none."""
    try:
        top = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506  text only
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return ""
    if not isinstance(top, dict):
        return ""
    overrides = top.get("overrides")
    found = overrides.get("data") if isinstance(overrides, dict) else top.get("data")
    return found if isinstance(found, str) else ""
