"""The vault of a store, and what its errors mean there."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from engine.model.errors import MedbusError, StoreFull
from engine.model.records import NewDelivery
from engine.store.sqlite import Failure, describe, failure_of
from engine.store.vault import FILE, FOLDER, SqliteVault


class VaultPlace:
    """
    Where a store's vault is; opened when there is something to keep or to look up.

    Args:
        translate: the store's; an I/O error here fences it like one in a day's file.
        fence: stops all writing for good.
    """

    def __init__(
        self,
        folder: Path,
        *,
        translate: Callable[[str, Exception], MedbusError],
        fence: Callable[[str], MedbusError],
    ) -> None:
        self._folder = folder / FOLDER
        self._store_translate = translate
        self._fence = fence
        self._vault: SqliteVault | None = None

    def keep(self, deliveries: Iterable[NewDelivery]) -> None:
        """
        Keep the links of new deliveries; durable on return.

        Raises:
            MedbusError: it cannot be written; then the deliveries may not be stored either.
        """
        links = [link for delivery in deliveries for link in delivery.links]
        if links:
            self._open().keep(links)

    def find(self) -> SqliteVault | None:
        """Return the vault; None where nothing was ever kept."""
        if self._vault is None and not SqliteVault.exists(self._folder):
            return None
        return self._open()

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._vault is not None:
            self._vault.close()
            self._vault = None

    def _open(self) -> SqliteVault:
        if self._vault is None:
            try:
                self._vault = SqliteVault(self._folder, translate=self._translate)
            except OSError as error:
                raise self._translate(error) from None
        return self._vault

    def _translate(self, error: Exception) -> MedbusError:
        """Full and broken disks mean here what they mean in the store."""
        if isinstance(error, OSError):
            if error.errno == errno.EIO:
                return self._fence(f"{os.strerror(errno.EIO)} on the vault")
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                return StoreFull()
        elif failure_of(error) is Failure.FULL or describe(error).startswith("SQLITE_IOERR"):
            return self._store_translate(FILE, error)
        return MedbusError(
            "the vault cannot be written: what it must keep is not accepted",
            code="STO-012",
            where=str(self._folder),
            fix=f"see that there is room and that the folder is ours ({describe(error)})",
        )
