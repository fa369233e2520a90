"""What the loader makes of a right site: text kept as text, gaps filled, order and places kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.config.files import read_site_files
from engine.config.load import load_site
from engine.config.models.site import Site
from engine.config.models.units import (
    format_duration,
    format_size,
    parse_duration,
    parse_size,
)
from engine.config.snapshot import open_snapshot, snapshot_files
from engine.model.finding import Finding
from tests.support.sites import CHANNELS, make_site, with_steps


def load(changes: dict[str, str | bytes | None] | None = None, **environ: str) -> Site:
    """Return the good site with changes; it must have no error."""
    loaded = load_site(make_site(changes), environ=environ)
    assert loaded.site is not None, [str(finding) for finding in loaded.findings]
    return loaded.site


@pytest.mark.parametrize("text", ["010", "NO", "1e5", "12:30", "null", "~", "0x1F", "2026-11-01"])
def test_scalars_stay_what_was_written(text: str) -> None:
    """YAML's own ideas about numbers, dates and truth never change a value."""
    site = load({"channels/adt.yaml": with_steps(f"- set: {{PID-8: {text}}}")})
    assert site.routes["adt_to_lis"].steps[0].args.values == {"PID-8": text}


def test_defaults_are_those_of_the_design() -> None:
    """A channel that says nothing behaves as the design promises."""
    site = load()
    his, lis = site.inbound["his"], site.outbound["lis"]
    assert (his.ack.mode, his.ack_mode, his.on_step_failure) == ("commit", "auto", "ack_anyway")
    assert his.duplicates.window == 86400.0
    assert his.accept.processing_id == ()
    assert (his.accept.missing_control_id, his.accept.stray_lines) == ("reject", "warn")
    assert lis.mllp is not None
    assert (lis.ack, lis.lanes, lis.on_park, lis.expire_after) == ("any", 1, "continue", None)
    assert (lis.on_timeout.retry, lis.rate, lis.settle_window) == (None, None, 1)
    assert (lis.rule_for("AE").retry, lis.rule_for("CE").for_) == (10, 1800.0)
    assert (lis.rule_for("AR").retry, lis.rule_for("CR").retry) == (0, 0)


def test_rules_for_negative_acks_go_from_special_to_general() -> None:
    """An ERR-3 code beats its verdict, and CE follows AE where it is not named."""
    text = CHANNELS.replace(
        '"127.0.0.1:6661"}',
        '"127.0.0.1:6661"}\n    on_ack: {AE: {retry: 2, for: 1m}, "AR/207": {retry: 5}}\n'
        "    order_by: PID-3.1",
    )
    lis = load({"channels/adt.yaml": text}).outbound["lis"]
    assert (lis.rule_for("CE").retry, lis.rule_for("AE", "101").for_) == (2, 60.0)
    assert (lis.rule_for("CR", "207").retry, lis.rule_for("AR", "100").retry) == (5, 0)
    assert lis.on_park == "hold_key"


def test_duplicates_and_expiry_can_be_switched_off() -> None:
    """`off` and `never` are values of their own, not missing units."""
    text = CHANNELS.replace('2575"}', '2575"}\n    duplicates: off\n    ack: none')
    text = text.replace('6661"}', '6661"}\n    expire_after: never\n    on_timeout: park')
    site = load({"channels/adt.yaml": text})
    assert site.inbound["his"].duplicates.window == 0.0
    assert site.inbound["his"].ack.mode == "none"
    assert site.outbound["lis"].expire_after is None
    assert site.outbound["lis"].on_timeout.retry == 0


def test_routes_run_in_the_order_of_files_then_of_lines() -> None:
    """Files by name, then position; that is the order of outputs too."""
    route = "  {}: {{from: his, to: lis}}\n"
    site = load(
        {
            "channels/z.yaml": "routes:\n" + route.format("a"),
            "channels/b.yaml": "routes:\n" + route.format("y") + route.format("x"),
        }
    )
    assert list(site.routes) == ["adt_to_lis", "y", "x", "a"]


