"""
Makes the tables of docs/deidentification.md and docs/deid-catalogue.md from the catalogue.

Run: python -m tests.deid.render, after the catalogue or a built-in profile changed.
"""

from __future__ import annotations

import re
from pathlib import Path

from engine.deid.catalogue import KINDS, catalogue
from engine.deid.identity import HOSPITAL_TYPES, INSURANCE_TYPES
from engine.deid.pseudonym_actions import STATE_TYPES
from engine.deid.rules import built_in, built_in_text
from tests.deid.canaries import PROFILES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "deidentification.md"
CATALOGUE_PAGE = DOCS / "deid-catalogue.md"
HEADING = ("| field | datatype | name | kind | why |", "|---|---|---|---|---|")
_PART = re.compile(r"(<!-- deid: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def kinds_table() -> str:
    """Return what each profile does with each kind of field."""
    lines = [
        "| kind | what it is | " + " | ".join(PROFILES) + " |",
        "|---" * (len(PROFILES) + 2) + "|",
    ]
    for kind, what in KINDS.items():
        if kind == "message_time":
            done = ["arrival"] * len(PROFILES)
        elif kind == "value":
            done = ["by type"] * len(PROFILES)
        else:
            done = [built_in(name).kinds[kind].action for name in PROFILES]
        lines.append(f"| {kind} | {what} | " + " | ".join(done) + " |")
    return "\n".join(lines) + "\n"


def types_table() -> str:
    """Return which identifier types (CX.5) are what."""
    rows = (
        ("patient_id", HOSPITAL_TYPES - {"", "ALT", "PRE", "AVN"}, "and no type at all"),
        ("insurance_id", INSURANCE_TYPES, ""),
        ("government_id", STATE_TYPES, "NN with a country (NNCHN), and whatever is a valid 身份证"),
    )
    lines = ["| kind | types |", "|---|---|"]
    for kind, types, also in rows:
        told = " ".join(sorted(types)) + (f"; {also}" if also else "")
        lines.append(f"| {kind} | {told} |")
    return "\n".join([*lines, "| emptied | every other type |", ""])


def safe_harbor_yaml() -> str:
    """Return a built-in profile as it is."""
    return f"```text\n{built_in_text('safe_harbor')}```\n"


def catalogue_page() -> str:
    """Return the page of all fields."""
    lines = [
        "# The de-identification catalogue",
        "",
        "Every field of every segment medbus knows, what kind it is, and why. Segments and fields",
        "that are not here are unknown and dropped. Made from engine/deid/catalogue.tsv by",
        "`python -m tests.deid.render`; a test keeps the two in step. What a profile does with",
        "each kind is in [De-identification](deidentification.md).",
        "",
    ]
    segment = ""
    for row in sorted(catalogue().values()):
        if row.segment != segment:
            segment = row.segment
            lines += ["", f"## {segment}", "", *HEADING]
        place = f"{row.segment}-{row.field}"
        lines.append(f"| {place} | {row.datatype} | {row.name} | {row.kind} | {row.reason} |")
    return "\n".join(lines) + "\n"


PARTS = {"kinds": kinds_table, "types": types_table, "safe_harbor": safe_harbor_yaml}


def rendered(page: str) -> str:
    """Return the page with its made parts as the program has them now."""
    return _PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[3], page)


def main() -> None:
    """Write both pages."""
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), "utf-8")
    CATALOGUE_PAGE.write_text(catalogue_page(), "utf-8")


if __name__ == "__main__":
    main()
