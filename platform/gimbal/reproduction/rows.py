"""Fingerprints of a stage's rows that must come out again.

The manifest's own fingerprint covers every byte, also of a column that holds a time. A stage with
such a column is compared column by column instead, without those that measure the machine.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from gimbal.errors import StorageError
from gimbal.reproduction.numbers import is_cost

MANIFEST = "manifest.json"
_COST_UNITS = frozenset({"s", "ms", "us", "ns", "B", "bytes", "KiB", "MiB", "GiB"})


def row_prints(stage_dir: Path) -> dict[str, str]:
    """Return hashes of a stage's rows by what they cover; empty for a stage without rows.

    Raises:
        StorageError: Its manifest or a block is missing or damaged.
    """
    if not (stage_dir / MANIFEST).exists():
        return {}
    from gimbal.data.records import read_manifest

    manifest = read_manifest(stage_dir)
    columns = list(manifest.block_schema)
    kept = [c.name for c in columns if not is_cost(c.name) and c.unit not in _COST_UNITS]
    if len(kept) == len(columns):
        return {"fingerprint of rows": manifest.fingerprint}
    files = [stage_dir / block.file for block in manifest.blocks]
    return {f"column {name}": _column_print(files, name) for name in kept}


def _column_print(files: list[Path], column: str) -> str:
    import pyarrow as pa

    digest = hashlib.sha256()
    for file in files:
        try:
            with pa.memory_map(str(file)) as source, pa.ipc.open_file(source) as reader:
                for number in range(reader.num_record_batches):
                    digest.update(_bytes_of(reader.get_batch(number), column))
        except (OSError, KeyError, pa.ArrowException) as error:
            raise StorageError(
                f"{file} cannot be read: {error}", "`gimbal verify` names every damaged file"
            ) from error
    return digest.hexdigest()


def _bytes_of(batch: Any, column: str) -> memoryview:
    return memoryview(batch.select([column]).serialize())
