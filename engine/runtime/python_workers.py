"""
Python steps in worker processes: time-out, memory limit, one retry in a fresh worker.

Each inbound channel has a worker of its own, so that one channel's slow step never delays
another's. Rules of this file: blocking I/O happens in the channel's own thread, never on the loop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from engine.pipeline.steps.base import PythonAnswer, PythonCall
from engine.runtime.python_worker import read_packet, write_packet
from engine.store.file_room import check_room

DEFAULT_MEMORY_BYTES = 1 << 30
#: seconds a fresh worker may take to import itself
START_S = 20.0


class WorkerGone(Exception):
    """The worker crashed, ran out of memory or out of time; its word is the reason."""


class _Worker:
    """One child process and the socket to it."""

    def __init__(self, memory_bytes: int) -> None:
        check_room()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  our own module, our own interpreter
                [
                    sys.executable,
                    "-m",
                    "engine.runtime.python_worker",
                    str(theirs.fileno()),
                    str(memory_bytes),
                ],
                pass_fds=(theirs.fileno(),),
                env=_clean_environ(),
                start_new_session=True,
            )
        self._socket = ours
        self._sources: Mapping[str, str] | None = None
        self._socket.settimeout(START_S)
        try:
            read_packet(self._socket)
        except (OSError, EOFError):
            self.kill()
            raise WorkerGone("the worker process did not start") from None

    def run(self, call: PythonCall) -> tuple[dict[str, Any], bytes]:
        """Let it do one call; WorkerGone when it does not answer within the time."""
        head = {
            "module": call.module,
            "function": call.function,
            "context": call.context,
            "sources": None if call.sources is self._sources else dict(call.sources),
        }
        stop_at = time.monotonic() + call.timeout_s
        killer = threading.Timer(call.timeout_s, self._process.kill)
        killer.daemon = True
        killer.start()
        try:
            self._socket.settimeout(call.timeout_s + 5.0)
            write_packet(self._socket, head, call.body)
            answer = read_packet(self._socket)
        except (OSError, EOFError):
            late = time.monotonic() >= stop_at
            self.kill()
            if late:
                raise WorkerGone(f"it did not finish within {call.timeout_s:g} s") from None
            raise WorkerGone(self._how_it_ended()) from None
        finally:
            killer.cancel()
        self._sources = call.sources
        return answer

    def _how_it_ended(self) -> str:
        code = self._process.returncode
        if code == 71:
            return "it used more memory than a worker may"
        return "the worker process crashed"

    def kill(self) -> None:
        """End the process now."""
        self._process.kill()
        self._process.wait()
        self._socket.close()


def _clean_environ() -> dict[str, str]:
    # Secrets of the engine's environment are no business of a step.
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL", "TZ", "HOME")}
    root = str(Path(__file__).resolve().parents[2])
    return kept | {"PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2"}


class _Seat:
    """The worker of one channel, replaced when it dies."""

    def __init__(self, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._worker: _Worker | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def run(self, call: PythonCall) -> tuple[dict[str, Any], bytes]:
        """Run a call; a crash or time-out is tried once more in a fresh worker."""
        with self._lock:
            for is_last in (False, True):
                try:
                    worker = self._find_worker()
                    if worker is None:
                        break
                    return worker.run(call)
                except WorkerGone as gone:
                    self._worker = None
                    if is_last:
                        return {"error": f"{call.module}:{call.function}: {gone}, twice"}, b""
        return {"error": f"{call.module}:{call.function}: the engine stops"}, b""

    def _find_worker(self) -> _Worker | None:
        """Return the worker, a fresh one where there is none; None once closed."""
        if self._is_closed:
            return None
        worker = self._worker = self._worker or _Worker(self._memory_bytes)
        if self._is_closed:  # meanwhile: close() may not have seen the fresh one
            worker.kill()
            return None
        return worker

    def close(self) -> None:
        self._is_closed = True
        worker, self._worker = self._worker, None
        if worker is not None:
            with contextlib.suppress(OSError):
                worker.kill()


class PythonWorkers:
    """
    Runs the Python steps of all channels.

    Args:
        memory_bytes: address space one worker may use.
    """

    def __init__(self, *, memory_bytes: int = DEFAULT_MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._seats: dict[str, tuple[_Seat, ThreadPoolExecutor]] = {}
        self._lock = threading.Lock()

    def submit(self, call: PythonCall) -> Future[PythonAnswer]:
        """Start a call in its channel's worker; the future gives a PythonAnswer."""
        seat, executor = self._seat_of(str(call.context.get("inbound", "")))
        return executor.submit(_answer, seat.run, call)

    def run(self, call: PythonCall) -> PythonAnswer:
        """Run a call and wait for it; for commands and reruns, which have a thread of their own."""
        return self.submit(call).result()

    def close(self) -> None:
        """End every worker."""
        with self._lock:
            seats, self._seats = list(self._seats.values()), {}
        for seat, executor in seats:
            seat.close()
            executor.shutdown(wait=False, cancel_futures=True)

    def _seat_of(self, channel: str) -> tuple[_Seat, ThreadPoolExecutor]:
        with self._lock:
            if channel not in self._seats:
                executor = ThreadPoolExecutor(1, thread_name_prefix=f"python-{channel}")
                self._seats[channel] = (_Seat(self._memory_bytes), executor)
            return self._seats[channel]


def _answer(
    run: Callable[[PythonCall], tuple[dict[str, Any], bytes]], call: PythonCall
) -> PythonAnswer:
    head, body = run(call)
    if "error" in head:
        return PythonAnswer(body=None, error=str(head["error"]), log=())
    return PythonAnswer(body=body, error="", log=tuple(map(str, head["log"])))
