"""An outbound channel is renamed while messages come for it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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


SLOW = """
from pathlib import Path

def slow(message, context):
    Path("BEGUN").touch()
    while not Path("GO").exists():
        pass
    return message
"""


def test_a_message_whose_steps_were_begun_before_a_rename_goes_with_it(
    site: Site, tmp_path: Path
) -> None:
    """If this failed, a message with a slow Python step would stay behind, orphaned."""
    begun, go = tmp_path / "begun", tmp_path / "go"
    slow = SLOW.replace("BEGUN", str(begun)).replace("GO", str(go))
    site.write("transforms/python/steps.py", slow)
    step = "      - python: steps:slow\n"
    channels = CHANNELS.replace("    steps:\n", "    steps:\n" + step)
    site.write_channels(channels)
    site.start()
    with ThreadPoolExecutor(2) as threads:
        answer = threads.submit(site.send, adt("C1", "7"))
        site.wait(begun.exists)
        other = channels.replace("  lis:\n", "  other:\n    renamed_from: lis\n")
        site.write_channels(other.replace("to: lis", "to: other"))
        reload = threads.submit(site.run, "reload")
        site.wait(lambda: reload.done() or "messages that came before" in site.log)
        go.touch()
        assert answer.result() == ["AA"]
        assert reload.result()[0] == 0
    site.wait(lambda: site.receiver.ids() == ["C1"])
    assert "lis" not in {row["name"] for row in site.status()["outbound"]}
