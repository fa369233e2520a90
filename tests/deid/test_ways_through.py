"""Ways in which an identifier of the original might get through: each was tried, none may."""

from __future__ import annotations

import base64

import pytest

from engine.config.models.profiles import Profile
from engine.deid.patterns import is_bank_card
from engine.deid.profiles import CompiledProfile, compile_profile
from tests.deid.canaries import HEADER, profile, run

LATIN = (
    "PID|1||8800123456^^^HOSP^MR||Rutherford^Jane^Quinn||19491231|F|||12 Quillfern Lane^^Boston^MA"
    "^02134^USA^H||(617)555-0188^PRN^PH^jane@x.org|||||ACC77881234|078-05-1120\n"
)
HAN = (
    "PID|1||8800123456^^^HOSP^MR||欧阳娜娜^^^^^^L^I~OUYANG^NANA^^^^^L^A||19491231|F|||"
    "北京市海淀区中关村大街27号^^北京^^100080||13800138000\n"
)
HEAD = HEADER.format("MSGCTRL99881") + "\n"


def _output(compiled: CompiledProfile, text: str) -> bytes:
    return run(compiled, text)[0].encode()


def _note(text: str) -> str:
    return f"NTE|1||{text}\n"


@pytest.mark.parametrize("name", ["china_pipl", "test_data"])
@pytest.mark.parametrize(
    ("pid", "text", "gone"),
    [
        (LATIN, "file rutherford1949.pdf, Jane%20Rutherford", "utherford"),
        (LATIN, "Mrs Rütherford and Jané", "therford"),
        (LATIN, "no 8800#123456, 8800*123*456, 88\\.br\\00123456", "88"),
        (LATIN, "٨٨٠٠١٢٣٤٥٦", "٨"),
        (LATIN, "born 31st of December 1949, 491231", "1949"),
        (LATIN, "lives at 12 Quillfern Ln", "Quillfern"),
        (LATIN.replace("Rutherford^", "O'Brien^"), "Mrs OBrien", "OBrien"),
        (LATIN.replace("Rutherford^", "Müller^"), "Mrs Muller, Frau Mueller", "ller"),
        (LATIN.replace("Rutherford^", "Strauß^"), "Mrs Strauss", "Straus"),
        (HAN, "欧阳\\.br\\娜娜来诊", "娜娜"),
        (HAN, "欧 阳 娜 娜，欧阳女士，娜娜说头痛", "娜娜"),
        (HAN, "ōuyáng nànà", "uy"),
        (HAN, "生于一九四九年十二月三十一日，49年12月31日", "年"),
        (HAN, "住中关村大街27号", "中关村"),
    ],
)  # fmt: skip
def test_no_spelling_survives_in_a_note(name: str, pid: str, text: str, gone: str) -> None:
    """What people write instead of the spelling of PID is taken out of the text too."""
    output = _output(profile(name), HEAD + pid + _note(text))
    note = output.decode().partition("NTE|")[2]
    assert gone not in note


@pytest.mark.parametrize("name", ["limited_dataset", "china_pipl", "test_data"])
@pytest.mark.parametrize(
    ("pid", "lines"),
    [
        (HAN, "NTE|1||患者欧阳娜\nNTE|2||娜来诊\n"),
        (LATIN, "NTE|1||number 8800\nNTE|2||123456 is hers\n"),
        (HAN, "OBX|1|TX|1^x^L||患者欧阳娜||||||F\nOBX|2|TX|1^x^L||娜来诊||||||F\n"),
    ],
)
def test_what_lies_over_several_lines_is_parked(name: str, pid: str, lines: str) -> None:
    """A name cut in two by the line length of a report stops the output."""
    _, _, leaks = run(profile(name), HEAD + pid + lines)
    assert [leak.inside for leak in leaks if leak.hard] == ["lines"]


@pytest.mark.parametrize("name", ["limited_dataset", "china_pipl", "safe_harbor"])
def test_an_account_number_in_the_zip_code_goes(name: str) -> None:
    """A place that keeps addresses keeps nothing else."""
    pid = LATIN.replace("^02134^", "^ACC77881234^")
    message, _, _ = run(profile(name), HEAD + pid)
    assert b"ACC77881234" not in message.encode()
    assert message.get("PID-11.4") == "MA"


@pytest.mark.parametrize("name", ["limited_dataset", "china_pipl", "test_data"])
@pytest.mark.parametrize(
    "hidden",
    [
        "%PDF-1.4 report on Jane Rutherford",
        "tel 617-555-0188, number 8800123456",
    ],
)
@pytest.mark.parametrize("where", ["NTE|1||{}\n", "OBX|1|FT|1^x^L||{}||||||F\n"])
def test_base64_is_parked(name: str, hidden: str, where: str) -> None:
    """What a text hides as base64 stops the output."""
    text = where.format(base64.b64encode(hidden.encode()).decode())
    _, _, leaks = run(profile(name), HEAD + LATIN + text)
    assert {leak.inside for leak in leaks if leak.hard} == {"base64"}


