"""Mapped reading: right rows, no copies where none are promised, clear words on damage."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from data_toys import ToySettings, ToyStage, expected_rows, write_here

from gimbal.data.reading import BlockReader
from gimbal.data.tensors import as_torch
from gimbal.data.verifying import CorruptBlock
from gimbal.errors import StorageError

STAGE = ToyStage(settings=ToySettings(items=9, bad=(2,)), items_per_block=2)
ROWS = 24


@pytest.fixture(scope="module")
def stage_dir(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gimbal.data.building.BATCH_BYTES", 1)  # several batches a block
        folder = tmp_path_factory.mktemp("data")
        write_here(STAGE, folder)
    return folder


@pytest.fixture
def reader(stage_dir):
    return BlockReader(stage_dir)


@pytest.fixture(scope="module")
def expected():
    return expected_rows(STAGE)


def assert_same_rows(found, expected):
    for column in STAGE.schema:
        for got, row in zip(found[column.name], expected, strict=True):
            if column.is_numeric:
                np.testing.assert_array_equal(got, np.asarray(row[column.name], column.dtype))
            else:
                assert got == row[column.name]


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def mapped_ranges(name):
    """Address ranges at which this process has mapped files of that name."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    spans = [line.split()[0].split("-") for line in lines if line.endswith(name)]
    return [(int(start, 16), int(end, 16)) for start, end in spans]


def test_single_rows_from_the_front_and_the_back(reader, expected):
    assert len(reader) == ROWS == len(expected)
    for index in (0, 5, 6, 23, -1, -24, np.int64(7)):
        row = {name: [value] for name, value in reader[index].items()}
        assert_same_rows(row, [expected[index]])


@pytest.mark.parametrize(
    "part",
    [
        slice(None),
        slice(3, 6),
        slice(1, 3),
        slice(4, 15),
        slice(None, None, 5),
        slice(0, 3, 2),
        slice(-3, None),
        slice(None, None, -1),
        slice(2, None, -1),
        slice(5, 5),
        slice(20, 99),
    ],
)
def test_slices_agree_with_a_list(reader, expected, part):
    assert_same_rows(reader[part], expected[part])


def test_fetch_gathers_any_rows_in_the_order_asked(reader, expected):
    random = np.random.default_rng(0)
    for indices in (
        random.permutation(ROWS),
        random.integers(-ROWS, ROWS, 50),
        [7, 7, 7],
        [6, 7, 8],
        range(20, 3, -2),
        np.array([3], np.uint8),
    ):
        assert_same_rows(reader.fetch(indices), [expected[int(i)] for i in indices])


def test_large_rows_take_the_other_path_to_the_same_answer(reader, expected, monkeypatch):
    monkeypatch.setattr("gimbal.data.gathering.LARGE_ROW_BYTES", 1)
    indices = np.random.default_rng(1).integers(0, ROWS, 40)
    assert_same_rows(reader.fetch(indices), [expected[i] for i in indices])


def test_fetching_nothing_keeps_the_shapes(reader):
    rows = reader.fetch([])
    assert rows["image"].shape == (0, 4, 6)
    assert rows["points"] == []


def test_fetch_fills_arrays_given_to_it(reader, expected):
    buffers = reader.empty(8, ["image", "hit"], pinned=True)
    rows = reader.fetch([5, 1, 9], ["image", "hit"], out=buffers)
    assert np.shares_memory(rows["image"], buffers["image"])
    np.testing.assert_array_equal(rows["image"], [expected[i]["image"] for i in (5, 1, 9)])
    assert rows["hit"].shape == (3, 3)


@pytest.mark.parametrize("index", [24, -25, 10**12])
def test_a_row_that_is_not_there_is_an_index_error(reader, index):
    with pytest.raises(IndexError, match="of 24 rows"):
        reader[index]
    with pytest.raises(IndexError, match="of 24 rows"):
        reader.fetch([0, index])


@pytest.mark.parametrize("indices", [[0.5], [True, False], [[1, 2]], ["a"], 3])
def test_indices_that_are_no_list_of_whole_numbers_are_refused(reader, indices):
    with pytest.raises(IndexError, match="whole numbers"):
        reader.fetch(indices)


def test_an_unknown_column_is_a_key_error(reader):
    with pytest.raises(KeyError, match="image"):
        reader.fetch([0], ["imgae"])


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's address map")
def test_rows_and_their_tensors_lie_in_the_mapped_file(reader):
    """Zero-copy, proven by address: numpy view and tensor point into the file's mapping."""
    row, rows = reader[0], reader[0:3]
    tensors = as_torch(row)
    ranges = mapped_ranges("blocks/00000.arrow")
    for name in ("image", "code", "hit", "half", "points"):
        address = row[name].__array_interface__["data"][0]
        assert any(start <= address < end for start, end in ranges)
        assert tensors[name].data_ptr() == address
    address = rows["image"].__array_interface__["data"][0]
    assert any(start <= address < end for start, end in ranges)


def test_views_are_read_only_and_fetched_rows_are_not(reader):
    for value in (reader[0]["image"], reader[0]["points"], reader[0:2]["image"]):
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0
    reader.fetch([0])["image"][...] = 0


def test_tensors_have_the_columns_types_and_no_warning_is_given(reader):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row, rows = as_torch(reader[4]), as_torch(reader.fetch([4, 5]))
    assert str(row["hit"].dtype) == "torch.bool"
    assert str(row["half"].dtype) == "torch.float16"
    assert row["number"].shape == ()
    assert row["number"].item() == reader[4]["number"]
    assert isinstance(row["id"], str)
    assert rows["image"].shape == (2, 4, 6)
    assert [tuple(points.shape) for points in rows["points"]] == [(2, 3), (2, 3)]


def test_views_outlive_their_reader(stage_dir, expected):
    image = BlockReader(stage_dir)[7]["image"]
    np.testing.assert_array_equal(image, expected[7]["image"])


def test_a_reader_travels_to_another_process_and_reopens_there(reader):
    reader[0]
    packed = pickle.dumps(reader)
    assert len(packed) < 500
    script = "import pickle, sys; print(pickle.load(sys.stdin.buffer)[-1]['id'])"
    done = subprocess.run([sys.executable, "-c", script], input=packed, capture_output=True)
    assert done.stdout.decode().strip() == reader[-1]["id"]


def test_opening_maps_nothing_and_files_are_closed_again(stage_dir):
    handles = open_files()
    reader = BlockReader(stage_dir)
    assert reader._mapped == {}
    reader.fetch(range(ROWS))
    assert open_files() == handles


@pytest.mark.parametrize("damage", ["truncate", "delete", "footer"])
def test_a_damaged_block_is_named_with_the_remedy_and_the_others_are_read(tmp_path, damage):
    write_here(STAGE, tmp_path)
    block = tmp_path / "blocks/00001.arrow"
    if damage == "truncate":
        os.truncate(block, 600)
    elif damage == "delete":
        block.unlink()
    else:
        block.write_bytes(bytes(block.stat().st_size))
    reader = BlockReader(tmp_path)
    reader[0]
    with pytest.raises(CorruptBlock) as caught:
        reader.fetch(range(len(reader)))
    assert str(block) in caught.value.message
    assert "gimbal run" in caught.value.remedy


def test_a_folder_that_is_no_finished_stage_is_said(tmp_path):
    with pytest.raises(StorageError, match="manifest"):
        BlockReader(tmp_path)
