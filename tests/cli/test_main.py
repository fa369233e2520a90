"""The command itself: quick help, plain errors, options on both sides of the verb."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from engine.cli.main import COMMANDS, cli

HEAVY = ("twisted", "pydantic", "hl7apy", "sqlite_utils", "jinja2", "starlette", "uvicorn", "rich")


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    """If this failed, `medbus --help` would be slow or would hide a command."""
    code = (
        "import sys\n"
        "from engine.cli.main import cli\n"
        "cli.main(['--help'], prog_name='medbus', standalone_mode=False)\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "HEAVY []" in told.stdout
    assert all(f"  {name}" in told.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    """If this failed, --help of a command would not say how it is used."""
    module, _, attribute = COMMANDS[name][0].partition(":")
    command = getattr(importlib.import_module(f"engine.cli.{module}"), attribute)
    told = CliRunner().invoke(cli, [name, "--help"], prog_name="medbus")
    assert told.exit_code == 0
    assert "--site" in told.output or isinstance(command, click.Group)
    if not isinstance(command, click.Group):
        assert "Example" in told.output, f"{name} --help shows no example"


def test_a_mistyped_command_gets_the_nearest_name() -> None:
    """If this failed, a typing error would end without help."""
    told = CliRunner().invoke(cli, ["requeu"])
    assert told.exit_code == 2
    assert "'requeue'" in told.output


@pytest.mark.parametrize("at_front", [True, False])
def test_shared_options_are_taken_before_and_after_the_verb(tmp_path: Path, at_front: bool) -> None:
    """If this failed, --site or --json would only work on one side of the verb."""
    shared = ["--site", str(tmp_path), "--json"]
    words = [*shared, "status"] if at_front else ["status", *shared]
    told = CliRunner().invoke(cli, words)
    assert told.exit_code == 1
    error = json.loads(told.stderr)["error"]
    assert error["code"] == "RUN-002"
    assert "medbus.yaml" in error["what"]


def test_a_refusal_is_one_plain_line_without_a_traceback(tmp_path: Path) -> None:
    """If this failed, an operator would see a traceback instead of what to do."""
    told = CliRunner().invoke(cli, ["status", "--site", str(tmp_path)])
    assert told.exit_code == 1
    assert told.stderr.count("\n") == 1
    assert told.stderr.startswith("medbus: RUN-002 ")


def test_wrong_use_exits_with_2(tmp_path: Path) -> None:
    """If this failed, scripts could not tell wrong use from a failure."""
    (tmp_path / "medbus.yaml").write_text("site: x\n")
    told = CliRunner().invoke(cli, ["requeue", "--site", str(tmp_path)])
    assert told.exit_code == 2


def test_a_full_disk_behind_standard_output_is_one_plain_line(tmp_path: Path) -> None:
    """If this failed, `medbus schema > file` on a full disk would end in a traceback."""
    with open("/dev/full", "w") as full:
        told = subprocess.run(
            [sys.executable, "-m", "engine.cli.main", "schema"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert told.returncode == 1
    assert told.stderr.startswith("medbus: RUN-045 the machine refuses: No space left on device")
    assert "Traceback" not in told.stderr


def test_a_defect_of_ours_is_told_by_type_and_place_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """If this failed, a traceback could print the values of a patient on a terminal."""

    def fail(*_: object, **__: object) -> None:
        raise ValueError("CANARYNAME")

    monkeypatch.setattr("engine.cli.status.connect", fail)
    told = CliRunner().invoke(cli, ["status"])
    assert told.exit_code == 1
    assert told.stderr.startswith(
        "medbus: RUN-024 the operation failed: ValueError at test_main.py"
    )
    assert "CANARYNAME" not in told.output


def test_a_wrong_option_is_json_where_json_is_asked_for() -> None:
    """If this failed, a program would have to read the usage text."""
    for words in (["requeue", "--yes", "x", "--json"], ["--json", "requeu"]):
        told = CliRunner().invoke(cli, words)
        assert (told.exit_code, json.loads(told.stderr)["error"]["code"]) == (2, "RUN-008")
