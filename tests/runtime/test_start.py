"""Starting the engine beside commands that use the same data folder."""

from __future__ import annotations

import threading

from engine.store.data_lock import DataLock
from tests.runtime.running import Site, adt


def test_a_start_waits_for_a_command_that_has_the_data(site: Site) -> None:
    """If this failed, a monitor that asks for `status` could keep a restarted engine down."""
    site.start()
    site.stop()
    command = DataLock(site.folder / "data")
    starting = threading.Thread(target=site.start)
    starting.start()
    site.wait(lambda: '"waiting"' in site.log)
    command.release(clean=True)
    starting.join(60)
    assert site.send(adt("C1", "7")) == ["AA"]
