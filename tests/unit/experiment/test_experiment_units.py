"""Sizes and durations as people type and read them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ByteSize, TypeAdapter

from gimbal.errors import ConfigError
from gimbal.experiment.units import in_bytes, in_duration, parse_duration, parse_memory


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2h30m", 9000.0),
        ("90s", 90.0),
        (" 1.5 H ", 5400.0),
        ("1 d 6 h", 108_000.0),
        ("250ms", 0.25),
        ("5min", 300.0),
        ("0s", 0.0),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text",
    ["", " ", "2", "h", "2x", "-1h", "1h,30m", "2h30", "1e3s", "nan s", "9" * 15 + "w", "1 y"],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="not a duration") as caught:
        parse_duration(text)
    assert "2h30m" in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    ["10GiB", "10 gib", "1.5GiB", "512MiB", "24GB", "24G", "24 g", "7KB", "1048576", "3b", "2tib"],
)
def test_memory_means_on_the_command_line_what_it_means_in_a_config(text: str) -> None:
    assert parse_memory(text) == TypeAdapter(ByteSize).validate_python(text)


@pytest.mark.parametrize(
    "text", ["", "GiB", "10Gi", "10 GiBs", "-1GiB", "ten GiB", "1e9", "9" * 15 + "PB"]
)
def test_what_is_no_memory_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError, match="memory") as caught:
        parse_memory(text)
    assert "10GiB" in caught.value.remedy


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (15_032_385_536, "14.0 GiB"),
        (512 * 2**20, "512 MiB"),
        (3 * 2**10, "3 KiB"),
        (17, "17 bytes"),
        (1, "1 byte"),
        (0, "0 bytes"),
        (3 * 2**40, "3.0 TiB"),
    ],
)
def test_sizes_are_worded(count: int, words: str) -> None:
    assert in_bytes(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (3725, "1 h 2 min"),
        (45.4, "45 s"),
        (320, "5 min 20 s"),
        (7200, "2 h"),
        (86_400 * 2 + 59, "2 d"),
        (0.2, "0 s"),
        (-7, "0 s"),
        (float("nan"), "?"),
        (float("inf"), "?"),
        (59.7, "1 min"),
    ],
)
def test_durations_are_worded(seconds: float, words: str) -> None:
    assert in_duration(seconds) == words


@given(st.integers(0, 10**9))
def test_a_worded_duration_is_read_back_to_within_its_smaller_unit(seconds: int) -> None:
    again = parse_duration(in_duration(seconds))
    assert seconds - max(60, 0.05 * seconds) <= again <= seconds


@given(st.text(max_size=30))
def test_any_other_text_is_refused_and_nothing_else(text: str) -> None:
    for parse in (parse_duration, parse_memory):
        try:
            assert parse(text) >= 0
        except ConfigError as error:
            assert error.remedy


def test_nothing_heavy_comes_with_it() -> None:
    code = "import sys, gimbal.experiment.units; print('pydantic' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
