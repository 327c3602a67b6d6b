"""Comparing numbers: what is left out by its name, and that nothing else ever is."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.reproduction.numbers import comparable, differences, is_cost

LEFT_OUT = [
    *("wall_s", "cpu_s", "step_ms", "samples_per_s", "first_step_s", "decision_ms", "seconds"),
    *("size_bytes", "oracle_cpu_s_per_mesh", "peak_mib", "bytes", "time/step_ms"),
    *("workers", "resumed_from", "built_blocks", "world_size", "set_aside"),
]
COMPARED = [
    *("auc", "loss", "s", "ms", "min", "max", "lr", "views_to_90", "steps", "f_score", "min_auc"),
    *("loss/policy", "samples_seen", "rss", "bias", "us", "items", "rows", "regret"),
]

keys = st.text("abcxyz", min_size=1, max_size=4)
numbers = st.one_of(
    st.integers(-(10**9), 10**9), st.floats(allow_nan=False, allow_infinity=False), st.booleans()
)
trees = st.recursive(
    numbers,
    lambda below: st.one_of(st.lists(below, max_size=4), st.dictionaries(keys, below, max_size=4)),
    max_leaves=20,
)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_measures_the_machine_is_left_out_with_all_below_it(name: str) -> None:
    assert is_cost(name)
    assert comparable({"a": {name: {"policy": 1.0, "list": [2.0]}}, "b": 3}) == {"b": 3}


@pytest.mark.parametrize("name", COMPARED)
def test_everything_else_is_compared(name: str) -> None:
    assert not is_cost(name)
    assert comparable({name: 1.5}) == {name: 1.5}


@settings(max_examples=40, deadline=None)
@given(trees)
def test_a_run_agrees_with_itself(tree: Any) -> None:
    found = comparable({"root": tree})
    assert differences("stage", found, dict(found), rtol=0.0) == []


def count(tree: Any) -> int:
    if isinstance(tree, dict):
        return sum(map(count, tree.values()))
    return sum(map(count, tree)) if isinstance(tree, list) else 1


@settings(max_examples=40, deadline=None)
@given(trees)
def test_no_number_is_lost(tree: Any) -> None:
    assert len(comparable({"root": tree})) == count(tree)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, st.floats(-1e5, 1e5), min_size=1), st.data())
def test_one_changed_number_is_the_one_named(values: dict[str, float], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(values)))
    changed = {**values, key: values[key] + 1.0}
    (found,) = differences("stage", values, changed)
    assert (found.name, found.recorded, found.found) == (key, values[key], changed[key])
    (missing,) = differences("stage", values, {k: v for k, v in values.items() if k != key})
    assert (missing.name, missing.found, missing.relative) == (key, "absent", None)


@settings(max_examples=40, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(1e-9, 1e-3))
def test_the_tolerance_is_relative(value: float, rtol: float) -> None:
    inside, outside = value * (1 + rtol / 2), value * (1 + 3 * rtol)
    assert differences("s", {"x": value}, {"x": inside}, rtol) == []
    (found,) = differences("s", {"x": value}, {"x": outside}, rtol)
    assert found.relative is not None
    assert rtol < found.relative < 4 * rtol


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        (1, 1, True),
        (1, 2, False),
        (10**9, 10**9 + 1, False),  # whole numbers have no tolerance
        (1, 1.0, True),
        (True, True, True),
        (True, 1, False),
        (False, 0, False),
        (None, None, True),
        (None, 0.0, False),
        (0.0, -0.0, True),
        (0.0, 1e-300, False),
    ],
)
def test_kinds_of_numbers(one: Any, other: Any, agree: bool) -> None:
    assert (differences("s", {"x": one}, {"x": other}) == []) is agree
    assert (differences("s", {"x": other}, {"x": one}) == []) is agree


def test_numbers_that_are_not_finite_are_equal_to_themselves() -> None:
    found = comparable({"a": math.nan, "b": math.inf, "c": None})
    assert found == {"a": None, "b": None, "c": None}


def test_texts_are_not_compared() -> None:
    assert comparable({"path": "/tmp/x", "device": "cpu", "n": 1}) == {"n": 1}
