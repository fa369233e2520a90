"""Reading the site for a command: the checked models, or just where its data lies."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.settings import Settings
from engine.model.counting import count_of
from engine.model.errors import MedbusError

if TYPE_CHECKING:
    from engine.config.models.site import Site


def find_data(settings: Settings) -> Path:
    """Return where the site's data lies."""
    from engine.runtime.places import find_data_folder

    return find_data_folder(settings.site, environ=os.environ, env_name=settings.env_name)


def read_site(settings: Settings) -> Site:
    """Return the site's models; refuse a site with errors, telling the first."""
    from engine.config.files import read_site_files
    from engine.config.load import load_site
    from engine.model.finding import Severity

    find_data(settings)
    loaded = load_site(
        read_site_files(settings.site), environ=os.environ, env_name=settings.env_name
    )
    errors = [finding for finding in loaded.findings if finding.severity is Severity.ERROR]
    if loaded.site is None or errors:
        raise MedbusError(
            f"the site has {count_of(len(errors), 'error')}; the first: {errors[0]}",
            code="RUN-023",
            fix="run `medbus check` to see all of them",
        )
    return loaded.site
