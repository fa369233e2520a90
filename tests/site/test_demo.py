"""`medbus demo` as a new user meets it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.torture.engine import MEDBUS, WAIT_S, wait_until

ROOT = Path(__file__).parents[2]
PORTS = ("HIS_ADT", "HIS_ORDERS", "LIS_RESULTS", "LIS", "WARD", "HTTP")


class Demo:
    """A running demo and what it has printed."""

    def __init__(self, folder: Path, **environ: str) -> None:
        self.folder = folder
        self.environ = {
            **os.environ,
            **{f"MEDBUS_{name}_PORT": str(free_port()) for name in PORTS},
            **environ,
        }
        self._log = (folder / "demo.log").open("wb")
        self.running = subprocess.Popen(
            [MEDBUS, "demo", "--folder", str(folder / "demo"), "--rate", "10"],
            cwd=ROOT,
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
        )

    def text(self) -> str:
        """Return what was printed so far."""
        return (self.folder / "demo.log").read_text()

    def wait_for(self, pattern: str) -> None:
        """Wait until *pattern* has been printed."""
        wait_until(lambda: re.search(pattern, self.text(), re.MULTILINE), WAIT_S, pattern)

    def type(self, line: str) -> None:
        """Give the demo a line on its standard input, which is no terminal."""
        assert self.running.stdin is not None
        self.running.stdin.write(f"{line}\n".encode())
        self.running.stdin.flush()

    def command(self, words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in a terminal that was pointed to the demo by its `activate` file."""
        script = f". {self.folder}/demo/activate && medbus {words}"
        return subprocess.run(
            ["sh", "-c", script], cwd=ROOT, env=self.environ, capture_output=True, text=True
        )

    def pid_of(self, name: str) -> int:
        """Return the process id the demo printed for one of its parts."""
        return int(re.findall(rf"^ *{name} \| started, process (\d+)", self.text(), re.M)[-1])

    def end(self) -> int:
        """SIGTERM; return the exit code."""
        self.running.terminate()
        code = self.running.wait(2 * WAIT_S)
        self._log.close()
        return code


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    """A demo that is ended whatever happens."""
    made = Demo(tmp_path)
    try:
        yield made
    finally:
        if made.running.poll() is None:
            made.end()


def test_demo_shows_messages_flow(demo: Demo) -> None:
    """The demo's HIS gets AA, laboratory and ward receive, and `status` answers beside it."""
    demo.wait_for(r"his \| .*his_adt .*<- AA")
    demo.wait_for(r"his \| .*his_orders .*<- AA")
    demo.wait_for(r"results \| .*lis_results .*<- AA")
    demo.wait_for(r"lis \| .*ADT\^A01")
    demo.wait_for(r"ward \| .*ORU\^R01")
    assert "stop: kill" in demo.text()
    status = demo.command("status")
    assert "riverside: running" in status.stdout, status.stdout + status.stderr
    assert "ADT^A01" in demo.command("messages --limit 1000").stdout
    assert demo.end() == 0
    for name in ("engine", "lis", "ward", "his", "results"):
        with pytest.raises(ProcessLookupError):
            os.kill(demo.pid_of(name), 0)


def test_demo_goes_on_without_its_laboratory(demo: Demo) -> None:
    """With the laboratory killed its queue grows while the HIS still gets AA."""
    demo.wait_for(r"lis \| .*ADT\^A01")
    os.kill(demo.pid_of("lis"), 15)
    demo.wait_for(r"lis \| ended")
    before = len(re.findall("<- AA", demo.text()))
    wait_until(lambda: len(re.findall("<- AA", demo.text())) > before + 20, WAIT_S, "HIS gets AA")
    pending = re.search(r"^lis +\S+ +(\d+)", demo.command("status").stdout, re.MULTILINE)
    assert pending
    assert int(pending[1]) > 0


def test_demo_obeys_a_pipe(demo: Demo) -> None:
    """Commands that come through a pipe are obeyed as typed ones; `quit` ends all with 0."""
    demo.wait_for(r"lis \| .*ADT\^A01")
    demo.type("stop lis")
    demo.wait_for(r"lis \| stopped; start it again with: start lis")
    demo.type("start lis")
    wait_until(lambda: demo.text().count("lis | started") == 2, WAIT_S, "the laboratory again")
    demo.type("stop everything")
    demo.wait_for("type: stop NAME, start NAME or quit")
    demo.type("quit")
    assert demo.running.wait(2 * WAIT_S) == 0


def test_demo_outlives_a_killed_engine(demo: Demo) -> None:
    """An engine killed by somebody is an experiment: the demo waits until it is started again."""
    demo.wait_for(r"his \| .*his_adt .*<- AA")
    os.kill(demo.pid_of("engine"), 9)
    demo.wait_for(r"engine \| ended with -9; start it again with: start engine")
    before = demo.text().count("<- AA")
    demo.type("start engine")
    wait_until(lambda: demo.text().count("<- AA") > before + 5, WAIT_S, "the HIS gets AA again")


def test_demo_stops_where_its_engine_cannot_start(tmp_path: Path) -> None:
    """With an engine that gives up, the demo says so, starts no senders, and exits with 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        broken = Demo(tmp_path, MEDBUS_HIS_ADT_PORT=str(port))
        try:
            assert broken.running.wait(2 * WAIT_S) == 1
        finally:
            if broken.running.poll() is None:
                broken.end()
    assert "is another program using that port?" in broken.text()
    assert "RUN-063 the engine of the demo " in broken.text()
    assert "his | started" not in broken.text()
    assert "lis | stopped" in broken.text()
