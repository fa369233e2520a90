"""The site that `medbus init` writes: small, commented, passing check and test."""

from __future__ import annotations

_MEDBUS = """\
# The site. Everything else lies beside this file: channels/, transforms/, sample_messages/.
site: {name}
data: ${{MEDBUS_DATA:-data}}        # where messages are stored; not in git
timezone: UTC                     # your own, such as Europe/Berlin or Asia/Shanghai
# http: {{listen: 127.0.0.1:8080}}  # /metrics and /health
retention: {{bodies: 30d, metadata: 365d, audit: 400d}}
"""

_PROD = """\
# What differs in production; chosen with --env prod or MEDBUS_ENV=prod.
# Files of environments hold vars, and overrides of what the channels say.
overrides:
  log: {format: json}
"""

_CHANNELS = """\
# Where messages come in.
inbound:
  his_adt:
    about: {owner: Interface team, phone: "1234"}    # shown with every alarm
    mllp: {listen: 127.0.0.1:2575}

# Where they go. A receiver that is down loses nothing: its deliveries wait, in order.
outbound:
  lis:
    mllp: {connect: 127.0.0.1:6661, timeout: 30s}
    order_by: ["PID-3[5='MR'].1"]                    # in order per patient ...
    lanes: 4                                         # ... and four patients at once
  archive:
    file: {directory: out/archive, name: "{{ delivery_id }}.hl7"}

# Every route that matches runs, each on its own copy of the message.
routes:
  adt_to_lis:
    from: his_adt
    types: [ADT^A01, ADT^A04, ADT^A08]
    when: PV1-2 in ['I', 'E']                        # inpatients and emergencies
    steps:
      - apply: adt_for_lis                           # transforms/adt_for_lis.yaml
      - set: {MSH-5: LIS, MSH-6: LAB}
    to: lis

  adt_to_archive:
    from: his_adt
    to: archive
"""

_TESTS = """\
# Run with: medbus test
tests:
  - name: an inpatient admission reaches the LIS in the LIS's own terms
    send: {file: sample_messages/adt_a01.hl7, to: his_adt}
    expect:
      ack: AA
      routes: {adt_to_lis: queued, adt_to_archive: queued}
      lis: {MSH-5: LIS, PID-5.1: HARBOUR, PID-8: "2", PID-19: "", NK1: absent}
      archive: {only_changes: {}}                    # as it came

  - name: an outpatient is not for the LIS
    send:
      to: his_adt
      inline: |
        MSH|^~\\&|HIS|HOSP|MEDBUS|HOSP|20261101083000||ADT^A04|M2|P|2.5
        PID|1||77^^^HOSP^MR||Stone^Ida||19840512|F
        PV1|1|O
    expect:
      routes: {adt_to_lis: filtered, adt_to_archive: queued}
      lis: absent
"""

_STEPS = """\
# A list of steps that routes use with `- apply: adt_for_lis`.
steps:
  - set: {PID-5.1: "{{ PID-5.1 | upper }}"}
  - lookup: {path: PID-8, table: sex, column: lis, miss: {value: "9"}}
  - clear: [PID-19]                                  # the LIS need not know it
  - keep_segments: [MSH, EVN, PID, PV1, AL1]
"""

_SEX = """\
hl7,lis,text
M,1,Male
F,2,Female
"""

_MESSAGE = (
    "MSH|^~\\&|HIS|HOSP|MEDBUS|HOSP|20261101083000||ADT^A01^ADT_A01|M1|P|2.5\r"
    "EVN|A01|20261101082955\r"
    "PID|1||76^^^HOSP^MR||Harbour^Nell||19790214|F|||||||||||999-00-1234\r"
    "NK1|1|Harbour^Tom|SPO\r"
    "PV1|1|I|W1^101^A\r"
)

_GITIGNORE = "data/\nout/\n"


def starter_files(name: str) -> dict[str, bytes]:
    """Return path -> content of a new site with that name."""
    texts = {
        "medbus.yaml": _MEDBUS.format(name=name),
        "environments/prod.yaml": _PROD,
        "channels/adt.yaml": _CHANNELS,
        "channels/adt_test.yaml": _TESTS,
        "transforms/adt_for_lis.yaml": _STEPS,
        "transforms/tables/sex.csv": _SEX,
        "sample_messages/adt_a01.hl7": _MESSAGE,
        ".gitignore": _GITIGNORE,
        ".gitattributes": "*.hl7 -text\n",
    }
    return {path: text.encode() for path, text in texts.items()}