def test_environment_variables_are_filled_in_and_remembered() -> None:
    """${NAME}, its default, and the way to write the text itself; only what was used is kept."""
    text = CHANNELS.replace("127.0.0.1:6661", "${LIS:-127.0.0.1:1}")
    text = text.replace("{MSH-5: LIS}", "{MSH-5: '$${LIS}'}")
    site = load({"channels/adt.yaml": text, "medbus.yaml": "site: ${S}"}, S="x", UNUSED="y")
    assert site.site == "x"
    assert str(site.outbound["lis"].mllp.connect) == "127.0.0.1:1"  # type: ignore[union-attr]
    assert site.routes["adt_to_lis"].steps[0].args.values == {"MSH-5": "${LIS}"}
    loaded = load_site(make_site({"medbus.yaml": "site: ${S}"}), environ={"S": "x", "U": "y"})
    assert loaded.environ_used == {"S": "x"}


def test_an_environment_brings_vars_and_overrides() -> None:
    """prod differs from dev by one file; findings in it point into it."""
    files = make_site(
        {
            "medbus.yaml": "site: demo\nvars: {port: '1', name: A}\n",
            "channels/adt.yaml": CHANNELS.replace("127.0.0.1:6661", "127.0.0.1:{{ vars.port }}"),
            "environments/prod.yaml": "vars: {port: '6662'}\noverrides:\n  log: {format: json}\n"
            "  outbound:\n    lis: {mllp: {timeout: 5}}\n",
        }
    )
    dev = load_site(files, environ={}, env_name=None)
    assert dev.site is not None
    assert dev.site.outbound["lis"].mllp.connect.port == 1  # type: ignore[union-attr]
    prod = load_site(files, environ={}, env_name="prod")
    assert [str(f.mark) for f in prod.findings] == ["environments/prod.yaml:5:27"]
    files["environments/prod.yaml"] = files["environments/prod.yaml"].replace(b": 5}", b": 5s}")
    prod = load_site(files, environ={}, env_name="prod")
    assert prod.site is not None
    mllp = prod.site.outbound["lis"].mllp
    assert mllp is not None
    assert (mllp.connect.port, mllp.timeout, prod.site.log.format) == (6662, 5.0, "json")
    assert prod.site.vars == {"port": "6662", "name": "A"}


def test_an_override_must_name_what_it_overrides() -> None:
    """An override that is no mapping of names is told, not ignored."""
    files = make_site({"environments/prod.yaml": "overrides: {outbound: lis}\n"})
    (finding,) = load_site(files, environ={}, env_name="prod").findings
    assert (finding.code, str(finding.mark)) == ("CFG-009", "environments/prod.yaml:1:23")


def test_vars_in_templates_are_left_to_the_language() -> None:
    """{{ vars.NAME }} in a step is escaped by the language, not pasted in by the loader."""
    text = with_steps("- set: {MSH-5: '{{ vars.lab }}'}")
    site = load({"channels/adt.yaml": text, "medbus.yaml": "site: a\nvars: {lab: 'A&B'}"})
    assert site.routes["adt_to_lis"].steps[0].args.values == {"MSH-5": "{{ vars.lab }}"}


def test_a_value_may_live_in_a_file(tmp_path: Path) -> None:
    """KEY_file reads KEY from a file, also from one outside the site's own folders."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "name.txt").write_text("clinic\n")
    (tmp_path / "medbus.yaml").write_text("site_file: secrets/name.txt\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x.db").write_text("not read")
    files = read_site_files(tmp_path)
    assert set(files) == {"medbus.yaml", "secrets/name.txt"}
    loaded = load_site(files, environ={})
    assert loaded.site is not None
    assert loaded.site.site == "clinic"


def test_notes_are_free() -> None:
    """x-* keys may stand anywhere and hold anything but YAML's tricks."""
    text = CHANNELS.replace("    from: his", "    x-ticket: {a: [1, 2]}\n    from: his")
    assert "adt_to_lis" in load({"channels/adt.yaml": "x-owner: me\n" + text}).routes


def test_steps_know_their_place() -> None:
    """Every step carries the place that findings and traces use, in loops and branches too."""
    text = with_steps(
        "- each: OBX\n  steps:\n    - choose:\n        - when: OBX-8\n"
        "          steps:\n            - clear: OBX-8"
    )
    each = load({"channels/adt.yaml": text}).routes["adt_to_lis"].steps[0]
    assert each.loc == ("routes", "adt_to_lis", "steps", 0)
    choose = each.args.steps[0]
    assert choose.loc == (*each.loc, "steps", 0)
    clear = choose.args.branches[0].steps[0]
    assert clear.loc == (*choose.loc, "choose", 0, "steps", 0)


