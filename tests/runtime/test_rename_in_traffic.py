"""An outbound channel is renamed while messages come for it."""

from __future__ import annotations

import threading

from tests.runtime.running import CHANNELS, Sender, Site, adt


def test_what_comes_while_a_channel_is_renamed_goes_with_it(site: Site) -> None:
    """If this failed, messages accepted in that moment would stay behind, orphaned."""
    site.start()
    sent: list[str] = []
    is_over = threading.Event()

    def send() -> None:
        sender = Sender(site.port())
        while not is_over.is_set():
            name = f"C{len(sent)}"
            assert sender.send(adt(name, "7")) == "AA"
            sent.append(name)
        sender.close()

    thread = threading.Thread(target=send)
    thread.start()
    other = CHANNELS.replace("  lis:\n", "  other:\n    renamed_from: lis\n")
    site.write_channels(other.replace("to: lis", "to: other"))
    code, _, err = site.run("reload")
    is_over.set()
    thread.join(60)
    assert code == 0, err
    site.wait(lambda: site.outbound("other")["pending"] == 0)
    assert "lis" not in {row["name"] for row in site.status()["outbound"]}
    site.wait(lambda: len(set(site.receiver.ids())) == len(sent))
    assert list(dict.fromkeys(site.receiver.ids())) == sent
