"""Rates, ranges, and configs without their secrets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gimbal.api.limits import RateLimit, StreamCap
from gimbal.api.problems import ApiProblem
from gimbal.api.ranges import NotSatisfiable, requested
from gimbal.api.redacting import redacted
from gimbal.api.strict_json import BadJson, parse
from gimbal.testing.clock import ManualClock


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_one_gets_more_than_burst_and_rate(pauses: list[float]) -> None:
    clock = ManualClock()
    limit, passed = RateLimit(2.0, 5, clock.monotonic), 0
    for pause in pauses:
        clock.advance(pause)
        try:
            limit.take("ada")
            passed += 1
        except ApiProblem as problem:
            assert problem.status_code == 429
    assert passed <= 5 + 2.0 * clock.monotonic() + 1e-6


def test_what_retry_after_says_is_enough() -> None:
    clock = ManualClock()
    limit = RateLimit(0.4, 1, clock.monotonic)
    limit.take("ada")
    with pytest.raises(ApiProblem) as refused:
        limit.take("ada")
    clock.advance(float((refused.value.headers or {})["Retry-After"]))
    limit.take("ada")


def test_many_callers_take_no_more_memory_than_some() -> None:
    limit = RateLimit(1, 1, ManualClock().monotonic)
    for number in range(10_000):
        limit.take(f"192.0.2.{number}")
    assert len(limit._left) <= 4096


def test_streams_are_counted_for_each_user_and_in_all() -> None:
    cap = StreamCap(total=3, per_user=2)
    with cap.entered("ada"), cap.entered("ada"):
        with pytest.raises(ApiProblem), cap.entered("ada"):
            pass
        with cap.entered("bob"), pytest.raises(ApiProblem), cap.entered("cyd"):
            pass
    assert cap.open == 0


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-9", (0, 10)),
        ("bytes=5-", (5, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-1000", (0, 100)),
        ("bytes=90-500", (90, 100)),
        ("BYTES=99-99", (99, 100)),
        ("bytes=9-5", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("lines=0-9", None),
        ("bytes=" + "9" * 400 + "-", None),
    ],
)
def test_ranges(header: str | None, expected: tuple[int, int] | None) -> None:
    assert requested(header, 100) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=-0", 9), ("bytes=0-", 0)]
)
def test_a_range_with_nothing_in_it(header: str, size: int) -> None:
    with pytest.raises(NotSatisfiable):
        requested(header, size)


SECRET_KEYS = (
    *("password", "dbPassword", "HF_TOKEN", "tokens", "api-key", "apiKeys", "credentials"),
    *("AWS_ACCESS_KEY_ID", "private_key", "client_secret", "sshKey"),
)


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_keys_that_name_secrets_are_starred_out(key: str) -> None:
    assert redacted({key: "abc"}) == {key: "***"}
    assert redacted({key: {"value": ["abc"]}}) == {key: {"value": ["***"]}}


@pytest.mark.parametrize(
    "kept",
    [
        {"token_dim": 8},
        {"author": "ada"},
        {"keys": "abc"},
        {"monkey": "abc"},
        {"passes": "three"},
        {"key_points": "abc"},
        {"password": ""},
        {"password": None},
        {"url": "https://host/path?seed=3"},
    ],
)
def test_other_keys_are_not(kept: dict[str, Any]) -> None:
    assert redacted(kept) == kept


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:pa@ss@host/db", "postgresql://me:***@host/db"),
        ("https://:pw@host", "https://:***@host"),
        ("https://h/f?X-Amz-Signature=abc&a=1", "https://h/f?X-Amz-Signature=***&a=1"),
        ("https://h/f?access_token=abc", "https://h/f?access_token=***"),
    ],
)
def test_passwords_inside_addresses_are_starred_out(url: str, shown: str) -> None:
    assert redacted({"uri": url}) == {"uri": shown}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=20,
)


@given(JSON)
def test_sound_json_is_read_as_it_is(value: Any) -> None:
    import json

    assert parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=60) | st.text('[]{}:,"\\u0dD89eE+-. tnN', max_size=60).map(str.encode))
def test_anything_else_is_refused_and_nothing_breaks(raw: bytes) -> None:
    try:
        parse(raw)
    except BadJson as error:
        assert str(error)
