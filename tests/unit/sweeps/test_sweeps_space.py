"""The space: what is refused, and that points are in bounds, repeatable and survive YAML."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.errors import ConfigError
from gimbal.experiment.yaml_reading import parse_yaml
from gimbal.experiment.yaml_writing import dump_yaml
from gimbal.sweeps import space
from gimbal.sweeps.space import Axis, draw, grid, name_of, read_axis

HERE = "question.yaml, line 7"


def axis(kind: str, *arguments: Any, key: str = "a.b") -> Axis:
    return read_axis(key, {kind: list(arguments)}, HERE)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        ("choice", ["a", None, 3, [1, 2]]),
        ("uniform", [-1, 1.5]),
        ("loguniform", [1e-5, 1]),
        ("quniform", [0.5, 2, 0.25]),
        ("qloguniform", [0.1, 10, 0.1]),
        ("randint", [-3, 3]),
        ("lograndint", [1, 1000]),
        ("qrandint", [0, 100, 10]),
        ("normal", [0, 2.5]),
    ],
)
def test_every_distribution_is_read_and_drawn(kind: str, arguments: list[Any]) -> None:
    read = axis(kind, *arguments)
    assert (read.kind, read.arguments) == (kind, tuple(arguments))
    assert len(draw([read], 5, seed=0)) == 5


@pytest.mark.parametrize(
    ("value", "message", "remedy"),
    [
        (3, "has no distribution", "a list of values"),
        ({}, "has no distribution", "a list of values"),
        ({"uniform": [0, 1], "choice": [1]}, "has no distribution", "a list of values"),
        ([], "needs a list that is not empty", "{choice: [a, b, …]}"),
        ({"choice": "ab"}, "needs a list", "{choice: [a, b, …]}"),
        ([1, 2, 1], "names a value twice", "choice"),
        ({"unifrom": [0, 1]}, "unknown distribution 'unifrom'", "did you mean uniform"),
        ({"uniform": [0]}, "takes 2 numbers, not 1", "{uniform: [low, high]}"),
        ({"uniform": [0, "1"]}, "takes numbers", "{uniform: [low, high]}"),
        ({"uniform": [0, True]}, "takes numbers", "{uniform: [low, high]}"),
        ({"uniform": [0, float("inf")]}, "takes numbers", "{uniform: [low, high]}"),
        ({"uniform": [2, 1]}, "needs low < high, not 2 and 1", "{uniform: [low, high]}"),
        ({"uniform": [1, 1]}, "needs low < high", "{uniform: [low, high]}"),
        ({"loguniform": [0, 1]}, "needs numbers above 0, not 0", "{loguniform: [low, high]}"),
        ({"randint": [0, 1.5]}, "takes whole numbers", "{randint: [low, high]}"),
        ({"lograndint": [0, 5]}, "needs numbers above 0", "{lograndint: [low, high]}"),
        ({"quniform": [0, 1]}, "takes 3 numbers, not 2", "{quniform: [low, high, step]}"),
        ({"quniform": [0, 1, 0]}, "needs a step above 0, not 0", "quniform"),
        ({"quniform": [0, 1, 2]}, "multiples of the step 2", "quniform"),
        ({"quniform": [0.1, 1, 0.25]}, "multiples of the step 0.25", "quniform"),
        ({"qrandint": [1, 10, 4]}, "multiples of the step 4", "qrandint"),
        ({"normal": [0, 0]}, "needs a deviation above 0", "{normal: [mean, deviation]}"),
    ],
)
def test_a_wrong_distribution_names_its_line_and_what_to_write(
    value: Any, message: str, remedy: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read_axis("train.lr", value, HERE)
    assert error.value.message.startswith(f"{HERE}: train.lr")
    assert message in error.value.message
    assert remedy in (error.value.remedy or "")


numbers = st.floats(-1e7, 1e7, allow_nan=False).map(lambda x: float(f"{x:.9g}"))
above_0 = st.floats(1e-9, 1e6, allow_nan=False).map(lambda x: float(f"{x:.9g}"))


@st.composite
def continuous(draw_: st.DrawFn) -> Axis:
    kind = draw_(st.sampled_from(["uniform", "loguniform"]))
    low, high = sorted(draw_(st.tuples(*[above_0 if kind == "loguniform" else numbers] * 2)))
    return axis(kind, low, high if high > low else low + abs(low) + 1)


@st.composite
def stepped(draw_: st.DrawFn) -> Axis:
    kind = draw_(st.sampled_from(["quniform", "qloguniform", "qrandint"]))
    low = draw_(st.integers(1, 50))
    high = draw_(st.integers(low + 1, 200))
    if kind == "qrandint":
        step: float = draw_(st.integers(1, 9))
        return axis(kind, int(low * step), int(high * step), step)
    step = draw_(st.sampled_from([0.1, 0.05, 0.3333333, 2.5, 1e-4, 0.7]))
    return axis(kind, low * step, high * step, step)


@st.composite
def whole(draw_: st.DrawFn) -> Axis:
    low = draw_(st.integers(1, 1000))
    kind = draw_(st.sampled_from(["randint", "lograndint"]))
    return axis(kind, low, draw_(st.integers(low + 1, 5000)))


any_axis = st.one_of(continuous(), stepped(), whole())


@settings(max_examples=150, deadline=None)
@given(any_axis, st.integers(0, 2**32 - 1))
def test_values_are_within_their_bounds_and_survive_yaml(drawn: Axis, seed: int) -> None:
    low, high = drawn.arguments[:2]
    for point in draw([drawn], 8, seed):
        value = point["a.b"]
        assert low <= value <= high
        if "randint" in drawn.kind:
            assert type(value) is int
        if drawn.kind in ("randint", "lograndint"):
            assert value < high
        if drawn.kind.startswith("q"):
            steps = value / drawn.arguments[2]
            assert abs(steps - round(steps)) < 1e-6
        assert parse_yaml(dump_yaml(point), "point").data == point


@settings(max_examples=40, deadline=None)
@given(
    st.lists(any_axis, min_size=1, max_size=3), st.integers(0, 9), st.integers(0, 9), st.integers(0)
)
def test_the_first_points_of_more_are_the_same_points(
    axes: list[Axis], few: int, more: int, seed: int
) -> None:
    named = [
        Axis(key=f"k{n}", kind=a.kind, arguments=a.arguments, where="") for n, a in enumerate(axes)
    ]
    assert draw(named, few + more, seed)[:few] == draw(named, few, seed)


def test_another_seed_draws_other_points() -> None:
    read = axis("uniform", 0, 1)
    assert draw([read], 5, seed=1) != draw([read], 5, seed=2)


def test_a_grid_is_the_product_with_the_last_axis_fastest() -> None:
    axes = [read_axis("a", [1, 2], HERE), read_axis("b", ["x", "y", None], HERE)]
    points = [tuple(point.values()) for point in grid(axes)]
    assert points == [(1, "x"), (1, "y"), (1, None), (2, "x"), (2, "y"), (2, None)]


def test_a_grid_refuses_an_axis_without_end_and_too_many_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ConfigError, match=f"{HERE}: a grid cannot go through a.b: uniform"):
        grid([axis("uniform", 0, 1)])
    monkeypatch.setattr(space, "MAX_POINTS", 5)
    with pytest.raises(ConfigError, match="the grid has 6 points"):
        grid([read_axis("a", [1, 2, 3], HERE), read_axis("b", [1, 2], HERE)])


def test_names_are_short_where_that_is_enough_and_whole_where_it_is_not() -> None:
    assert name_of({"model.t": 0.05, "train.lr": 0.002}, 1) == "t=0.05 lr=0.002 seed=1"
    assert name_of({"a.lr": 1, "b.lr": 2}) == "a.lr=1 b.lr=2"
    assert name_of({"a.x": 0.123456789, "a.kind": None}) == "x=0.1235 kind=None"


def test_a_name_of_huge_values_fits_into_a_config() -> None:
    """`sweep.trial` holds 500 characters at most."""
    name = name_of({f"part{n}.key{n}": "v" * 300 for n in range(40)}, seed=2**63 - 1)
    assert len(name) <= 500
    assert name.endswith("seed=9223372036854775807")
