"""Real sample messages through every profile: no leak, still readable, few alarms."""

from __future__ import annotations

import hl7
import pytest

from benchmarks.deid_false_alarms import measure, messages_of
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from tests.corpus.conftest import corpus, corpus_folder  # noqa: F401
from tests.deid.canaries import PROFILES, profile, run


@pytest.mark.parametrize("name", PROFILES)
def test_no_message_of_the_corpus_leaks_and_all_stay_readable(
    name: str,
    corpus: dict[str, bytes],  # noqa: F811
) -> None:
    """Every sample message passes the leak check, and another library reads the result."""
    compiled = profile(name)
    count = 0
    for file, raw in sorted(corpus.items()):
        for one in messages_of(raw):
            try:
                Message.parse(one)
            except Hl7Error:
                continue
            message, _, leaks = run(compiled, one)
            assert [leak for leak in leaks if leak.hard] == [], file
            output = message.encode()
            again = Message.parse(output)
            assert again.segment_names() == message.segment_names()
            text = output.decode(message.charset)
            text = text.replace("\n", "") if "\r" in text else text.replace("\n", "\r")
            if message.delimiters.escape:
                second = hl7.parse(text.strip("\r") + "\r")
                names = [str(segment[0]).upper() for segment in second if str(segment)]
                assert names == [name for name in message.segment_names() if name], file
            count += 1
    assert count > 120


def test_the_leak_check_cries_wolf_less_than_once_in_a_hundred(
    corpus: dict[str, bytes],  # noqa: F811
) -> None:
    """Identifiers of one message are almost never found in the output of an unrelated one."""
    rate = measure([one for raw in corpus.values() for one in messages_of(raw)], pairs=400)
    assert rate.hard / rate.checked < 0.05
