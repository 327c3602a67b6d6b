"""Say which blocks of a stage are damaged, by name.

A quick check compares sizes and reads every Arrow footer, which finds what a crash or a full disk
leaves behind; a deep one also hashes every byte and finds a flipped one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from gimbal.data.records import Block, read_manifest
from gimbal.errors import StorageError

REBUILD = "start `gimbal run` again as before: only this block is rebuilt"


class CorruptBlock(StorageError):
    """A block is missing or damaged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BadBlock:
    """A damaged block.

    Attributes:
        file: Relative to the stage's folder.
        reason: What is wrong with it.
    """

    file: str
    reason: str


def verify(stage_dir: str | Path, deep: bool = False) -> list[BadBlock]:
    """Return the damaged blocks of a finished stage; none is good news.

    Args:
        stage_dir: A folder with a manifest.
        deep: Also hash every byte.

    Raises:
        StorageError: If the manifest is missing or damaged.
    """
    folder = Path(stage_dir)
    return check_blocks(folder, read_manifest(folder).blocks, deep=deep)


def check_blocks(folder: Path, blocks: Iterable[Block], *, deep: bool) -> list[BadBlock]:
    """Check some blocks of a stage, several at once: hashing and reading release Python's lock."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda block: _fault(folder, block, deep), blocks)
        return [bad for bad in found if bad is not None]


def _fault(folder: Path, block: Block, deep: bool) -> BadBlock | None:
    reason = find_fault(folder / block.file, block, deep=deep)
    return None if reason is None else BadBlock(file=block.file, reason=reason)


def find_fault(path: Path, block: Block, *, deep: bool) -> str | None:
    """Return what is wrong with a block's file, or None."""
    try:
        size = path.stat().st_size
        if size != block.size_bytes:
            return f"it has {size} bytes, {block.size_bytes} were written"
        with pa.memory_map(str(path)) as source, pa.ipc.open_file(source) as reader:
            if reader.num_record_batches != len(block.batches):
                return "its footer lists other batches than were written"
        if deep and _sha256(path) != block.sha256:
            return "its bytes changed: the sha256 is another"
    except FileNotFoundError:
        return "it is missing"
    except (OSError, pa.ArrowException) as error:
        return f"it cannot be read: {str(error).splitlines()[0]}"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