@pytest.mark.parametrize(
    ("value", "offset", "place"),
    [
        ("PV1-2 == PV1-3", 9, "12:24"),
        ("'PV1-2 == ''I'' or x'", 13, "12:31"),
        ('"PV1-2 == \\"I\\" or x"', 13, "12:31"),
        ("|\n          PV1-2 ==\n          PV1-3", 9, "14:17"),
    ],
)
def test_findings_within_a_value_point_at_the_character(
    value: str, offset: int, place: str
) -> None:
    """An offset into an expression becomes line and column, whatever quotes it stands in."""
    text = with_steps(f"- when: {value}\n  clear: PID-8")
    loaded = load_site(make_site({"channels/adt.yaml": text}), environ={})
    loc = ("routes", "adt_to_lis", "steps", 0, "when")
    (found,) = loaded.located([Finding("CFG-999", "x", loc=loc, offset=offset)])
    assert str(found.mark) == f"channels/adt.yaml:{place}"


def test_tables_keep_every_cell_as_text() -> None:
    """Quoted commas and line ends stay in a cell, and every row knows its line."""
    site = load({"transforms/tables/t.csv": 'a,b\n01,"x, y"\n\n"two\nlines",z\nlast,\n'})
    table = site.tables["t"]
    assert table.rows == (("01", "x, y"), ("two\nlines", "z"), ("last", ""))
    assert table.lines == (2, 4, 6)


def test_a_snapshot_loads_to_the_same_site() -> None:
    """What was running can be loaded again from its snapshot alone, without tests and samples."""
    files = make_site(
        {
            "medbus.yaml": "site: ${S}\n",
            "channels/adt_test.yaml": "tests: []\n",
            "environments/prod.yaml": "vars: {a: b}\n",
            "environments/dev.yaml": "vars: {a: c}\n",
        }
    )
    loaded = load_site(files, environ={"S": "x", "OTHER": "y"}, env_name="prod")
    kept = snapshot_files(files, loaded.environ_used, "prod")
    assert set(kept) == {
        "medbus.yaml",
        "channels/adt.yaml",
        "environments/prod.yaml",
        ".outside.json",
    }
    again, environ, env_name = open_snapshot(kept)
    reloaded = load_site(again, environ=environ, env_name=env_name)
    assert loaded.site is not None
    assert reloaded.site is not None
    assert reloaded.site.routes == loaded.site.routes
    assert reloaded.site.site == "x"
    assert reloaded.site.vars == {"a": "b"}


@given(st.integers(1, 10**7))
def test_durations_and_sizes_read_back(number: int) -> None:
    """What --effective prints can be pasted into the YAML."""
    assert parse_duration(format_duration(number / 1000)) == pytest.approx(number / 1000, rel=1e-5)
    assert parse_size(format_size(number)) == number


@given(st.binary(max_size=300))
def test_no_bytes_make_the_loader_raise(raw: bytes) -> None:
    """Whatever a file holds, the loader answers with findings."""
    for name in (
        "medbus.yaml",
        "channels/a.yaml",
        "channels/a_test.yaml",
        "transforms/tables/a.csv",
    ):
        load_site({"medbus.yaml": b"site: a", name: raw}, environ={})


_WORDS = st.sampled_from(
    [
        "inbound",
        "routes",
        "steps",
        "set",
        "each",
        "a",
        "1",
        "choose",
        "emit",
        "to",
        "expect",
        "{{ x",
    ]
)
_TREES = st.recursive(
    _WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=3)
)


@given(_TREES, st.sampled_from(["channels/a.yaml", "channels/a_test.yaml", "transforms/a.yaml"]))
def test_no_shape_makes_the_loader_raise(tree: object, name: str) -> None:
    """Whatever shape the YAML has, the loader answers with findings, each at a place."""
    import json

    files = {"medbus.yaml": b"site: a", name: json.dumps(tree).encode()}
    loaded = load_site(files, environ={})
    assert all(finding.mark is not None for finding in loaded.findings)
