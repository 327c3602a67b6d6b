"""Text from strangers cannot move a cursor, colour a line or hide what follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gimbal.api.text import (
    CONTEXT_BYTES,
    MAX_LINE,
    blanked,
    cleaned,
    cleaned_lines,
    cleaned_plain,
)

HOSTILE = {
    "colour": "a\x1b[31mred\x1b[0m",
    "clear screen": "\x1b[2J\x1b[Hx",
    "title": "\x1b]0;gone\x07x",
    "title, other end": "\x1b]0;gone\x1b\\x",
    "hyperlink": "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "reset": "\x1bcx",
    "unfinished": "\x1b[12;",
    "8-bit": "\x9b31mx\x85",
    "bell, backspace": "pass\x07\x08\x08word",
    "bidi": "abc\u202edcba\u2066x",
    "NUL, DEL": "a\0b\x7f",
    "lone surrogate": "a\ud800b",
}


def is_harmless(text: str) -> bool:
    return not any(
        ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u200e\u200f\u202a\u202e\u2066" for c in text
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_control_sequences_are_dropped_from_words(text: str) -> None:
    assert is_harmless(cleaned(text))


def test_the_words_themselves_stay() -> None:
    assert cleaned(HOSTILE["colour"]) == "ared"
    assert cleaned("größer → 3 µm, 日本") == "größer → 3 µm, 日本"
    assert cleaned("one\ntwo\tthree") == "one two three"
    assert cleaned("x" * 9, 5) == "xxxx…"


@given(st.text())
def test_any_text_becomes_one_harmless_line(text: str) -> None:
    assert is_harmless(cleaned(text))


@given(st.binary())
def test_any_bytes_become_harmless_lines(raw: bytes) -> None:
    for line in cleaned_lines(raw):
        assert is_harmless(line)
        line.encode()


def test_lines_end_at_every_kind_of_line_end() -> None:
    assert cleaned_lines(b"a\nb\r\nc\r50%\r100%\n") == ["a", "b", "c", "50%", "100%"]
    assert cleaned_lines(b"\n\n") == ["", ""]


def test_a_line_cannot_pretend_to_be_two() -> None:
    """What was one line for who wrote the log is one for who reads it."""
    (line,) = cleaned_lines("ok\x0b\x0c\x1c\x85\u2028FAKE: all is well\n".encode())
    assert line.startswith("ok")


def test_a_very_long_line_is_cut() -> None:
    (line,) = cleaned_lines(b"x" * 100_000)
    assert len(line) == MAX_LINE


@given(st.binary(max_size=200), st.integers(0, 200), st.integers(0, 200))
def test_ranges_keep_their_length(raw: bytes, start: int, end: int) -> None:
    shown = blanked(raw, start, end)
    assert len(shown) == len(raw[start:end])
    assert not set(shown) & (set(range(9)) | set(range(11, 32)) | {127})


@given(
    st.lists(st.sampled_from([*HOSTILE.values(), "ä", "plain text\n", "日本\r\n"]), max_size=30),
    st.integers(1, 50),
)
def test_pieces_join_to_what_the_whole_would_be(words: list[str], size: int) -> None:
    raw = "".join(words).encode("utf-8", errors="replace")
    whole = blanked(raw, 0, len(raw))
    joined = b""
    for first in range(0, len(raw), size):
        last, before = min(first + size, len(raw)), max(first - CONTEXT_BYTES, 0)
        window = raw[before : last + CONTEXT_BYTES]
        joined += blanked(window, first - before, last - before)
    assert len(joined) == len(raw) == len(whole)
    assert is_harmless(joined.decode("utf-8", errors="replace").replace("\n", "").replace("\t", ""))


def test_plain_data_has_only_what_json_has() -> None:
    hostile = {"a\x1b[1m": [float("nan"), float("-inf"), 1.5, "x\0"], "b": None, "c": True}
    assert cleaned_plain(hostile) == {"a": ["nan", "-inf", 1.5, "x"], "b": None, "c": True}
