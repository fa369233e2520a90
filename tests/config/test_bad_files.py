"""One bad file per finding code of the loader: what it says, and exactly where."""

from __future__ import annotations

import pytest

from engine.config.load import LoadedSite, load_site
from tests.support.sites import CHANNELS, make_site, with_steps

ADT = "channels/adt.yaml"


def load(changes: dict[str, str | bytes | None], **options: str) -> LoadedSite:
    """Load the good site with changes."""
    env_name = options.pop("env", None)
    return load_site(make_site(changes), environ=options, env_name=env_name)


def edit(old: str, new: str) -> dict[str, str | bytes | None]:
    """Return the good channels with one text replaced."""
    assert old in CHANNELS
    return {ADT: CHANNELS.replace(old, new)}


#: code, the change, where it is found, a part of what it says
CASES: list[tuple[str, dict[str, str | bytes | None], str, str]] = [
    ("CFG-001", edit("from: his", "from: 'his' x"), f"{ADT}:9:17", "quote the whole value"),
    ("CFG-001", {"medbus.yaml": "site: a\n---\nsite: b\n"}, "medbus.yaml:2:1", "second document"),
    (
        "CFG-001",
        {ADT: with_steps("- set:\n    PID-8: {{ PID-8 }}")},
        f"{ADT}:13:18",
        'is quoted: "{{ PID-5.1 }}"',
    ),
    ("CFG-001", {"medbus.yaml": "site: a\n\tdata: b\n"}, "medbus.yaml:2:1", "spaces, not tabs"),
    ("CFG-001", {"medbus.yaml": b"site: a\x00\n"}, "medbus.yaml:1:1", "control characters"),
    (
        "CFG-001",
        {ADT: with_steps("- set: {PID-3[5='MR'].1: X}")},
        f"{ADT}:12:20",
        "quote every path that has [ ]",
    ),
    ("CFG-002", edit("types:", "typs:"), f"{ADT}:10:5", "did you mean types?"),
    ("CFG-002", {ADT: with_steps("- sett: {PID-8: M}")}, f"{ADT}:12:9", "did you mean set?"),
    (
        "CFG-002",
        {ADT: with_steps("- set: {PID-8: M}\n  whn: PID-8")},
        f"{ADT}:13:9",
        "did you mean when?",
    ),
    (
        "CFG-002",
        {ADT: with_steps("- each: OBX\n  wher: OBX-8\n  steps: []")},
        f"{ADT}:13:9",
        "did you mean where?",
    ),
    ("CFG-002", {ADT: "inbounds: {}\n"}, f"{ADT}:1:1", "did you mean inbound?"),
    (
        "CFG-002",
        edit("{listen:", "{idle_timout: 5s, listen:"),
        f"{ADT}:3:12",
        "did you mean idle_timeout?",
    ),
    ("CFG-003", edit("    to: lis", "    to: lis\n    from: his"), f"{ADT}:14:5", "line 9"),
    (
        "CFG-003",
        {"channels/z.yaml": 'outbound:\n  lis:\n    mllp: {connect: "127.0.0.1:1"}\n'},
        "channels/z.yaml:2:3",
        f"the first is at {ADT}:5:3",
    ),
    ("CFG-004", edit("from: his", "from: &x his"), f"{ADT}:9:11", "anchor"),
    ("CFG-004", edit("to: lis", "to: *x"), f"{ADT}:13:9", "alias"),
    ("CFG-004", edit("to: lis", "to: !!str lis"), f"{ADT}:13:9", "tag"),
    ("CFG-005", edit("to: lis", "to:"), f"{ADT}:13:8", "to has no value"),
    ("CFG-005", edit("from: his", 'from: his\n    when: ""'), f"{ADT}:10:11", "empty"),
    ("CFG-005", edit("from: his", "from: []"), f"{ADT}:9:11", "list is empty"),
    ("CFG-005", edit("from: his", "from: his\n    when:"), f"{ADT}:10:10", "when has no value"),
    ("CFG-006", edit("to: lis", "to: #lis"), f"{ADT}:13:8", "comment"),
    (
        "CFG-006",
        edit("from: his", "from: his\n    when: PID-8 == 'room #1'"),
        f"{ADT}:10:11",
        "cuts the value off",
    ),
    (
        "CFG-006",
        edit("    from: his", "    about: {room: x}\n    x-note: bed #5\n    from: his"),
        f"{ADT}:10:13",
        "the value ends before #5",
    ),
    (
        "CFG-006",
        {ADT: with_steps("- set:\n    OBX-5: >5")},
        f"{ADT}:13:18",
        'quote it: ">5"',
    ),
    (
        "CFG-006",
        edit("from: his", "when: >\n      PID-8\n      from: his"),
        f"{ADT}:11:7",
        "eats the line of from",
    ),
    ("CFG-007", {"medbus.yaml": b"site: \xff\n"}, "medbus.yaml:1:1", "not UTF-8"),
    ("CFG-007", {"medbus.yaml": "x-a: " + "[" * 40 + "]" * 40}, "medbus.yaml:1:37", "deeper"),
    ("CFG-007", {"medbus.yaml": b"#" * 1_000_001}, "medbus.yaml:1:1", "larger than"),
    ("CFG-008", edit("    to: lis\n", ""), f"{ADT}:8:3", "to is missing"),
    ("CFG-008", {"medbus.yaml": "timezone: UTC\n"}, "medbus.yaml:1:1", "site is missing"),
    ("CFG-009", edit("types: [ADT^A01]", "types: {a: b}"), f"{ADT}:10:12", "a list"),
    ("CFG-009", {ADT: with_steps("- clear")}, f"{ADT}:12:9", "a step is a mapping"),
    ("CFG-010", edit("to: lis", "to: lis\n    types: []"), f"{ADT}:14:5", "given twice"),
    (
        "CFG-010",
        edit('"127.0.0.1:6661"}', '"127.0.0.1:6661"}\n    ack: applicaton'),
        f"{ADT}:7:10",
        "did you mean application?",
    ),
    (
        "CFG-010",
        edit('"127.0.0.1:6661"}', '"127.0.0.1:6661"}\n    on_ack: {AA: park}'),
        f"{ADT}:7:14",
        "no negative ack",
    ),
    ("CFG-010", edit("[ADT^A01]", "[adt]"), f"{ADT}:10:13", "no message type"),
    (
        "CFG-010",
        edit('"127.0.0.1:6661"}', '"127.0.0.1:6661"}\n    lanes: 010.0'),
        f"{ADT}:7:12",
        "not a whole number",
    ),
    (
        "CFG-010",
        edit('"127.0.0.1:6661"}', '"127.0.0.1:6661"}\n    lanes: 0'),
        f"{ADT}:7:12",
        "at least 1",
    ),
    (
        "CFG-010",
        edit('"127.0.0.1:6661"}', '"127.0.0.1:6661", insecure: yes}'),
        f"{ADT}:6:49",
        "write true or false",
    ),
    ("CFG-011", edit('575"', '575", idle_timeout: 5'), f"{ADT}:3:52", "write 5s or 5m"),
    ("CFG-012", edit('575"', '575", max_message: 5'), f"{ADT}:3:51", "write 5KB or 5MB"),
    (
        "CFG-013",
        edit('"127.0.0.1:6661"}', '"127.0.0.1:6661"}\n    rate: 50'),
        f"{ADT}:7:11",
        "50/s",
    ),
    ("CFG-014", edit("127.0.0.1:6661", "127.0.0.1"), f"{ADT}:6:21", "HOST:PORT"),
    ("CFG-014", edit("127.0.0.1:6661", "1.2.3:80"), f"{ADT}:6:21", "no valid host"),
    ("CFG-015", edit('575"', '575", allow: [10.0.0.1/8]'), f"{ADT}:3:46", "not an IP network"),
    ("CFG-016", {"medbus.yaml": "site: a\ntimezone: Mars\n"}, "medbus.yaml:2:11", "no time zone"),
    ("CFG-018", {ADT: with_steps("- set: {PID-8: M}\n  clear: PID-7")}, f"{ADT}:12:9", "two steps"),
    ("CFG-019", {ADT: with_steps("- extract: OBX-5")}, f"{ADT}:12:9", "does not know"),
    ("CFG-020", {"medbus.yaml": "site: ${SITE_NAME}\n"}, "medbus.yaml:1:7", "no SITE_NAME"),
    ("CFG-020", {"medbus.yaml": "site: ${SITE\n"}, "medbus.yaml:1:7", "not complete"),
    (
        "CFG-021",
        edit('"127.0.0.1:6661"', '"{{ vars.lis }}:6661"'),
        f"{ADT}:6:21",
        "no vars.lis",
    ),
    ("CFG-022", edit("  lis:", "  lis 2:"), f"{ADT}:5:3", "no name"),
    ("CFG-023", edit("adt_to_lis:", "lis:"), f"{ADT}:8:3", "outbound channel"),
    ("CFG-023", edit("adt_to_lis:", "ack:"), f"{ADT}:8:3", "reserved"),
    ("CFG-024", {"medbus.yaml": "site_file: name.txt\n"}, "medbus.yaml:1:12", "no file name.txt"),
    ("CFG-025", edit("127.0.0.1:2575", "0.0.0.0:2575"), f"{ADT}:3:20", "anyone may connect"),
    ("CFG-026", edit("127.0.0.1:2575", "0.0.0.0:2575"), f"{ADT}:3:20", "plain"),
    ("CFG-026", edit("127.0.0.1:6661", "lis.hospital:6661"), f"{ADT}:6:21", "plain"),
    (
        "CFG-026",
        {"medbus.yaml": 'site: a\nhttp: {listen: "0.0.0.0:80"}\n'},
        "medbus.yaml:2:16",
        "plain HTTP",
    ),
    (
        "CFG-027",
        edit('"127.0.0.1:6661"}', '"127.0.0.1:6661"}\n    lanes: 4'),
        f"{ADT}:7:12",
        "needs order_by",
    ),
    ("CFG-027", edit("to: lis", "to: [lis, lis]"), f"{ADT}:13:9", "named twice"),
    ("CFG-028", {"medbus.yaml": None}, "medbus.yaml:1:1", "no medbus.yaml"),
    (
        "CFG-033",
        {"transforms/tables/sex.csv": "hl7,lis\nM,1\nF,2,3\n"},
        "transforms/tables/sex.csv:3:1",
        "3 values",
    ),
    (
        "CFG-033",
        {"transforms/tables/sex.csv": 'hl7,lis\n"M,1\n'},
        "transforms/tables/sex.csv:2:1",
        "not CSV",
    ),
    (
        "CFG-034",
        {"transforms/tables/sex.csv": "hl7,hl7\nM,1\n"},
        "transforms/tables/sex.csv:1:1",
        "two columns",
    ),
    ("CFG-034", {"transforms/tables/x.csv": ""}, "transforms/tables/x.csv:1:1", "no header"),
    (
        "CFG-031",
        {"transforms/tables/x.csv": b"\xef\xbb\xbfa,b\n1,2\n"},
        "transforms/tables/x.csv:1:1",
        "byte order mark",
    ),
    (
        "CFG-032",
        {"transforms/tables/x.csv": "a,b\n1,男\n".encode("gbk")},
        "transforms/tables/x.csv:2:1",
        "looks like GBK",
    ),
    ("CFG-035", {"channels/more.yml": "routes: {}\n"}, "channels/more.yml:1:1", "nothing reads"),
    ("CFG-035", {"transforms/tables/a/b.csv": "a,b\n"}, "transforms/tables/a/b.csv:1:1", "tables"),
    (
        "CFG-030",
        {"transforms/tables/x.csv": b"a" * 50_000_001},
        "transforms/tables/x.csv:1:1",
        "50 MB",
    ),
]