@pytest.mark.parametrize(
    "text",
    ["Name of next of kin", "Emergency contact", "Family name", "监护人"],
)
@pytest.mark.parametrize("name", ["safe_harbor", "limited_dataset", "china_pipl"])
def test_an_observation_that_is_a_name_goes(name: str, text: str) -> None:
    """OBX-3 says in words that the value names somebody the message names nowhere else."""
    output = _output(profile(name), HEAD + f"OBX|1|ST|X99^{text}^L||Somebody Else||||||F\n")
    assert b"Somebody" not in output


def _own(**keys: object):  # type: ignore[no-untyped-def]
    profiles = {"own": Profile.model_validate({"extends": "limited_dataset", **keys})}
    return compile_profile("own", profiles, key=lambda _: b"k" * 32)


@pytest.mark.parametrize("observation", ["X-77^Badge^L", "1^Colour of badge^L", "2^工卡颜色^L"])
def test_a_profile_may_name_observations(observation: str) -> None:
    """A code, words or Chinese words of OBX-3: their value is treated as the kind says."""
    own = {"X-77": "patient_name", "colour of badge": "patient_name", "工卡": "patient_name"}
    text = HEAD + f"OBX|1|ST|{observation}||Somebody Else||||||F\n"
    compiled, findings = _own(observations=own)
    assert findings == []
    output = _output(compiled, text)
    assert b"Somebody" not in output
    compiled, _ = _own()
    output = _output(compiled, text)
    assert b"Somebody" in output


def test_an_unknown_kind_of_observation_is_a_finding() -> None:
    """A mistyped kind is told, with the nearest one."""
    compiled, [finding] = _own(observations={"X-77": "patient_nam"})
    assert compiled is None
    assert (finding.code, finding.fix) == ("DEID-012", "did you mean patient_name?")


def test_named_unknown_segments_pass_and_are_searched() -> None:
    """segments: keep lets one Z-segment through; a name in it is a leak all the same."""
    compiled, _ = _own(segments={"keep": ["ZPI"]})
    message, _, leaks = run(compiled, HEAD + LATIN + "ZPI|1|blue\nZZZ|1|green\n")
    assert message.segment_names() == ["MSH", "PID", "ZPI"]
    assert leaks == []
    _, _, leaks = run(compiled, HEAD + LATIN + "ZPI|1|Rutherford\n")
    assert [(leak.path, leak.hard) for leak in leaks] == [("ZPI-2", True)]


def test_a_rule_for_a_component_does_not_undo_the_field_s() -> None:
    """Keeping the authority of a number does not keep the number, nor the ward's room."""
    compiled, _ = _own(fields={"PV1-19.4": "keep", "PV1-3.1": "keep"})
    message, _, _ = run(compiled, HEAD + "PV1|1|I|W1^101^A||||||||||||||||VN556677^^^HOSP^VN\n")
    assert message.get("PV1-19.4") == "HOSP"
    assert "VN556677" not in message.raw_text("PV1-19")
    assert message.raw_text("PV1-3") == "W1"


@pytest.mark.parametrize("text", ["2.16.840.1.114222.4.1.181960.2", "20220218153500"])
def test_an_oid_or_a_time_is_no_bank_card(text: str) -> None:
    """Digits that happen to end in a check digit stay, where no card has that form."""
    note = _note(f"see {text} there")
    output = _output(profile("limited_dataset"), HEAD + LATIN + note)
    assert text.encode() in output
    assert not is_bank_card("20220218153500")
    assert is_bank_card("4111111111111111")


@pytest.mark.parametrize("name", ["safe_harbor", "limited_dataset", "china_pipl", "test_data"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("^ADT_A01|", "^ADT_A01^Rutherford|"),
        ("|P|", "|P^Rutherford|"),
        ("|2.5.1\n", "|2.5.1^Rutherford\n"),
        ("|2.5.1\n", "|2.5.1||||||UNICODE UTF-8~Rutherford\n"),
        ("PID|1||8800123456", "SFT|Rutherford^L||x|Rutherford|\nPID|1||8800123456"),
        ("PID|1||8800123456", "PID|1|Rutherford|8800123456"),
    ],
)  # fmt: skip
def test_what_the_header_hides_does_not_leave(name: str, before: str, after: str) -> None:
    """A name in a field that controls how a message is read is taken out, or stops the output."""
    text = HEAD + LATIN
    assert before in text
    message, _, leaks = run(profile(name), text.replace(before, after, 1))
    assert b"utherford" not in message.encode() or any(leak.hard for leak in leaks)
