"""Rows become Arrow batches that hold exactly what was given, or are refused."""

from __future__ import annotations

import numpy as np
import pytest
from data_toys import ToyStage, toy_row

from gimbal.data.arrow import view
from gimbal.data.batches import BatchBuilder, RowError
from gimbal.data.schema import BlockSchema, Column


def one_column(dtype, shape=()):
    return BatchBuilder(BlockSchema.of(Column("x", dtype, shape)))


def read_back(builder):
    batch = builder.batch()
    batch.validate(full=True)
    return {column.name: view(column, batch.column(column.name)) for column in builder.schema}


def test_every_kind_of_column_comes_back_as_given():
    builder = BatchBuilder(ToyStage().schema)
    rows = [toy_row(seed, seed) for seed in range(11)]
    for row in rows:
        builder.append(row)
    found = read_back(builder)
    for column in builder.schema:
        for number, row in enumerate(rows):
            got = found[column.name][number]
            if column.is_numeric:
                assert got.dtype == column.dtype
                np.testing.assert_array_equal(got, np.asarray(row[column.name], column.dtype))
            else:
                assert got == row[column.name]


def test_an_array_the_workload_reuses_does_not_change_rows_already_given():
    for shape in [(2,), (None,)]:
        builder, reused = one_column("int32", shape), np.zeros(2, np.int32)
        for number in range(3):
            reused[:] = number
            builder.append({"x": reused})
        found = read_back(builder)["x"]
        assert [int(found[i][0]) for i in range(3)] == [0, 1, 2]


def test_dropped_rows_leave_no_trace():
    builder = BatchBuilder(ToyStage().schema)
    for seed in (1, 2, 3):
        builder.append(toy_row(seed, seed))
    builder.drop_after(1)
    builder.append(toy_row(9, 4))
    found = read_back(builder)
    assert [found["id"][i] for i in range(2)] == ["1/1", "4/9"]
    assert found["points"][1].shape == (5, 3)
    assert builder.batch().num_rows == 2
    assert builder.statistics()["number"].count == 2


def test_a_ragged_row_may_be_empty():
    builder = one_column("float32", (None, 3))
    for n in (0, 2, 0):
        builder.append({"x": np.ones((n, 3))})
    found = read_back(builder)["x"]
    assert [found[i].shape for i in range(3)] == [(0, 3), (2, 3), (0, 3)]


@pytest.mark.parametrize(
    ("dtype", "shape", "value"),
    [
        ("float32", (3,), np.zeros(4)),
        ("float32", (3,), np.zeros((1, 3))),
        ("float32", (None, 3), np.zeros((5, 2))),
        ("uint8", (), 256),
        ("uint8", (), -1),
        ("int32", (), 2**40),
        ("uint8", (2,), np.zeros(2)),
        ("bool", (), 1),
        ("float16", (), 1e6),
        ("string", (), b"bytes"),
        ("bytes", (), "text"),
        ("float32", (), "text"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_the_columns_name(dtype, shape, value):
    with pytest.raises(RowError, match="'x'"):
        one_column(dtype, shape).append({"x": value})


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 255), ("float32", 1), ("float16", 0.1), ("float64", np.float32(2)), ("bool", True)],
)
def test_a_value_that_loses_nothing_but_rounding_is_taken(dtype, value):
    builder = one_column(dtype)
    builder.append({"x": value})
    assert read_back(builder)["x"][0] == np.asarray(value, dtype)


def test_missing_and_unknown_columns_are_named():
    with pytest.raises(RowError, match=r"missing columns \['x'\].*\['y'\]"):
        one_column("uint8").append({"y": 1})
