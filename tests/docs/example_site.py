"""The site that examples and mistakes of the documentation are put into."""

from __future__ import annotations

from engine.check.site import check_site
from engine.config.load import load_site

WRAPPER = """
inbound: {his: {mllp: {listen: "127.0.0.1:2901"}}}
outbound:
  lis: {mllp: {connect: "127.0.0.1:2902"}, order_by: PID-3.1}
  mpi: {mllp: {connect: "127.0.0.1:2903"}}
"""
ROUTE = """
routes:
  to_lis:
    from: his
    types: [ORU^R01]
    to: [lis, mpi]
    steps:
"""
FILES = {
    "medbus.yaml": b"site: docs\n",
    "transforms/tables/sex.csv": b"hl7,lis\nM,1\nF,2\n",
    "transforms/tables/codes.csv": b"loinc,his\n2345-7,GLU\n",
    "transforms/adt_to_lis.yaml": b"steps:\n  - clear: [PID-19]\n",
    "transforms/python/results.py": b"def flag_panic(message, context):\n    return message\n",
    "transforms/templates/vxu.j2": b"MSH|^~\\&|{{ MSH-3 }}|||||||{{ control_id }}|P|2.5.1\n",
    "transforms/tables/results.csv": b"loinc,specimen,his,name,valid_from,valid_to\n"
    b"2345-7,SER,GLU,Glucose,20260101,\n",
    "rules/laboratory.yaml": b"checks: {table: off}\n",
    "transforms/deid/research.yaml": b"extends: safe_harbor\nkey: research\n",
    "sample_messages/adt_a01.hl7": b"MSH|^~\\&|HIS|A|B|C|20261101||ADT^A01|1|P|2.5.1\rPID|1||1\r",
}


def errors_of(files: dict[str, bytes]) -> list[str]:
    """Return the errors `check` finds in a site given as files."""
    loaded = load_site(files, environ={}, env_name=None)
    return [str(finding) for finding in check_site(loaded) if finding.severity == "error"]


def site_with_steps(steps: str) -> dict[str, bytes]:
    """Return a site whose only route has these steps."""
    indented = "".join(f"      {line}\n" for line in steps.splitlines())
    return {**FILES, "channels/docs.yaml": (WRAPPER + ROUTE + indented).encode()}