#: one mistake, one finding: no consequences are told beside it
ALONE: list[tuple[dict[str, str | bytes | None], str]] = [
    ({ADT: "inbound:\n"}, "inbound has no value"),
    ({ADT: CHANNELS + "  more:\n"}, "more has no value"),
    ({"environments/prod.yaml": "var: {a: b}\n"}, "did you mean vars?"),
    ({ADT: with_steps("- lookup: {path: PID-8, tabel: sex}")}, "did you mean table?"),
    ({ADT: with_steps("- choose:\n    - when: PID-8\n      step: []")}, "did you mean steps?"),
    (edit("127.0.0.1:6661", "${LIS}"), "no LIS"),
    (edit("from: his", "from: his\n    when: [PID-8]"), "should be a text"),
    (edit("    types", "   types"), "in the same column"),
    ({ADT: with_steps('- set:\n    PID-8: "\\d"')}, "use single quotes"),
    ({ADT: with_steps("- python: results.flag")}, "not module:function"),
    (edit('6661"}', '6661"}\n    on_timeout: {retry: ever}'), "write 10 or unlimited"),
    (edit('2575"}', '2575"}\n    ack: delivered_by'), "which delivery?"),
    (edit('2575"}', '2575"}\n    ack: {timeout: 5s}'), "go with delivered_by only"),
    ({ADT: with_steps("- lookup: {path: PID-8, table: t, miss: value}")}, "which value?"),
    ({ADT: with_steps("- each: {path: OBX, lead: [ORC]}\n  steps: []")}, "lead goes with group"),
    (
        edit('mllp: {connect: "127.0.0.1:6661"}', "file: {directory: x}\n    ack: any"),
        "nothing here",
    ),
]


