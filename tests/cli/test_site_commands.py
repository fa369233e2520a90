"""init, check, test and schema, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from engine.cli.main import cli


def medbus(*words: str | Path) -> Result:
    """Run one command."""
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Give a site as init makes it."""
    folder = tmp_path / "my hospital"
    result = medbus("init", folder)
    assert result.exit_code == 0, result.output
    return folder


def edit(site: Path, name: str, old: str, new: str) -> None:
    """Replace a text in a file of the site."""
    text = (site / name).read_text("utf-8")
    assert old in text
    (site / name).write_text(text.replace(old, new), "utf-8")


def test_a_new_site_passes_check_and_test(site: Path) -> None:
    """What init writes has no finding, and its tests pass and touch everything."""
    check = medbus("check", "--site", site)
    assert (check.exit_code, check.output) == (0, "no findings; 2 routes\n")
    tests = medbus("test", "--site", site, "--coverage")
    assert tests.exit_code == 0, tests.output
    assert "2 passed, 0 failed" in tests.output
    assert "routes    2 of 2 touched" in tests.output


def test_init_overwrites_nothing(site: Path) -> None:
    """Running init twice leaves the first site as it is."""
    edit(site, "medbus.yaml", "timezone: UTC", "timezone: Asia/Shanghai")
    again = medbus("init", site)
    assert again.exit_code == 1
    assert "Asia/Shanghai" in (site / "medbus.yaml").read_text("utf-8")


def test_check_prints_place_code_and_fix(site: Path) -> None:
    """A finding is one line that an editor can jump to; errors make exit code 1."""
    edit(site, "channels/adt.yaml", "to: archive", "to: archiv")
    result = medbus("check", "--site", site)
    assert result.exit_code == 1
    line = result.output.splitlines()[0]
    assert line.startswith("channels/adt.yaml:")
    assert line.endswith(" CFG-101 there is no outbound channel archiv; did you mean archive?")
    assert result.output.splitlines()[-1] == "1 error, 0 warnings"


def test_warnings_alone_are_no_failure(site: Path) -> None:
    """A warning is shown, and check still exits with 0."""
    (site / "transforms/tables/more.csv").write_text("a,b\n1,2\n")
    result = medbus("check", "--site", site)
    assert (result.exit_code, "CFG-123 warning:" in result.output) == (0, True)


def test_check_as_json(site: Path) -> None:
    """Programs get every part of a finding."""
    edit(site, "channels/adt.yaml", "lanes: 4", "lanes: four")
    result = medbus("check", "--site", site, "--json")
    (item,) = json.loads(result.output)["items"]
    assert (item["file"], item["code"], item["severity"]) == (
        "channels/adt.yaml",
        "CFG-010",
        "error",
    )
    assert set(item) == {"file", "line", "column", "code", "severity", "what", "fix"}


def test_effective_can_be_read_back(site: Path) -> None:
    """--effective prints defaults in their units, and its channels are valid YAML of their own."""
    result = medbus("check", "--site", site, "--effective")
    assert result.exit_code == 0
    assert '    mllp:\n      connect: "127.0.0.1:6661"\n' in result.output
    assert "      max_message: 50MB    # default" in result.output
    assert "    on_park: hold_key" in result.output
    values = json.loads(medbus("check", "--site", site, "--effective", "--json").output)
    assert values["outbound"]["lis"]["on_ack"]["AE"] == {"retry": 10, "for": "30m", "then": "park"}
    assert values["inbound"]["his_adt"]["duplicates"] == {"window": "1d"}


def test_a_failing_test_names_place_and_step(site: Path) -> None:
    """A failure shows the line of the expectation, the value, and the step with its line."""
    edit(site, "channels/adt_test.yaml", 'PID-8: "2"', 'PID-8: "1"')
    result = medbus("test", "--site", site)
    assert result.exit_code == 1
    assert "FAIL  an inpatient admission" in result.output
    assert "lis PID-8: expected '1', got '2'" in result.output
    assert "written by step 1.2 (lookup) of route adt_to_lis, transforms/adt_for_lis.yaml:4:5" in (
        result.output
    )
    assert "1 passed, 1 failed" in result.output


