"""A stage is written whole, resumed block by block, mended, or stopped with the reason."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from data_toys import ROWS_PER_ITEM, ToySettings, ToyStage, expected_rows, write_here

from gimbal.data import attempts
from gimbal.data.building import BlockTask, run_here
from gimbal.data.reading import BlockReader
from gimbal.data.records import MANIFEST, data_fingerprint
from gimbal.data.shards import plan_shards
from gimbal.data.writing import write_stage
from gimbal.errors import StageFailed, StorageError
from gimbal.experiment.files import TEMPORARY_MARK


def toy(tmp_path, **settings):
    return ToyStage(settings=ToySettings(log=str(tmp_path / "log"), **settings), items_per_block=2)


def computed(tmp_path):
    """The items computed since last asked."""
    log = tmp_path / "log"
    ids = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return [int(name.removeprefix("item-")) for name in ids]


def test_every_row_is_written_in_the_items_order(tmp_path):
    stage = ToyStage()
    metrics = write_here(stage, tmp_path / "out")
    assert BlockReader(tmp_path / "out").column("id") == [r["id"] for r in expected_rows(stage)]
    assert (metrics["rows"], metrics["items"], metrics["skipped"]) == (30, 10, 0)
    files = (tmp_path / "out" / "blocks").glob("*.arrow")
    assert metrics["size_bytes"] == sum(f.stat().st_size for f in files)


def test_the_manifest_is_complete_and_always_the_same(tmp_path):
    for folder in ("a", "b"):
        write_here(ToyStage(settings=ToySettings(bad=(4,))), tmp_path / folder)
    first, second = ((tmp_path / f / MANIFEST).read_bytes() for f in ("a", "b"))
    assert first == second
    manifest = json.loads(first)
    assert manifest["schema"][1]["unit"] == "m"
    assert manifest["skipped"] == [
        {"id": "item-4", "message": "item-4 is degenerate", "remedy": "remove it"}
    ]
    assert manifest["statistics"]["number"]["max"] == 9
    assert manifest["statistics"]["image"]["count"] == 27 * 24
    assert manifest["fingerprint"] == data_fingerprint(tmp_path / "a")


def test_the_fingerprint_follows_the_rows(tmp_path):
    write_here(ToyStage(seed=0), tmp_path / "a")
    write_here(ToyStage(seed=1), tmp_path / "b")
    assert data_fingerprint(tmp_path / "a") != data_fingerprint(tmp_path / "b")


def test_progress_ends_at_the_total(tmp_path):
    told = []
    stage = ToyStage(settings=ToySettings(bad=(0,)))
    write_here(stage, tmp_path / "out", progress=lambda *words: told.append(words))
    assert told[0] == (0, 3, "0 rows")
    assert told[-1] == (3, 3, "27 rows, 1 items skipped")


def test_large_items_are_written_as_several_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("gimbal.data.building.BATCH_BYTES", 1)
    stage = ToyStage(settings=ToySettings(bad=(1,)))
    write_here(stage, tmp_path / "out")
    reader = BlockReader(tmp_path / "out")
    assert reader.manifest.blocks[0].batches == (3, 3, 3)
    assert reader.column("id") == [r["id"] for r in expected_rows(stage)]


class TestResuming:
    def test_a_finished_stage_computes_nothing(self, tmp_path):
        stage = toy(tmp_path)
        write_here(stage, tmp_path / "out")
        computed(tmp_path)
        assert write_here(stage, tmp_path / "out")["built_blocks"] == 0
        assert computed(tmp_path) == []

    def test_a_killed_stage_goes_on_and_leaves_nothing_behind(self, tmp_path):
        """SIGKILL in the midst of a block, as a user or the kernel would."""
        script = (
            "import os, signal, sys; from pathlib import Path\n"
            "from data_toys import ToySettings, ToyStage, write_here\n"
            "class Killed(ToyStage):\n"
            "    def rows(self, item, inputs):\n"
            "        if item['number'] == 5: os.kill(os.getpid(), signal.SIGKILL)\n"
            "        return super().rows(item, inputs)\n"
            f"write_here(Killed(items_per_block=2), Path({str(tmp_path / 'out')!r}))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)},
            check=False,
        )
        assert done.returncode == -signal.SIGKILL
        blocks = tmp_path / "out" / "blocks"
        assert any(TEMPORARY_MARK in file.name for file in blocks.iterdir())
        assert not (tmp_path / "out" / MANIFEST).exists()

        metrics = write_here(toy(tmp_path), tmp_path / "out")
        assert computed(tmp_path) == [4, 5, 6, 7, 8, 9]
        assert metrics["built_blocks"] == 3
        assert {file.suffix for file in blocks.iterdir()} == {".arrow", ".json"}
        write_here(ToyStage(items_per_block=2), tmp_path / "other")
        assert data_fingerprint(tmp_path / "out") == data_fingerprint(tmp_path / "other")

    @pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "delete record", "no record"])
    def test_only_the_damaged_block_is_rebuilt(self, tmp_path, damage):
        stage, out = toy(tmp_path), tmp_path / "out"
        write_here(stage, out)
        before = (out / MANIFEST).read_bytes()
        computed(tmp_path)
        block = out / "blocks" / "00003.arrow"
        if damage == "truncate":
            os.truncate(block, 700)
        elif damage == "flip":
            content = bytearray(block.read_bytes())
            content[len(content) // 2] ^= 1
            block.write_bytes(content)
        elif damage == "delete":
            block.unlink()
        elif damage == "delete record":
            block.with_suffix(".json").unlink()
        else:
            block.with_suffix(".json").write_text('{"block": ')
        assert write_here(stage, out)["built_blocks"] == 1
        assert computed(tmp_path) == [6, 7]
        assert (out / MANIFEST).read_bytes() == before

    def test_changed_items_rebuild_their_blocks_and_sweep_the_rest(self, tmp_path):
        out = tmp_path / "out"
        write_here(toy(tmp_path, items=10), out)
        computed(tmp_path)
        metrics = write_here(toy(tmp_path, items=3), out)
        assert computed(tmp_path) == [2]
        assert metrics["rows"] == 3 * ROWS_PER_ITEM
        assert len(list((out / "blocks").iterdir())) == 4

    def test_bad_items_are_tried_again_until_the_stage_is_whole(self, tmp_path):
        """A user who mends the files of a failed stage must not be shown the old failure."""
        out = tmp_path / "out"
        with pytest.raises(StageFailed):
            write_here(toy(tmp_path, bad=(0, 2, 3, 4, 5, 6)), out)
        computed(tmp_path)
        assert write_here(toy(tmp_path), out)["skipped"] == 0
        assert computed(tmp_path) == list(range(10))

        write_here(toy(tmp_path, bad=(1,)), tmp_path / "other")
        computed(tmp_path)
        write_here(toy(tmp_path, bad=(1,)), tmp_path / "other")
        assert computed(tmp_path) == []


class TestStopping:
    def test_one_bad_item_is_skipped_and_counted(self, tmp_path):
        stage = ToyStage(settings=ToySettings(bad=(3,)), max_bad_share=0.1)
        assert write_here(stage, tmp_path)["skipped"] == 1
        assert len(BlockReader(tmp_path)) == 9 * ROWS_PER_ITEM

    def test_too_many_bad_items_stop_the_stage_with_the_first_reasons(self, tmp_path):
        stage = ToyStage(settings=ToySettings(bad=tuple(range(6))))
        with pytest.raises(StageFailed) as caught:
            write_here(stage, tmp_path)
        assert "6 of 10 items are bad" in caught.value.message
        assert "item-0 is degenerate (remove it)" in caught.value.message
        assert "and 3 more" in caught.value.message
        assert "max_bad_share" in caught.value.remedy
        assert not (tmp_path / MANIFEST).exists()

    def test_no_row_at_all_stops_the_stage(self, tmp_path):
        stage = ToyStage(settings=ToySettings(items=3, bad=(0, 1, 2)), max_bad_share=1.0)
        with pytest.raises(StageFailed, match="gave no rows"):
            write_here(stage, tmp_path)

    def test_a_mistake_in_the_workload_is_told_in_a_line_and_kept_in_a_file(self, tmp_path):
        with pytest.raises(StageFailed) as caught:
            write_here(ToyStage(settings=ToySettings(broken=(5,))), tmp_path)
        told = caught.value
        assert told.message == "stage toy: item 'item-5' raised ZeroDivisionError: a mistake"
        trace = tmp_path / "errors" / "item-5.txt"
        assert str(trace) in told.remedy
        assert "data_toys.py" in trace.read_text()
        write_here(ToyStage(), tmp_path)
        assert not trace.exists()

    def test_a_row_that_does_not_fit_names_item_and_column(self, tmp_path):
        class Misfit(ToyStage):
            def rows(self, item, inputs):
                for row in super().rows(item, inputs):
                    yield row | {"code": [1, 2]}

        with pytest.raises(StageFailed, match=r"'item-0'.*'code'"):
            write_here(Misfit(), tmp_path)

    def test_a_file_missing_in_the_workload_is_not_taken_for_a_full_disk(self, tmp_path):
        class Missing(ToyStage):
            def rows(self, item, inputs):
                Path("/nowhere/mesh.obj").read_bytes()
                return ()

        with pytest.raises(StageFailed, match=r"FileNotFoundError.*mesh\.obj"):
            write_here(Missing(), tmp_path)

    def test_a_full_disk_is_said_and_finished_blocks_are_kept(self, tmp_path):
        """A limit on file size stands for the disk: the same code path, and no root needed."""
        resource = pytest.importorskip("resource")
        stage, out = toy(tmp_path), tmp_path / "out"
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

        class Growing(ToyStage):
            def rows(self, item, inputs):
                limit = 2048 if item["number"] >= 4 else soft
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
                return super().rows(item, inputs)

        try:
            with pytest.raises(StorageError) as caught:
                write_here(Growing(items_per_block=2), out)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert "00002.arrow" in caught.value.message
        assert caught.value.remedy
        assert not (out / MANIFEST).exists()
        write_here(stage, out)
        assert computed(tmp_path) == [4, 5, 6, 7, 8, 9]

    def test_a_block_no_one_reports_is_not_passed_over(self, tmp_path):
        """A manifest must never be written over a hole, whatever runs the tasks."""
        with pytest.raises(StageFailed, match=r"00001\.arrow"):
            write_stage(
                ToyStage(), {}, tmp_path, execute=lambda task, shards: run_here(task, shards[:1])
            )
        assert not (tmp_path / MANIFEST).exists()

    def test_an_error_the_workload_explains_itself_is_passed_on(self, tmp_path):
        class Explained(ToyStage):
            def rows(self, item, inputs):
                raise StorageError("mesh.npz is truncated", "copy it again")

        with pytest.raises(StorageError, match=r"mesh\.npz is truncated"):
            write_here(Explained(), tmp_path)

    def test_a_folder_that_cannot_be_made_is_named(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(StorageError, match="file"):
            write_here(ToyStage(), tmp_path / "file" / "out")


def test_an_item_that_kills_its_process_is_skipped_in_the_end(tmp_path):
    """Each death leaves the note of the item in work; the last attempt passes it by."""
    stage = ToyStage()
    shard = plan_shards(stage, {})[0]
    (tmp_path / "blocks").mkdir()
    for _ in range(attempts.MAX_DEATHS):
        note = attempts.AttemptNote(tmp_path / shard.attempt_file)
        assert not note.is_deadly("item-2")
        note.begin("item-2")
    record = BlockTask(stage=stage, inputs={}, out_dir=tmp_path)(shard)
    assert [item.id for item in record.skipped] == ["item-2"]
    assert record.block.rows == 3 * ROWS_PER_ITEM
    assert not (tmp_path / shard.attempt_file).exists()
