"""Judges the policy of a finished run on meshes of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from gimbal.errors import ConfigError
from gimbal.experiment.code_closure import code_hashes
from gimbal.experiment.files import read_json
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_finding import find
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Stage, StageOutput
from gimbal.experiment.stage_store import STAGE_FILE
from gimbal.pipeline.events import Observer
from gimbal.pipeline.runner import RunOptions, RunResult, run_experiment
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.stages.reporting import ReportStage
from gimbal_nbv.workload import NbvWorkload, data_stages, judging_stages

_NEEDED = ("train", "constant")


class JudgingWorkload(NbvWorkload):
    """The stages of `nbv` that follow training, on other objects."""

    name: ClassVar[str] = "nbv"

    def stages(self, config: NbvConfig) -> Sequence[Stage]:
        """Return the stages of an evaluation; `train` and `constant` are another run's."""
        return (
            *data_stages(config, evaluate_only=True),
            *judging_stages(config),
            ReportStage(name="report", settings=config.evaluate),
        )


def evaluate_run(
    reference: str, meshes: Path, runs_dir: Path, command: Sequence[str], observer: Observer
) -> RunResult:
    """Evaluate a run's policy on a folder of meshes, as a run of its own.

    Args:
        reference: The trained run; see `run_finding.find`.
        meshes: Folder of mesh files.
        runs_dir: The folder of all runs.
        command: The command line, for the provenance.
        observer: Told what happens.

    Raises:
        ConfigError: There is no such run, it trained no policy, or the folder holds no mesh.
    """
    trained = find(runs_dir, reference)
    given = {name: _output(trained, name) for name in _NEEDED}
    overrides = [
        f"data.meshes={meshes.expanduser().resolve()}",
        f"experiment={trained.path.parent.name}-on-{_word(meshes)}",
        f"platform.runs_dir={trained.path.parent.parent.absolute()}",
        "evaluate.min_gap_closed=null",
    ]
    _, settings = load_experiment(trained.config_file, overrides)
    changed = _changed_features(trained)
    if changed:
        observer.notice(
            f"the policy was trained with another version of {', '.join(changed)}: its numbers "
            "may suffer; run its config again to train it anew"
        )
    options = RunOptions(command=tuple(command), given=given)
    return run_experiment(JudgingWorkload(), settings, options, observer)


def _output(run: RunFolder, name: str) -> StageOutput:
    state = run.state().stages.get(name)
    folder = run.stages / name
    if state is None or state.fingerprint is None or not (folder / "stage.json").exists():
        raise ConfigError(
            f"run {run.id} has no finished stage '{name}'",
            "name a run that trained a policy (gimbal runs list), or finish this one by running "
            "its config again",
        )
    return StageOutput(
        name=name, path=folder.resolve(), fingerprint=state.fingerprint, metrics=state.metrics
    )


def _changed_features(run: RunFolder) -> list[str]:
    """Return the sources of the policy's features that are not what it was trained with."""
    record = run.stages / "states" / STAGE_FILE
    if not record.exists():
        return []
    then = read_json(record)["parts"]["code"]
    now = code_hashes("gimbal_nbv.training_data")
    return sorted(name for name, digest in now.items() if then.get(name) != digest)


def _word(path: Path) -> str:
    name = path.expanduser().resolve().name
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip("-.") or "meshes"