@pytest.mark.parametrize(("changes", "text"), ALONE)
def test_a_mistake_is_told_once(changes: dict[str, str | bytes | None], text: str) -> None:
    """A mistake has one finding, not a row of consequences."""
    (finding,) = load(changes).findings
    assert text in str(finding)


@pytest.mark.parametrize(("code", "changes", "place", "text"), CASES)
def test_each_mistake_has_its_finding(
    code: str, changes: dict[str, str | bytes | None], place: str, text: str
) -> None:
    """Every mistake is found where it stands, with its own code and a remedy."""
    loaded = load(changes)
    found = [f for f in loaded.findings if str(f.mark) == place and text in str(f)]
    assert found, [str(finding) for finding in loaded.findings]
    if (code, text) != ("CFG-010", "given twice"):
        assert found[0].code == code


def test_the_good_site_has_no_finding() -> None:
    """The site all mistakes are made in is right without them."""
    loaded = load({})
    assert loaded.findings == []
    assert loaded.site is not None


def test_all_mistakes_of_a_site_are_found_at_once() -> None:
    """One wrong thing does not hide the others, in other files or the same."""
    text = CHANNELS.replace("types:", "typs:").replace("127.0.0.1:6661", "nowhere")
    loaded = load({"medbus.yaml": "site: a\ntimezon: UTC\n", ADT: text})
    assert [(str(f.mark), f.code) for f in loaded.findings] == [
        (f"{ADT}:6:21", "CFG-014"),
        (f"{ADT}:10:5", "CFG-002"),
        ("medbus.yaml:2:1", "CFG-002"),
    ]
    assert loaded.site is None


def test_an_unknown_environment_names_the_nearest() -> None:
    """--env with a typing error says which environments there are."""
    loaded = load({"environments/prod.yaml": "vars: {a: b}\n"}, env="prd")
    assert [finding.code for finding in loaded.findings] == ["CFG-029"]
    assert "did you mean prod?" in str(loaded.findings[0])


def test_an_override_of_nothing_is_refused() -> None:
    """An environment cannot bring channels of its own in by a typing error."""
    text = "overrides:\n  outbound:\n    lsi: {mllp: {insecure: true}}\n"
    loaded = load({"environments/prod.yaml": text}, env="prod")
    (finding,) = loaded.findings
    assert (finding.code, str(finding.mark)) == ("CFG-029", "environments/prod.yaml:3:5")
    assert "did you mean lis?" in str(finding)


def test_a_bomb_of_aliases_is_refused_quickly() -> None:
    """Aliases that multiply each other are refused without being multiplied."""
    levels = "".join(f"x-{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 20))
    loaded = load({"medbus.yaml": "x-0: &l0 [a]\n" + levels})
    assert {finding.code for finding in loaded.findings} >= {"CFG-004"}
    assert loaded.site is None
