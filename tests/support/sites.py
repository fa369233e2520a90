"""Small sites in memory: a good one, and the same with one thing changed."""

from __future__ import annotations

from collections.abc import Mapping

ADT = (
    b"MSH|^~\\&|HIS|HOSP|ENGINE|HOSP|20261101083000||ADT^A01|M1|P|2.5\r"
    b"PID|1||77^^^H^MR||DOE^Ann||19800101|F\r"
)

CHANNELS = """\
inbound:
  his:
    mllp: {listen: "127.0.0.1:2575"}
outbound:
  lis:
    mllp: {connect: "127.0.0.1:6661"}
routes:
  adt_to_lis:
    from: his
    types: [ADT^A01]
    steps:
      - set: {MSH-5: LIS}
    to: lis
"""

GOOD: dict[str, str | bytes] = {
    "medbus.yaml": "site: demo\ntimezone: UTC\n",
    "channels/adt.yaml": CHANNELS,
    "sample_messages/adt.hl7": ADT,
}


def make_site(changes: Mapping[str, str | bytes | None] | None = None) -> dict[str, bytes]:
    """Return the files of the good site with *changes*; None takes a file away."""
    files = {**GOOD, **(changes or {})}
    return {
        name: content.encode() if isinstance(content, str) else content
        for name, content in files.items()
        if content is not None
    }


def with_steps(steps: str) -> str:
    """Return the good channels with these steps (lines of a list) in the route."""
    lines = "".join(f"      {line}\n" for line in steps.strip("\n").split("\n"))
    return CHANNELS.replace("      - set: {MSH-5: LIS}\n", lines)
