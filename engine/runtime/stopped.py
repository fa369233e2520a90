"""
The operations on a stopped engine: the command takes the data lock and does them itself.

Rules of this file: the same Operations, the same audit record, the same refusals.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.config.files import read_site_files
from engine.runtime.clock import SystemClock
from engine.runtime.configuration import check_configuration
from engine.runtime.control_socket import user_name
from engine.runtime.desk import Desk
from engine.runtime.hardening import close_umask, switch_off_core_dumps
from engine.runtime.opening import open_store
from engine.runtime.operations import Operations
from engine.runtime.places import find_data_folder
from engine.runtime.python_workers import PythonWorkers
from engine.runtime.store_access import DirectAccess


@contextmanager
def open_stopped(
    site_folder: Path, env_name: str | None, on_progress: Callable[[str], None]
) -> Iterator[Callable[[str, Mapping[str, Any]], Any]]:
    """Give a function that does operations; the data folder is locked meanwhile."""
    switch_off_core_dumps()
    close_umask()
    site_folder = site_folder.resolve()
    data_folder = find_data_folder(site_folder, environ=os.environ, env_name=env_name)
    checked = check_configuration(
        read_site_files(site_folder), environ=os.environ, env_name=env_name
    )
    store = open_store(data_folder, checked.site)
    workers = PythonWorkers()
    try:
        configuration = checked.compile(store.keys)
        desk = Desk(
            site_folder,
            data_folder,
            DirectAccess(store),
            store.keys,
            SystemClock(),
            workers,
            configuration,
        )
        snapshot_id = store.put_snapshot(configuration.files, at=desk.clock.now())
        desk.configuration = configuration.with_snapshot(snapshot_id)
        operations = Operations(desk)
        user = user_name(os.getuid())

        def call(verb: str, arguments: Mapping[str, Any]) -> Any:
            return operations.perform(user, verb, arguments, on_progress)

        yield call
    finally:
        workers.close()
        store.close()
