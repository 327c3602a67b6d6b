"""The streamed order is shuffled, repeatable and independent of the number of workers."""

from __future__ import annotations

import itertools
import os

import numpy as np
import pytest
from data_toys import ToySettings, ToyStage, expected_rows, write_here

from gimbal.data.reading import BlockReader
from gimbal.data.streaming import stream
from gimbal.data.verifying import CorruptBlock
from gimbal.errors import ConfigError, StorageError

STAGE = ToyStage(settings=ToySettings(items=12), items_per_block=2)


@pytest.fixture(scope="module")
def stage_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_here(STAGE, folder)
    return folder


def ids(rows):
    return [row["id"] for row in rows]


@pytest.mark.parametrize("window_rows", [1, 10, 1000])
def test_an_epoch_is_every_row_once_in_a_new_order(stage_dir, window_rows):
    source = stream(stage_dir.as_uri(), window_rows=window_rows)
    first = ids(source)
    assert sorted(first) == sorted(row["id"] for row in expected_rows(STAGE))
    assert first == ids(source)
    assert first != ids(source.at_epoch(1)) != ids(stream(stage_dir, seed=1))
    assert first != BlockReader(stage_dir).column("id")


@pytest.mark.parametrize("world", [2, 3, 5])
def test_workers_together_give_the_order_of_one(stage_dir, world):
    """The world-size law: rank r of w takes rows r, r + w, … of the one order."""
    whole = stream(stage_dir, window_rows=10)
    shards = [whole.shard(rank, world) for rank in range(world)]
    rows = [ids(shard) for shard in shards]
    assert [len(part) for part in rows] == [len(shard) for shard in shards]
    woven = [one for step in itertools.zip_longest(*rows) for one in step if one]
    assert woven == ids(whole)


def test_streamed_rows_are_the_mapped_ones_and_only_the_columns_asked_for(stage_dir):
    mapped = {row["id"]: row for row in expected_rows(STAGE)}
    for row in stream(stage_dir, columns=("points", "id")):
        assert row.keys() == {"points", "id"}
        np.testing.assert_array_equal(row["points"], mapped[row["id"]]["points"].astype("f4"))


def test_leaving_a_stream_early_ends_its_background_reading(stage_dir):
    source = iter(stream(stage_dir, window_rows=1))
    next(source)
    source.close()


def test_damage_wrong_addresses_and_wrong_workers_are_said(tmp_path):
    write_here(STAGE, tmp_path)
    os.truncate(tmp_path / "blocks/00001.arrow", 600)
    with pytest.raises(CorruptBlock, match=r"00001\.arrow"):
        list(stream(tmp_path))
    with pytest.raises(StorageError, match="nowhere"):
        stream("file:///nowhere")
    with pytest.raises(StorageError, match="cannot be opened"):
        stream("unknown://nowhere")
    with pytest.raises(ConfigError, match="worker 2 of 2"):
        stream(tmp_path).shard(2, 2)
