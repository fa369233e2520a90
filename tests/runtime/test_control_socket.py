"""The control socket: who calls, what travels, what goes wrong."""

from __future__ import annotations

import asyncio
import os
import pwd
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import Conflict, MedbusError, NotFound
from engine.runtime.control_socket import ControlClient, ControlServer


def perform(
    user: str, verb: str, arguments: Mapping[str, Any], progress: Callable[[str], None]
) -> object:
    """Stand in for the operations."""
    if verb == "who":
        return {"user": user, "told": arguments}
    if verb == "long":
        progress("half of it")
        return "done"
    if verb == "refuse":
        raise NotFound("there is no message 1", fix="look again")
    raise ValueError("PID|1||SECRET")


def talk(folder: Path, *calls: tuple[str, Mapping[str, Any]]) -> tuple[list[Any], list[str]]:
    """Serve *calls* over a real socket; return results or errors, and the progress told."""
    told: list[str] = []
    results: list[Any] = []

    def call_all() -> None:
        client = ControlClient.find(folder / "control.sock", told.append)
        assert client is not None
        for verb, arguments in calls:
            try:
                results.append(client.call(verb, arguments))
            except MedbusError as error:
                results.append(error)
        client.close()

    async def run() -> None:
        server = ControlServer(folder / "control.sock", perform)
        await server.start()
        mode = stat.S_IMODE((folder / "control.sock").stat().st_mode)
        assert mode == 0o600
        await asyncio.to_thread(call_all)
        await server.stop()

    asyncio.run(run())
    return results, told


def test_the_caller_is_the_os_user_and_not_what_the_request_says(tmp_path: Path) -> None:
    """If this failed, anybody could act under somebody else's name."""
    results, _ = talk(tmp_path, ("who", {"user": "somebody else", "名": "张伟"}))
    me = pwd.getpwuid(os.getuid()).pw_name
    assert results == [{"user": me, "told": {"user": "somebody else", "名": "张伟"}}]


def test_errors_travel_with_code_and_fix_and_the_connection_lives_on(tmp_path: Path) -> None:
    """If this failed, an operator would not read why the engine refused."""
    results, _ = talk(tmp_path, ("refuse", {}), ("who", {}))
    assert isinstance(results[0], NotFound)
    assert (results[0].code, results[0].fix) == ("RUN-002", "look again")
    assert results[1]["told"] == {}


def test_an_unexpected_failure_does_not_tell_its_text(tmp_path: Path) -> None:
    """If this failed, patient data could leave in an error message."""
    results, _ = talk(tmp_path, ("break", {}))
    assert "ValueError" in str(results[0])
    assert "SECRET" not in str(results[0])


def test_progress_comes_before_the_result(tmp_path: Path) -> None:
    """If this failed, long work would look as if it hung."""
    assert talk(tmp_path, ("long", {})) == (["done"], ["half of it"])


def test_a_socket_left_by_a_killed_engine_is_no_engine(tmp_path: Path) -> None:
    """If this failed, commands would hang after a crash."""
    import socket

    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "control.sock"))
    left.close()
    assert ControlClient.find(tmp_path / "control.sock", print) is None
    assert talk(tmp_path, ("who", {}))[0]


def test_a_site_deep_in_the_file_system_can_be_reached(tmp_path: Path) -> None:
    """If this failed, a long path would make the engine unreachable (107 bytes limit)."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    here = os.getcwd()
    os.chdir(deep)
    try:
        assert talk(deep, ("who", {}))[0]
    finally:
        os.chdir(here)


def test_an_engine_that_goes_away_is_told_plainly(tmp_path: Path) -> None:
    """If this failed, a command would end in a traceback when the engine stops."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.close()

    async def run() -> MedbusError:
        path = tmp_path / "control.sock"
        server = await asyncio.start_unix_server(hang_up, str(path))

        def call() -> MedbusError:
            client = ControlClient.find(path, print)
            assert client is not None
            with pytest.raises(MedbusError) as refused:
                client.call("status", {})
            client.close()
            return refused.value

        error = await asyncio.to_thread(call)
        server.close()
        return error

    assert asyncio.run(run()).code == "RUN-026"


def test_errors_of_our_own_keep_their_kind(tmp_path: Path) -> None:
    """If this failed, exit codes would depend on whether an engine runs."""
    from engine.runtime.control_socket import describe_error, parse_error

    assert isinstance(parse_error(describe_error(Conflict("no"))), Conflict)
