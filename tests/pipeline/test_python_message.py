"""What a Python step sees, as the code of a site would use it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from engine.pipeline.python_message import PythonMessage, run_python_step
from tests.support.pipelines import ADT, ORU, message


def seen(text: str = ORU, **how: Any) -> PythonMessage:
    """Return a message as a step sees it."""
    return PythonMessage(message(text, **how))


def step(source: str, text: str | bytes = ADT, **context: Any) -> tuple[bytes, Any]:
    """Run ``def f`` of this source on a message."""
    body = text.encode() if isinstance(text, str) else text
    return run_python_step("m", "f", body, context, {"m": source})


def test_reading_is_text_by_path() -> None:
    """Absent reads as empty, escapes are resolved, null stays visible."""
    shown = seen(ORU.replace("fine", "a\\T\\b").replace("|mmol", '|""|mmol'))
    assert shown["PID-5.1"] == "doe"
    assert shown["PID-99"] == ""
    assert shown["OBX[2]-5"] == "a&b"
    assert shown.get_all("OBX[*]-1") == ["1", "2", "1"]
    assert shown["OBX[3]-6"] == '""'
    assert ("NTE" in shown, "NK1" in shown, "PID-5.2" in shown) == (True, False, True)
    assert [segment.name for segment in shown][:3] == ["MSH", "PID", "NTE"]


def test_numbers_are_decimals_or_nothing() -> None:
    """A comparator or a text is no number."""
    assert seen().number("OBX-5") == Decimal("13.2")
    assert seen().number("OBX[2]-5") is None
    assert seen().number("OBX[3]-5") is None
    assert seen().segments("OBX")[0].number("OBX-5") == Decimal("13.2")


def test_segments_take_paths_with_and_without_their_name() -> None:
    """obx["OBX-3.1"], obx["3.1"] and obx[3] are one place."""
    obx = seen().segments("OBX")[0]
    assert (obx["OBX-3.1"], obx["3.1"], obx[2]) == ("718-7", "718-7", "NM")
    obx["OBX-8"] = "H^L"
    assert obx.hl7(8) == "H\\S\\L"
    obx.set_hl7("8", "H^L")
    assert obx.hl7("8") == "H^L"
    obx[8] = None
    assert obx[8] == ""


def test_writing_is_text_and_makes_what_is_missing() -> None:
    """Text, whole numbers and Decimals; None and "" empty, and nothing appears for them."""
    shown = seen(ADT)
    shown["PID-9.1"] = Decimal("1E+2")
    shown["PID-10"] = 5
    shown["NK1-2"] = ""
    shown["PID-8"] = None
    shown["PV2-3"] = "x|y"
    lines = shown.encode().decode().split("\r")
    assert lines[2].endswith("|19900307081500||100|5")
    assert "PV2|||x\\F\\y" in lines
    assert not any(line.startswith("NK1") for line in lines)
    for wrong in (1.5, True, ["x"]):
        with pytest.raises(TypeError):
            shown["PID-9"] = wrong


def test_groups_segments_and_structure() -> None:
    """Groups, added and removed segments."""
    shown = seen()
    groups = shown.groups("OBR", lead=["ORC"])
    assert [group["ORC-2"] for group in groups] == ["O1", "O2"]
    groups[1]["OBR-9"] = "9"
    assert shown["OBR[2]-9"] == "9"
    assert len(groups[0].segments("OBX")) == 2
    added = shown.add_segment("NTE", {3: "new"}, after=shown.segments("OBX")[1])
    assert added["NTE-3"] == "new"
    shown.remove(shown.segments("OBX")[0])
    shown.drop_segments("ZDS")
    names = [segment.name for segment in shown.segments()]
    assert names == [
        "MSH",
        "PID",
        "NTE",
        "ORC",
        "OBR",
        "NTE",
        "NTE",
        "OBX",
        "NTE",
        "ORC",
        "OBR",
        "OBX",
    ]


def test_python_hl7_is_there_for_those_who_know_it() -> None:
    """The same message in the other library's type."""
    other = seen(ADT).as_python_hl7()
    assert str(other.segment("PID")[5][0][0]) == "doe"


def test_the_context_has_the_values_of_the_run_and_tables_and_a_log() -> None:
    """What expressions may use, Python may use too."""
    source = (
        "def f(message, context):\n"
        "    context.log(context.message_id + context.vars['X'] + context.variables['v'])\n"
        "    missing = context.lookup('t', 'b', '1', default='?')\n"
        "    message['PID-9.1'] = missing + context.lookup('t', 'b', 'k')\n"
        "    return message\n"
    )
    sources = {"m": source, "tables/t.json": '{"columns": ["a", "b"], "rows": [["k", "v"]]}'}
    context = {"message_id": "M", "vars": {"X": "x"}, "variables": {"v": "y"}}
    body, log = run_python_step("m", "f", ADT.encode(), context, sources)
    assert b"|M|?v" in body
    assert list(log) == ["Mxy"]
    for wrong in ("context.lookup('u', 'b', 'k')", "context.lookup('t', 'c', 'k')",
                  "context.lookup('t', 'b', 'x')"):  # fmt: skip
        failing = {**sources, "m": f"def f(message, context):\n    {wrong}\n"}
        with pytest.raises(KeyError):
            run_python_step("m", "f", ADT.encode(), {}, failing)


def test_modules_of_a_site_import_each_other_and_run_once_per_configuration() -> None:
    """A new configuration brings its own sources; nothing of the old one is left."""
    first = {
        "m": "import shared_m\ndef f(message, context):\n    shared_m.seen.append(1)\n"
             "    message['PID-9.1'] = shared_m.word + str(len(shared_m.seen))\n"
             "    return message\n",
        "shared_m": "word = 'one'\nseen = []\n",
    }  # fmt: skip
    second = {**first, "shared_m": "word = 'two'\nseen = []\n"}
    done = [run_python_step("m", "f", ADT.encode(), {}, sources)[0]
            for sources in (first, first, second)]  # fmt: skip
    assert [body.split(b"\r")[2].split(b"|")[9] for body in done] == [b"one1", b"one2", b"two1"]


def test_errors_carry_the_line_of_the_sites_own_file() -> None:
    """The worker can name file and line, also behind an import."""
    with pytest.raises(ZeroDivisionError) as caught:
        step("def f(message, context):\n    return 1 / 0\n")
    last = caught.traceback[-1]
    assert (str(last.frame.code.path), last.lineno + 1) == ("transforms/python/m.py", 2)


def test_the_encoding_of_the_run_is_the_encoding_of_the_step() -> None:
    """A channel's default or forced encoding holds in the worker."""
    text = ADT.replace("doe", "葉東").encode("gb18030")
    source = (
        "def f(message, context):\n    message['PID-9.1'] = message['PID-5.1'][:1]\n"
        "    return message\n"
    )
    body, _ = step(source, text, charset="gb18030")
    assert body.split(b"\r")[2].endswith("|M|葉".encode("gb18030"))


def test_what_is_no_message_is_refused() -> None:
    """A step must give the message back."""
    with pytest.raises(TypeError, match="must return the message"):
        step("def f(message, context):\n    return 'text'\n")
