"""Opening the key ring and the store of a data folder."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.model.errors import MedbusError
from engine.runtime.configuration import Configuration
from engine.security.keyring import MASTER_FILE, KeyRing
from engine.store.interface import Store
from engine.store.settings import StoreSettings
from engine.store.sqlite_store import SqliteStore

log = logging.getLogger(__name__)

KEYS_FOLDER = "keys"


def open_keys(data_folder: Path) -> KeyRing:
    """
    Open the key ring, or make one in a folder that holds no data yet.

    Raises:
        Sealed: there is data and its keys are missing or wrong.
    """
    folder = data_folder / KEYS_FOLDER
    try:
        data_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise MedbusError(
            f"the data folder cannot be made: {error.strerror}",
            code="RUN-041",
            where=str(data_folder),
        ) from None
    if KeyRing.exists(folder) or (data_folder / "control.db").exists():
        return KeyRing.open(folder)
    ring = KeyRing.create(folder)
    log.warning(
        "a new key ring was made; back its master key up, away from the data",
        extra={"path": str(folder / MASTER_FILE)},
    )
    return ring


def open_store(data_folder: Path, keys: KeyRing, configuration: Configuration) -> Store:
    """Open the store of a data folder; refuses while another process uses it."""
    outbounds = configuration.site.outbound.values()
    window = max((model.settle_window for model in outbounds), default=1)
    return SqliteStore.open(data_folder, keys, StoreSettings(settle_window=window))
