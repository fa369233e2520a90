# ruff: noqa: E501
"""
Makes docs/findings.md: what each code means, with a finding as `medbus check` prints it.

The examples are the bad files of the tests; renew the page with python -m tests.check.findings_page
"""

from __future__ import annotations

from pathlib import Path

from engine.check.outside import check_outside
from engine.check.site import check_site
from engine.config.load import load_site
from tests.check.test_bad_sites import CASES as SITE_CASES
from tests.config.test_bad_files import CASES as FILE_CASES
from tests.support.sites import CHANNELS, make_site, with_steps

PAGE = Path(__file__).parents[2] / "docs" / "findings.md"

#: code -> what it means and why it matters, for the analyst
MEANINGS = {
    "CFG-001": "The file cannot be read as YAML. Nothing else in this file is looked at until it can.",
    "CFG-002": "A key or step that does not exist. Keys are never ignored, so a typing error cannot switch something off.",
    "CFG-003": "The same key, or the same channel or route, is written twice. YAML alone would silently take the last.",
    "CFG-004": "An anchor, alias or tag of YAML. They are not used here; a value that begins with `&`, `*` or `!` is quoted.",
    "CFG-005": 'A key without a value, an empty list or an empty condition. An empty text is written as `""`.',
    "CFG-006": "A `#` or a block (`|`, `>`) takes the value away, or a block takes the next key with it.",
    "CFG-007": "The file is no UTF-8, larger than 1 MB, or nested deeper than 32 levels.",
    "CFG-008": "A key that is needed is missing.",
    "CFG-009": "A list where a text is wanted, a text where a mapping is wanted, and so on.",
    "CFG-010": "The value is not one of those that are allowed.",
    "CFG-011": "A duration without a unit, or no duration.",
    "CFG-012": "A size without a unit, or no size.",
    "CFG-013": "A rate that is none.",
    "CFG-014": "An address that is not HOST:PORT.",
    "CFG-015": "A network that is none: an address with a mask, or a single address.",
    "CFG-016": "A time zone nobody knows.",
    "CFG-018": "Two keys that do not go together, or a key that would do nothing here.",
    "CFG-019": "The key belongs to a later version. It is refused, because ignoring it would promise what does not happen.",
    "CFG-020": "An environment variable the site needs is not set, or `${` is not closed.",
    "CFG-021": "A `{{ vars.NAME }}` that neither medbus.yaml nor the environment's file gives.",
    "CFG-022": "A name that is hard to type or to say.",
    "CFG-023": "A name that is taken already, or reserved. Names of channels and routes are unique in the site.",
    "CFG-024": "A key ending in `_file` names a file that is not there.",
    "CFG-025": "A listener that the whole network can reach says neither who may connect nor asks for certificates.",
    "CFG-026": "Messages would travel readable beyond this machine.",
    "CFG-027": "Settings of a channel or route that contradict each other.",
    "CFG-028": "The folder is no site.",
    "CFG-029": "`--env` names an environment that does not exist, or its file overrides what does not exist.",
    "CFG-030": "A lookup table larger than 50 MB.",
    "CFG-031": "A table begins with a byte order mark, as some editors write it. It is read all the same.",
    "CFG-032": "A table that is not UTF-8.",
    "CFG-033": "A row has more or fewer values than the header, or quotes do not match.",
    "CFG-034": "The header row is missing, or has an empty, doubled or blank-padded name.",
    "CFG-035": "A file that looks like a part of the site, but ends otherwise or lies elsewhere, so that nothing reads it.",
    "CFG-101": "A channel or route is named that does not exist.",
    "CFG-105": "A de-identification profile is named that is neither the site's nor built in.",
    "CFG-107": "A Python function that cannot be called as a step.",
    "CFG-108": "A file is named that is not in the site.",
    "CFG-109": "A certificate or key is not where the channel looks for it.",
    "CFG-111": "An answer is awaited that cannot come, or prepared that nobody awaits.",
    "CFG-112": "`renamed_from` names something that still exists, or that another one was renamed from.",
    "CFG-113": "A character set nobody knows.",
    "CFG-114": "Dates that are shifted per patient, sent as messages arrive: the arrival time gives the shift away.",
    "CFG-115": "Two listeners want the same port.",
    "CFG-117": "Two tests have the same name.",
    "CFG-120": "A path without index on a segment that repeats: it means the first. Outside `each` that is seldom meant.",
    "CFG-121": "Nothing is ever sent to this channel.",
    "CFG-122": "Messages of this channel are acknowledged and go nowhere.",
    "CFG-123": "A table, list of steps or profile that nothing uses.",
    "CFG-125": "A route that no message can take.",
    "CFG-126": "A step that never runs.",
    "CFG-127": "A segment, a field, a part of a field or a kind of message that no version of HL7 has. Names that begin with Z, and segments of a sample message, are left alone.",
    "CFG-128": "A path without braces is text, and is written as it stands.",
    "CFG-130": "Two rows of a table have the same key, so one of them would never be found.",
    "CFG-131": "Two rows have the same key and are valid on the same day.",
    "CFG-132": "A date of a row is no date, or the row's end lies before its beginning.",
    "CFG-133": "A blank before or after a value, or an empty key. Values are compared exactly as they are written.",
}

_HEAD = """\
# Findings of `medbus check`

A finding is one line: `file:line:column CODE what; fix`. Errors keep a site from starting and make `check` exit with 1;
warnings (marked) do neither. A code always means the same. All codes of the engine, those of the language (`LNG-…`)
among them, are in [errors.md](errors.md).

This page is made from the tests: every example is a finding of a file that a test keeps wrong.
"""


def examples() -> dict[str, str]:
    """Return code -> one finding as it is printed."""
    shown: dict[str, str] = {}
    for code, changes, place, text in [*FILE_CASES, *SITE_CASES]:
        found = check_site(load_site(make_site(changes), environ={}))
        match = next((f for f in found if str(f.mark) == place and text in str(f)), None)
        if match is not None and match.code == code:
            shown.setdefault(code, str(match))
    shown |= _others()
    return dict(sorted(shown.items()))


def _others() -> dict[str, str]:
    """Return the findings that need more than a changed file."""
    files = make_site({"environments/prod.yaml": "vars: {a: b}\n"})
    missing = load_site(files, environ={}, env_name="prd").findings[0]
    text = CHANNELS.replace('2575"}', '2575", tls: {cert: tls/a.pem, key: tls/a.key}}')
    loaded = load_site(make_site({"channels/adt.yaml": text}), environ={})
    absent = loaded.located(check_outside(loaded.partial, lambda path: False))[0]
    never = check_site(
        load_site(
            make_site({"channels/adt.yaml": with_steps("- set: {PID-8: M}\n  when: 'false'")}),
            environ={},
        )
    )
    told = {"CFG-029": missing, "CFG-109": absent}
    told |= {finding.code: finding for finding in never if finding.code == "CFG-126"}
    return {code: str(finding) for code, finding in told.items()}


def render_page() -> str:
    """Return the page."""
    shown = examples()
    rows = [
        f"\n## {code}\n\n{MEANINGS[code]}\n\n```\n{shown[code]}\n```\n" for code in sorted(MEANINGS)
    ]
    return _HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(render_page(), "utf-8")
