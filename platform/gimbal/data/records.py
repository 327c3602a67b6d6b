"""What is written down about a block and about the whole stage.

A block's record lies beside it as JSON and is what lets a killed stage go on; the manifest is made
from the records, in the order of the blocks, once all are whole. Neither holds a time or a path,
so the same stage always gives the same manifest, byte for byte.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gimbal.data.schema import BlockSchema
from gimbal.data.statistics import ColumnStatistics, merge
from gimbal.errors import StorageError
from gimbal.experiment.files import atomic_write_json, read_json

MANIFEST = "manifest.json"
FORMAT = 1


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SkippedItem(_Record):
    """An item that gave no rows, and why."""

    id: str
    message: str
    remedy: str = ""


class Block(_Record):
    """One file of rows.

    Attributes:
        file: Relative to the stage's folder.
        shard: Digest of the items it was made from.
        batches: Rows of each record batch in the file.
        size_bytes: Of the file.
        sha256: Of the file.
    """

    file: str
    shard: str
    batches: tuple[int, ...]
    size_bytes: int
    sha256: str

    @property
    def rows(self) -> int:
        """Rows of all its batches."""
        return sum(self.batches)


class BlockRecord(_Record):
    """A finished block with what its making found and cost."""

    block: Block
    items: int
    statistics: dict[str, ColumnStatistics]
    skipped: tuple[SkippedItem, ...] = ()
    cpu_s: float


class Manifest(_Record):
    """Everything a reader needs to know; written last, when every block is whole."""

    format: int = FORMAT
    stage: str
    fingerprint: str
    """Of the rows: a hash of the schema and of every block's content, in order."""
    rows: int
    items: int
    size_bytes: int
    columns: list[dict[str, Any]] = Field(alias="schema", serialization_alias="schema")
    blocks: tuple[Block, ...]
    statistics: dict[str, dict[str, float | int | None]]
    skipped: tuple[SkippedItem, ...]

    @property
    def block_schema(self) -> BlockSchema:
        """The columns."""
        return BlockSchema.from_json(self.columns)


def read_record(path: Path) -> BlockRecord | None:
    """Read a block's record, or None where there is none that can be believed."""
    try:
        return BlockRecord.model_validate(read_json(path))
    except (StorageError, ValidationError):
        return None


def write_record(path: Path, record: BlockRecord) -> None:
    """Write a block's record; only after its block is in place.

    Raises:
        StorageError: If it cannot be written.
    """
    atomic_write_json(path, record.model_dump())


def make_manifest(stage: str, schema: BlockSchema, records: Iterable[BlockRecord]) -> Manifest:
    """Sum up the records of all blocks, in their order."""
    records = list(records)
    blocks = tuple(record.block for record in records)
    columns = schema.to_json()
    statistics = {
        column.name: merge(record.statistics[column.name] for record in records).summary()
        for column in schema
        if column.is_numeric
    }
    return Manifest(
        stage=stage,
        fingerprint=_fingerprint(columns, blocks),
        rows=sum(block.rows for block in blocks),
        items=sum(record.items for record in records),
        size_bytes=sum(block.size_bytes for block in blocks),
        schema=columns,
        blocks=blocks,
        statistics=statistics,
        skipped=tuple(item for record in records for item in record.skipped),
    )


def _fingerprint(columns: list[dict[str, Any]], blocks: Iterable[Block]) -> str:
    content = [FORMAT, columns, [block.sha256 for block in blocks]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_manifest(stage_dir: Path, manifest: Manifest) -> None:
    """Write the manifest in one step.

    Raises:
        StorageError: If it cannot be written.
    """
    atomic_write_json(stage_dir / MANIFEST, manifest.model_dump(by_alias=True))


def read_manifest(stage_dir: Path) -> Manifest:
    """Read the manifest of a finished stage.

    Raises:
        StorageError: If it is missing or damaged.
    """
    return parse_manifest(read_json(stage_dir / MANIFEST), stage_dir / MANIFEST)


def parse_manifest(value: Any, source: str | Path) -> Manifest:
    """Check a decoded manifest that came from `source`.

    Raises:
        StorageError: If it is not a manifest of this format.
    """
    try:
        return Manifest.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StorageError(
            f"{source} is not a manifest of this version ({where}: {first['msg']})",
            "delete it and run `gimbal run` again: whole blocks are kept",
        ) from error


def data_fingerprint(stage_dir: str | Path) -> str:
    """Return the hash of a finished stage's rows.

    Raises:
        StorageError: If the stage is not finished or its manifest is damaged.
    """
    return read_manifest(Path(stage_dir)).fingerprint
