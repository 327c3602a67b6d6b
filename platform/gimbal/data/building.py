"""Make one block: what a Ray task does.

The task returns what went wrong instead of raising it: only so can the driver tell a mistake in the
workload from a full disk, and keep a remote traceback away from the user.
"""

from __future__ import annotations

import hashlib
import re
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from gimbal.data.attempts import MAX_DEATHS, AttemptNote
from gimbal.data.batches import BatchBuilder, RowError
from gimbal.data.records import Block, BlockRecord, SkippedItem, write_record
from gimbal.data.shards import Shard
from gimbal.data.stage import BadItem, DataStage
from gimbal.data.statistics import ColumnStatistics, merge
from gimbal.data.threads import limit_threads
from gimbal.errors import GimbalError, StageFailed, StorageError
from gimbal.experiment.files import TEMPORARY_MARK, atomic_write_text, atomic_writer, ensure_folder
from gimbal.experiment.provenance import note_packages
from gimbal.experiment.stage import StageInputs

BATCH_BYTES = 16 << 20
"""Rows are written as a record batch when they are this large, which bounds a task's memory."""
ERRORS_FOLDER = "errors"


@dataclass(frozen=True, kw_only=True)
class BlockTask:
    """Builds blocks of one stage in a folder that driver and workers share."""

    stage: DataStage
    inputs: StageInputs
    out_dir: Path

    def __call__(self, shard: Shard) -> BlockRecord | GimbalError:
        """Build, write and record one block; what stops it is returned."""
        try:
            self._sweep(shard)
            record = _Building(self, shard).build()
            write_record(self.out_dir / shard.record_file, record)
            note_packages(self.out_dir)
        except GimbalError as error:
            return error
        return record

    def _sweep(self, shard: Shard) -> None:
        """Remove what an attempt that was killed left half-written."""
        target = self.out_dir / shard.file
        for leftover in target.parent.glob(f".{target.name}{TEMPORARY_MARK}*"):
            leftover.unlink(missing_ok=True)


Execute = Callable[[BlockTask, Sequence[Shard]], Generator[tuple[int, BlockRecord], None, None]]
"""Runs a task for each shard and yields `(shard index, record)` as blocks are finished."""


@dataclass
class _Building:
    """The state of one block while it is made."""

    task: BlockTask
    shard: Shard
    batches: list[int] = field(default_factory=list)
    parts: list[dict[str, ColumnStatistics]] = field(default_factory=list)
    skipped: list[SkippedItem] = field(default_factory=list)

    def build(self) -> BlockRecord:
        """Make and write the rows of all the shard's items.

        Raises:
            GimbalError: If the disk fails, the workload is mistaken, or it says so itself.
        """
        started = time.process_time()
        builder = BatchBuilder(self.task.stage.schema)
        with atomic_writer(self.task.out_dir / self.shard.file) as raw:
            file = _HashingFile(raw)
            with pa.ipc.new_file(file, builder.arrow) as writer:
                for item in self._items():
                    self._add(item, builder)
                    if builder.nbytes >= BATCH_BYTES:
                        self._flush(builder, writer)
                self._flush(builder, writer)
        return self._record(builder, file, time.process_time() - started)

    def _record(self, builder: BatchBuilder, file: _HashingFile, cpu_s: float) -> BlockRecord:
        return BlockRecord(
            block=Block(
                file=self.shard.file,
                shard=self.shard.digest,
                batches=tuple(self.batches),
                size_bytes=file.size_bytes,
                sha256=file.sha256.hexdigest(),
            ),
            items=len(self.shard.items),
            statistics={
                column.name: merge(part[column.name] for part in self.parts)
                for column in builder.schema
                if column.is_numeric
            },
            skipped=tuple(self.skipped),
            cpu_s=cpu_s,
        )

    def _items(self) -> Iterator[dict[str, Any]]:
        """Yield the items that have not killed their process too often."""
        note = AttemptNote(self.task.out_dir / self.shard.attempt_file)
        for item in self.shard.items:
            if note.is_deadly(item["id"]):
                self._skip(
                    item,
                    f"its worker process died {MAX_DEATHS} times on this item",
                    "try it by itself: it crashes a library or needs too much memory",
                )
                continue
            note.begin(item["id"])
            yield item
        note.remove()

    def _add(self, item: dict[str, Any], builder: BatchBuilder) -> None:
        """Append an item's rows, all or none."""
        whole = builder.rows
        stage = self.task.stage
        limit_threads(max(1, int(stage.num_cpus)))
        try:
            for row in stage.rows(item, self.task.inputs):
                builder.append(row)
        except BadItem as bad:
            builder.drop_after(whole)
            self._skip(item, bad.message, bad.remedy)
        except GimbalError:
            raise
        except RowError as error:
            raise StageFailed(
                f"stage {stage.name}: a row of item {item['id']!r} does not fit: {error}",
                "make the row match the stage's schema, or correct the schema",
            ) from error
        except Exception as error:  # a task's border: whatever a workload raises is reported
            raise _code_failure(self.task, item["id"], error) from error

    def _skip(self, item: dict[str, Any], message: str, remedy: str) -> None:
        self.skipped.append(SkippedItem(id=item["id"], message=message, remedy=remedy))

    def _flush(self, builder: BatchBuilder, writer: pa.RecordBatchFileWriter) -> None:
        if builder.rows:
            writer.write_batch(builder.batch())
            self.parts.append(builder.statistics())
            self.batches.append(builder.rows)
            builder.clear()


def _code_failure(task: BlockTask, item_id: str, error: Exception) -> StageFailed:
    """Keep the traceback in a file and say in a sentence what went wrong."""
    file = task.out_dir / ERRORS_FOLDER / f"{_safe_name(item_id)}.txt"
    reason = (str(error).splitlines() or ["no message"])[0]
    try:
        ensure_folder(file.parent)
        atomic_write_text(file, "".join(traceback.format_exception(error)))
        remedy = f"the traceback is in {file}"
    except StorageError:
        remedy = "run this item by itself: its traceback could not be written"
    name = type(error).__name__
    return StageFailed(f"stage {task.stage.name}: item {item_id!r} raised {name}: {reason}", remedy)


def run_here(
    task: BlockTask, shards: Sequence[Shard]
) -> Generator[tuple[int, BlockRecord], None, None]:
    """Build blocks one after another in this process: for tests, benchmarks and debuggers.

    Raises:
        GimbalError: What a task reported.
    """
    for shard in shards:
        result = task(shard)
        if isinstance(result, GimbalError):
            raise result
        yield shard.index, result


class _HashingFile:
    """A file for Arrow to write to that hashes and counts what passes."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()
        self.size_bytes = 0
        self.closed = False

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size_bytes += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self.size_bytes

    def close(self) -> None:
        """Leave the file open: its owner flushes and renames it."""
        self.closed = True


def _safe_name(item_id: str) -> str:
    """A file name for an item's id, unique also where characters had to go."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "_", item_id)[:80]
    if clean == item_id and not clean.startswith("."):
        return clean
    return f"{clean}-{hashlib.sha256(item_id.encode()).hexdigest()[:8]}".lstrip(".")
