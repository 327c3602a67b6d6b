"""Run a data stage: shards through Ray Data, blocks and manifest to a folder.

One Ray Data row is one shard and one task, so that work spreads evenly over any number of CPUs and
the blocks do not depend on how many there are. Rows never travel through Ray: each task writes its
own block into the folder, which driver and workers share, and returns the block's small record.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gimbal.data.bad_items import reasons, require_few_bad
from gimbal.data.building import ERRORS_FOLDER, BlockTask, Execute
from gimbal.data.records import (
    MANIFEST,
    BlockRecord,
    Manifest,
    make_manifest,
    read_record,
    write_manifest,
)
from gimbal.data.shards import BLOCKS_FOLDER, Shard, plan_shards
from gimbal.data.stage import DataStage
from gimbal.data.verifying import check_blocks
from gimbal.errors import StageFailed
from gimbal.experiment.files import TEMPORARY_MARK, ensure_folder, storage_errors
from gimbal.experiment.stage import Progress, StageInputs


def write_stage(
    stage: DataStage,
    inputs: StageInputs,
    out_dir: str | Path,
    *,
    progress: Progress | None = None,
    execute: Execute | None = None,
    place: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Make every block that is not already whole, then the manifest.

    A killed run goes on block by block. On a finished folder every byte is checked and only
    damaged blocks are made again. A block with skipped items is tried anew until the manifest is
    written, since the user may have mended the inputs.

    Args:
        stage: What to make.
        inputs: Finished stages it reads.
        out_dir: Where `blocks/`, `manifest.json` and, after a mistake in the workload, `errors/`
            go; a folder that every worker sees under the same path.
        progress: Told the blocks done, their total and a few words.
        execute: How to run the shards; none: on the running Ray. `building.run_here` needs none.
        place: Options of the Ray tasks that say where they run; none: what the stage asks for.

    Returns:
        `items`, `skipped`, `rows`, `blocks`, `built_blocks`, `size_bytes`, `cpu_s` of all blocks
        (also those of an earlier attempt) and this run's `wall_s`.

    Raises:
        StageFailed: If too many items are bad, none gives a row, or the workload has a mistake.
        StorageError: If the disk is full or not writable; finished blocks are kept.
    """
    started = time.perf_counter()
    folder = ensure_folder(Path(out_dir).absolute())
    shards = plan_shards(stage, inputs)
    run = _Run(stage, folder, shards, progress)
    run.resume()
    if missing := run.missing():
        task = BlockTask(stage=stage, inputs=inputs, out_dir=folder)
        with contextlib.closing((execute or _on_ray(place))(task, missing)) as results:
            for index, record in results:
                run.finish(index, record)
    return run.metrics(run.seal()) | {"wall_s": time.perf_counter() - started}


def _on_ray(place: Mapping[str, Any] | None) -> Execute:
    from gimbal.data.execution import run_on_ray  # importing Ray takes more than a second

    return functools.partial(run_on_ray, place=place)


class _Run:
    """What is done and what is missing of one stage."""

    def __init__(
        self,
        stage: DataStage,
        folder: Path,
        shards: Sequence[Shard],
        progress: Progress | None,
    ) -> None:
        self.stage = stage
        self.folder = folder
        self.shards = shards
        self.progress = progress
        self.records: dict[int, BlockRecord] = {}
        self.built = 0
        self._items = sum(len(shard.items) for shard in shards)
        self._rows = 0
        self._bad = 0

    def resume(self) -> None:
        """Adopt the blocks that are whole and remove everything else.

        Raises:
            StorageError: If the folder cannot be written.
        """
        ensure_folder(self.folder / BLOCKS_FOLDER)
        found = {shard.index: read_record(self.folder / shard.record_file) for shard in self.shards}
        same = {
            shard.index: record
            for shard in self.shards
            if (record := found[shard.index]) and record.block.shard == shard.digest
        }
        manifest = self.folder / MANIFEST
        if len(same) < len(self.shards):
            with storage_errors(manifest, "remove"):
                manifest.unlink(missing_ok=True)
        whole = manifest.exists()
        wanted = {i: record for i, record in same.items() if whole or not record.skipped}
        blocks = [record.block for record in wanted.values()]
        bad = {block.file for block in check_blocks(self.folder, blocks, deep=True)}
        for index, record in wanted.items():
            if record.block.file not in bad:
                self._adopt(index, record)
        self._remove_leftovers()
        self._tell()

    def _remove_leftovers(self) -> None:
        """Remove temporary files, notes, and blocks of another plan."""
        keep = {name for shard in self.shards for name in (shard.file, shard.record_file)}
        for path in (self.folder / BLOCKS_FOLDER).iterdir():
            if f"{BLOCKS_FOLDER}/{path.name}" not in keep:
                with storage_errors(path, "remove"):
                    path.unlink(missing_ok=True)
        for path in self.folder.glob(f".*{TEMPORARY_MARK}*"):
            with storage_errors(path, "remove"):
                path.unlink(missing_ok=True)

    def missing(self) -> list[Shard]:
        """The shards still to be made."""
        return [shard for shard in self.shards if shard.index not in self.records]

    def finish(self, index: int, record: BlockRecord) -> None:
        """Take over a block that was just made.

        Raises:
            StageFailed: If too many items were bad by now.
        """
        self._adopt(index, record)
        self.built += 1
        self._refuse_too_many_bad()
        self._tell()

    def _adopt(self, index: int, record: BlockRecord) -> None:
        self.records[index] = record
        self._rows += record.block.rows
        self._bad += len(record.skipped)

    def seal(self) -> Manifest:
        """Write the manifest of a stage that is whole.

        Raises:
            StageFailed: If too many items were bad, or there is no row.
            StorageError: If it cannot be written.
        """
        self._refuse_too_many_bad()
        if lost := self.missing():
            raise StageFailed(
                f"stage {self.stage.name}: no word came back about {lost[0].file}",
                "start it again: finished blocks are kept",
            )
        records = [self.records[shard.index] for shard in self.shards]
        manifest = make_manifest(self.stage.name, self.stage.schema, records)
        if not manifest.rows:
            raise StageFailed(
                f"stage {self.stage.name} gave no rows{reasons(manifest.skipped)}",
                "check its inputs and settings",
            )
        write_manifest(self.folder, manifest)
        shutil.rmtree(self.folder / ERRORS_FOLDER, ignore_errors=True)
        return manifest

    def metrics(self, manifest: Manifest) -> dict[str, Any]:
        """The stage's numbers; see `write_stage`."""
        return {
            "items": manifest.items,
            "skipped": len(manifest.skipped),
            "rows": manifest.rows,
            "blocks": len(manifest.blocks),
            "built_blocks": self.built,
            "size_bytes": manifest.size_bytes,
            "cpu_s": sum(record.cpu_s for record in self.records.values()),
        }

    def _refuse_too_many_bad(self) -> None:
        if self._bad:
            skipped = [item for i in sorted(self.records) for item in self.records[i].skipped]
            require_few_bad(self.stage, self._items, skipped)

    def _tell(self) -> None:
        if self.progress is not None:
            words = f"{self._rows} rows" + (f", {self._bad} items skipped" if self._bad else "")
            self.progress(len(self.records), len(self.shards), words)
