"""The validator against the corpus: steady, safe to log, and quick."""

from __future__ import annotations

from collections import Counter
from time import perf_counter

from engine.hl7.batch import split_messages
from engine.hl7.message import Message
from engine.pipeline.validation import compile_validator


def test_every_message_is_judged_without_failing(corpus):
    """Other people's messages give findings, never an exception, and never a value."""
    validator, _ = compile_validator()
    clean = 0
    rules: Counter[str] = Counter()
    for file in corpus.values():
        for raw in split_messages(file):
            message = Message.parse(raw)
            violations = validator.validate(message)
            assert message.encode() == raw
            clean += not violations
            rules.update(violation.rule for violation in violations)
    assert set(rules) == {"structure", "required", "repetition", "length", "datatype", "table"}
    assert clean >= 40


def test_known_mistakes_of_the_corpus_are_found(corpus):
    """Mistakes that were verified by hand in the corpus are among the findings."""
    validator, _ = compile_validator()
    violations = validator.validate(Message.parse(corpus["088_ORU_R01_python-hl7.hl7"]))
    assert "OBR structure" in [f"{one.path} {one.rule}" for one in violations]
    violations = validator.validate(Message.parse(corpus["080_ADT_A01_simhospital.hl7"]))
    assert [one.path for one in violations] == ["EVN-5", "PID-22"]


def test_validating_an_adt_stays_within_its_budget(corpus):
    """A typical ADT is judged in well under a millisecond (budget 50 µs on a quiet machine)."""
    validator, _ = compile_validator()
    raw = corpus["080_ADT_A01_simhospital.hl7"]
    best = 1.0
    for _ in range(50):
        started = perf_counter()
        validator.validate(Message.parse(raw))
        best = min(best, perf_counter() - started)
    assert best < 300e-6
