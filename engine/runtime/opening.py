"""Opening the store of a data folder, with the settings of its site."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

from engine.config.models.site import Site
from engine.model.errors import Fenced, MedbusError
from engine.security.folders import make_folder
from engine.security.keyring import MASTER_FILE, KeyRing
from engine.store.settings import StoreSettings
from engine.store.sqlite_store import SqliteStore

log = logging.getLogger(__name__)

KEYS_FOLDER = "keys"


def open_store(data_folder: Path, site: Site) -> SqliteStore:
    """
    Open the store and its key ring; both are made in an empty folder.

    Raises:
        Locked: another engine or command uses the folder.
        Sealed: there is data and its keys are missing or wrong.
    """
    window = max((model.settle_window for model in site.outbound.values()), default=1)
    has_keys = KeyRing.exists(data_folder / KEYS_FOLDER)
    try:
        make_folder(data_folder, 0o700)
        store = SqliteStore(data_folder, settings=StoreSettings(settle_window=window))
    except OSError as error:
        if error.errno == errno.EIO:
            raise Fenced(
                "the disk of the data folder returns I/O errors",
                where=str(data_folder),
                fix="look at the system's log; the supervisor may try again",
            ) from None
        raise MedbusError(
            f"the data folder cannot be used: {error.strerror}",
            code="RUN-041",
            where=str(data_folder),
        ) from None
    if not has_keys:
        log.warning(
            "a new key ring was made; back its master key up, away from the data",
            extra={"path": str(data_folder / KEYS_FOLDER / MASTER_FILE)},
        )
    return store
