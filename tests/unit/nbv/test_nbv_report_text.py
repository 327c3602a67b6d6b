"""Numbers on the page: precision, true minus, and a dash for what nobody measured."""

import math

import pytest

from gimbal_nbv.report import text


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [(0.81449, 3, "0.814"), (-0.5, 1, "−0.5"), (-0.0001, 2, "0.00"), (None, 2, "–"),
     (math.nan, 2, "–"), (math.inf, 1, "–"), ("3", 1, "–"), (True, 1, "–")],
)  # fmt: skip
def test_number(value: object, digits: int, expected: str) -> None:
    assert text.number(value, digits) == expected


def test_percent_and_interval() -> None:
    assert text.percent(0.584) == "58\u202f%"
    assert text.percent(-0.021, 1, sign=True) == "−2.1\u202f%"
    assert text.interval([0.51, 0.649], digits=0, share=True) == "[51,\u00a065]"
    assert text.interval(None) == text.interval([0.1, math.nan]) == text.interval([1]) == ""


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3e-5, "30\u202fµs"), (0.0113, "11.3\u202fms"), (47, "47\u202fs"),
     (605, "10\u202fmin 5\u202fs"), (9000, "2\u202fh 30\u202fmin"), (None, "–")],
)  # fmt: skip
def test_duration_picks_its_unit(seconds: object, expected: str) -> None:
    assert text.duration(seconds) == expected


def test_compact_keeps_identities_and_shortens_measurements() -> None:
    assert text.compact(64) == "64"
    assert text.compact(0.123456) == "0.1235"
    assert text.compact("sphere-v1") == "sphere-v1"
    assert text.compact(12345.0) == "12\u202f345"
