"""Whether a finished result can still be used with what is installed and configured here.

A run that builds on another run's result, such as an evaluation of its policy, feeds the result
with code, settings and libraries of now. Where those that made it were others, its numbers are of
no known thing, so such a run is refused unless asked for, and then says so wherever its numbers
stand. Only what enters a stage's fingerprint counts: an edit to a report is no drift of a policy.
`gimbal run` needs none of this; there a changed fingerprint builds the stage anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from gimbal.errors import Drift, GimbalError, StorageError
from gimbal.experiment.explaining import explain
from gimbal.experiment.files import read_json
from gimbal.experiment.fingerprint import stage_fingerprint
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Stage
from gimbal.experiment.stage_store import STAGE_FILE, StageRecord

_SHOWN = 20
"""Differences an error lists; the record of a run that is allowed to drift holds all."""


def drift_of(run: RunFolder, stages: Iterable[Stage]) -> tuple[str, ...]:
    """Return what differs between what made a run's stages and what would make them here now.

    The stages are compared one by one, each with the inputs it had: what the run read is its own
    affair, how its result is understood is not.

    Args:
        run: The run whose results are to be used.
        stages: Those of its stages that decide how its results are understood, made from its own
            config by the workload as it is here.

    Returns:
        Phrases such as `train: code: gimbal_nbv/scorer.py changed`; empty if nothing differs.
    """
    return tuple(
        f"{stage.name}: {difference}"
        for stage in stages
        for difference in _differences(run.stages / stage.name, stage)
    )


def _differences(stage_dir: Path, stage: Stage) -> Sequence[str]:
    try:
        record = StageRecord.model_validate(read_json(stage_dir / STAGE_FILE))
    except (StorageError, ValidationError):
        return [f"its record {STAGE_FILE} is missing or damaged, so it cannot be compared"]
    inputs: Mapping[str, Any] = record.parts.get("inputs", {})
    known = {name: str(inputs.get(name, "not recorded")) for name in stage.inputs}
    try:
        now = stage_fingerprint(stage, known)
    except GimbalError as error:  # such as an outside file that is not here
        return [error.message]
    if now.digest == record.fingerprint:
        return []
    found = explain(record.parts, now.parts, all_code=True)
    return found or ["an outside file holds other content"]


def require_whole_checkpoint(train_dir: Path) -> tuple[str, ...]:
    """Refuse a damaged best checkpoint; return what else speaks against it.

    Args:
        train_dir: Folder of a finished training stage.

    Returns:
        A phrase where the checkpoint is whole but not one that the training's ledger tells of.

    Raises:
        StorageError: There is none, or its content is not what was written.
    """
    from gimbal.training.checkpoints import best, damage, listed
    from gimbal.training.ledger_lines import Saved, read_ledger

    path = best(train_dir)
    checkpoint = next((one for one in listed(train_dir) if one.path == path), None)
    problem = f"{path} is missing" if checkpoint is None else damage(checkpoint)
    if checkpoint is None or problem is not None:
        raise StorageError(
            problem or "", "take the file back from a copy, or train anew with --force train"
        )
    ledger = read_ledger(train_dir)
    told = (
        [entry.sha256 for _, entry in ledger.entries if isinstance(entry, Saved)] if ledger else []
    )
    if ledger is not None and checkpoint.sha256 not in told:
        return (f"train: {path.name} is not a checkpoint that its ledger tells of",)
    return ()


def require_no_drift(run: RunFolder, differences: Sequence[str], *, allowed: bool) -> None:
    """Refuse to go on where anything differs, unless that is allowed.

    Raises:
        Drift: Naming every difference.
    """
    if not differences or allowed:
        return
    shown = [f"\n  {difference}" for difference in differences[:_SHOWN]]
    if len(differences) > _SHOWN:
        shown.append(f"\n  … and {len(differences) - _SHOWN} more")
    raise Drift(
        f"run {run.id} was made with other code, settings or libraries than are here:"
        f"{''.join(shown)}",
        f"get its own back with `gimbal reproduce {run.id}`, train anew with `gimbal run "
        f"{run.config_file}`, or go on with --allow-drift, which the results will say",
    )
