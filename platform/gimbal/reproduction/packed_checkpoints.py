"""Which checkpoints an archive takes, and what is wrong with them.

Damaged ones are packed as they are, since a part of a run is more than nothing; but the archive's
own hashes are made of what was packed and would call them sound, so the damage has to be said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from gimbal.errors import GimbalError, StorageError
from gimbal.experiment.files import read_json
from gimbal.experiment.stage_files import altered_files
from gimbal.reproduction.stored_run import StoredRun, StoredStage

CHECKPOINTS = "checkpoints"
_INDEX = "index.json"


def chosen(folder: Path) -> Sequence[str]:
    """Return the names of the best and the last checkpoint in a folder of them."""
    try:
        index = read_json(folder / _INDEX)
        names = {str(index[key]) for key in ("best", "last") if index.get(key)}
    except (StorageError, AttributeError, KeyError):
        names = {max((p.name for p in folder.glob("step-*")), default="")}
    return sorted(name for name in names if name and "/" not in name and ".." not in name)


def damage_in(run: StoredRun) -> tuple[str, ...]:
    """Return a sentence for each damaged checkpoint and altered file an archive takes.

    Every byte of the chosen checkpoints is hashed.
    """
    return tuple(
        f"{stage.name}: {words}" for stage in run.stages.values() for words in _damage(stage)
    )


def _damage(stage: StoredStage) -> Iterator[str]:
    yield from altered_files(stage.path, stage.record.files if stage.record else {})
    folder = stage.path / CHECKPOINTS
    if not folder.is_dir():
        return
    try:
        read_json(folder / _INDEX)
    except GimbalError as error:
        yield f"{error.message}; the newest checkpoint was taken"
    names = chosen(folder)
    if not names:
        return
    from gimbal.training import checkpoints

    there = {checkpoint.path.name: checkpoint for checkpoint in checkpoints.listed(stage.path)}
    for name in names:
        found = there.get(name)
        words = f"{folder / name} is gone" if found is None else checkpoints.damage(found)
        if words is not None:
            yield words