@pytest.mark.parametrize(
    ("name", "count"),
    [("outpatient", 1), ("adt_test", 2), ("archive", 1), ("adt_to_lis", 2), ("INPATIENT", 1)],
)
def test_names_choose_tests(site: Path, name: str, count: int) -> None:
    """Words choose tests by name, file, channel or route."""
    result = medbus("test", name, "--site", site)
    assert f"{count} passed, 0 failed" in result.output


def test_a_name_nobody_has_is_an_error(site: Path) -> None:
    """A typing error does not pass as zero failed tests."""
    result = medbus("test", "nothing-like-it", "--site", site)
    assert result.exit_code == 1
    assert "no test is named so" in result.output


def test_update_writes_the_expected_files(site: Path) -> None:
    """--update makes a whole-file test pass, and only with --update."""
    edit(site, "channels/adt_test.yaml", "archive: {only_changes: {}}", "archive: {file: a/b.hl7}")
    assert medbus("test", "--site", site).exit_code == 1
    updated = medbus("test", "--site", site, "--update")
    assert updated.exit_code == 0, updated.output
    assert "wrote a/b.hl7" in updated.output
    assert (site / "a/b.hl7").read_bytes() == (site / "sample_messages/adt_a01.hl7").read_bytes()
    assert medbus("test", "--site", site).exit_code == 0


def test_update_writes_inside_the_site_only(site: Path) -> None:
    """A path that leads out of the site is refused."""
    old = "archive: {only_changes: {}}"
    edit(site, "channels/adt_test.yaml", old, "archive: {file: ../b.hl7}")
    updated = medbus("test", "--site", site, "--update")
    assert updated.exit_code == 2
    assert not (site.parent / "b.hl7").exists()


def test_results_for_build_servers(site: Path, tmp_path: Path) -> None:
    """--junit writes one case per test, failures with what was wrong."""
    edit(site, "channels/adt_test.yaml", 'PID-8: "2"', 'PID-8: "<&>"')
    out = tmp_path / "results.xml"
    assert medbus("test", "--site", site, "--junit", out).exit_code == 1
    suite = ElementTree.parse(out).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    times = [float(str(case.get("time"))) for case in suite]
    assert float(str(suite.get("time"))) == pytest.approx(sum(times), abs=0.01)
    assert 0 < sum(times) < 60
    failures = [case.find("failure") for case in suite]
    texts = [failure.text for failure in failures if failure is not None]
    assert len(texts) == 1
    assert "expected '<&>', got '2'" in str(texts[0])


def test_test_as_json(site: Path) -> None:
    """Programs get each test with its failures and the coverage."""
    result = medbus("test", "--site", site, "--json", "--coverage")
    shown = json.loads(result.output)
    assert [item["passed"] for item in shown["items"]] == [True, True]
    assert shown["coverage"]["routes"] == {"touched": 2, "all": 2}


def test_tests_want_a_site_without_errors(site: Path) -> None:
    """A site with errors is not half tested."""
    edit(site, "channels/adt.yaml", "lanes: 4", "lanes: four")
    result = medbus("test", "--site", site)
    assert result.exit_code == 1
    assert "medbus check" in result.output


def test_schemas_for_editors(tmp_path: Path) -> None:
    """schema prints one for all files, one for a kind, or writes a file per kind."""
    assert "anyOf" in json.loads(medbus("schema").output)
    assert json.loads(medbus("schema", "tests").output)["title"] == "medbus: channels/*_test.yaml"
    result = medbus("schema", "--out", tmp_path / "schemas")
    assert result.exit_code == 0
    assert len(list((tmp_path / "schemas").iterdir())) == 6
    assert "yaml.schemas" in result.output
