"""Paths are read as people write them; what is no path is refused with a way out."""

from __future__ import annotations

import pytest

from engine.hl7.errors import PathError
from engine.hl7.path import (
    ALL,
    APPEND,
    FIRST,
    LAST,
    Index,
    Path,
    Where,
    parse_field_path,
    parse_path,
)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("PID", Path("PID")),
        ("PID-5", Path("PID", field=5)),
        ("PID-5.1", Path("PID", field=5, component=1)),
        ("PID-3.4.2", Path("PID", field=3, component=4, subcomponent=2)),
        ("PID-3[2].1", Path("PID", FIRST, 3, Index(2), 1)),
        ("PID-3[*].1", Path("PID", FIRST, 3, ALL, 1)),
        ("PID-3[-1]", Path("PID", FIRST, 3, LAST)),
        ("PID-3[+]", Path("PID", FIRST, 3, APPEND)),
        ("PID-3[5='MR'].1", Path("PID", FIRST, 3, Where("5", "MR"), 1)),
        ("PID-3[4.1='HOSP'].1", Path("PID", FIRST, 3, Where("4.1", "HOSP"), 1)),
        ("OBX[3]-5", Path("OBX", Index(3), 5)),
        ("OBX[3.1='8480-6']-5", Path("OBX", Where("3.1", "8480-6"), 5)),
        ("OBX[*]-5[2].1", Path("OBX", ALL, 5, Index(2), 1)),
        ("NTE[+]-3", Path("NTE", APPEND, 3)),
        ("ZP1-2", Path("ZP1", field=2)),
    ],
)
def test_every_form_is_read_and_written_back(text, path):
    """All selector forms mean what they say, and str() gives the same path again."""
    assert parse_path(text) == path
    assert str(path) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("PID-3[5='O''Brien']", "O'Brien"),
        ('PID-3[5="MR"]', "MR"),
        ("PID-3[ 5 == 'a]b' ]", "a]b"),
        ("PID-3[5='']", ""),
    ],
)
def test_selector_values_are_quoted_text(text, value):
    """A value may hold quotes, brackets or nothing."""
    path = parse_path(text)
    assert isinstance(path.repetition, Where)
    assert path.repetition.value == value
    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("PID.5.1", "did you mean PID-5.1?"),
        ("pid-5", "did you mean PID-5?"),
        ("PID 5", "did you mean PID-5?"),
        ("PID-5-1", "did you mean PID-5.1?"),
        ("PID-3(2)", "did you mean PID-3[2]?"),
        ("PID-0", "count from 1"),
        ("PID-3[0]", "write [1] and up, or [-1]"),
        ("PID-3[-2]", "write [1] and up, or [-1]"),
        ("PID-3[5=MR]", "write a path as"),
        ("PID-3[1.2.3='x']", "write a path as"),
        ("PID-5.1.2.3", "write a path as"),
        ("", "write a path as"),
        ("PID-3[99999999999]", "up to"),
        ("PID-99999", "up to"),
    ],
)
def test_what_is_no_path_is_refused_with_a_way_out(text, fix):
    """Near misses are answered with the right spelling, others with how paths are written."""
    with pytest.raises(PathError) as caught:
        parse_path(text)
    assert fix in caught.value.fix
    assert caught.value.code == "HL7-020"


def test_paths_inside_a_segment():
    """Relative to a segment the name may be left out."""
    assert parse_field_path("5[2].1") == Path("", FIRST, 5, Index(2), 1)
    assert parse_field_path("OBX-5") == parse_path("OBX-5")
    assert str(parse_field_path("5[2].1")) == "5[2].1"


def test_places_are_made_concrete():
    """A loop points a path at its own repetition or segment."""
    path = parse_path("PID-3.1")
    assert str(path.in_repetition(2)) == "PID-3[2].1"
    assert str(path.in_segment(3)) == "PID[3]-3.1"
    assert parse_path("OBX[*]-5").has_all
    assert not path.has_all
