"""Cursors: what is written is read back, and nothing else is taken for one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gimbal.jobs.cursor import filters_mark, read_cursor, write_cursor
from gimbal.jobs.store_errors import BadQuery

times = st.datetimes(timezones=st.just(UTC))


@given(at=times, seq=st.integers(0, 2**63 - 1))
@example(at=datetime(1, 1, 1, tzinfo=UTC), seq=0)
def test_a_position_survives(at: datetime, seq: int) -> None:
    assert read_cursor(write_cursor((at, seq), "m"), "m") == (at, seq)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.hex()))
@example("")
@example("é")
@example("e30")
@example("W10")
@example("WzFlMzAwLDEsIngiXQ")
@example("WzEsMTAwMDAwMDAwMDAwMDAwMDAwMDAwLCJ4Il0")
@example("WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwLDEsIngiXQ")
@example("W" * 5_000)
@example("W1tbW1tbW1tbW1tbW1tbW1tb" * 8)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(BadQuery, match="cursor"):
        read_cursor(text, "x")


def test_filters_have_marks_of_their_own() -> None:
    assert filters_mark(["A"], None) != filters_mark([], "A")
    assert filters_mark("\ud800")
