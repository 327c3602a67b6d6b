"""Judges the policy of a finished run on meshes of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gimbal.experiment.loading import load_experiment
from gimbal.experiment.paths import at_home
from gimbal.experiment.run_finding import find
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Stage
from gimbal.experiment.workload import Workload
from gimbal.pipeline.drift import drift_of, require_no_drift, require_whole_checkpoint
from gimbal.pipeline.events import Observer
from gimbal.pipeline.runner import RunOptions, RunResult, run_experiment
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.run_policy import finished_stages, policy_stage_names, run_config
from gimbal_nbv.stages.reporting import ReportStage
from gimbal_nbv.workload import NbvWorkload, data_stages, judging_stages

_TAUGHT_BY = ("completion", "multiview", "sensitivity", "states", "train", "constant")
"""Stages that decide what the policy and the fitted baselines take a candidate's numbers for."""


class JudgingWorkload(NbvWorkload):
    """The stages of `nbv` that follow training, on other objects.

    Args:
        drift: How what is here differs from what the policy was trained with.
    """

    name: ClassVar[str] = "nbv"

    def __init__(self, drift: tuple[str, ...] = ()) -> None:
        self._drift = drift

    def stages(self, config: NbvConfig) -> Sequence[Stage]:
        """Return the stages of an evaluation; `train` and `constant` are another run's."""
        return (
            *data_stages(config, evaluate_only=True),
            *judging_stages(config, drift=self._drift),
            ReportStage(name="report", settings=config.evaluate),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Judging:
    """What is judged on what.

    Attributes:
        reference: The trained run; see `run_finding.find`.
        meshes: Folder of mesh files.
        runs_dir: The folder of all runs.
        allow_drift: Go on where the policy was trained with other code, settings or libraries.
    """

    reference: str
    meshes: Path
    runs_dir: Path
    allow_drift: bool = False


def evaluate_run(judging: Judging, command: Sequence[str], observer: Observer) -> RunResult:
    """Evaluate a run's policy on a folder of meshes, as a run of its own.

    Args:
        judging: What is judged on what.
        command: The command line, for the provenance.
        observer: Told what happens.

    Raises:
        ConfigError: There is no such run, it trained no policy, or the folder holds no mesh.
        Drift: The policy was trained with other code, settings or libraries.
        StorageError: Its checkpoint is damaged.
    """
    trained = find(judging.runs_dir, judging.reference)
    given = finished_stages(trained, policy_stage_names(run_config(trained)))
    drift = policy_drift(trained)
    require_no_drift(trained, drift, allowed=judging.allow_drift)
    if drift:
        observer.notice(
            f"the policy was trained with something else than is here ({drift[0]}"
            f"{f', and {len(drift) - 1} more' if drift[1:] else ''}); the results say so"
        )
    _, settings = load_experiment(trained.config_file, _overrides(trained, judging.meshes))
    options = RunOptions(command=tuple(command), given=given, drift=drift)
    return run_experiment(JudgingWorkload(drift), settings, options, observer)


def _overrides(trained: RunFolder, meshes: Path) -> list[str]:
    return [
        f"data.meshes={at_home(meshes).resolve()}",
        f"experiment={trained.path.parent.name}-on-{_word(meshes)}",
        f"platform.runs_dir={trained.path.parent.parent.absolute()}",
        "evaluate.min_gap_closed=null",
        "sweep=null",  # judging a trial is not another trial
    ]


def policy_drift(trained: RunFolder) -> tuple[str, ...]:
    """Return how what is here differs from what a run's policy was trained with."""
    workload: Workload[Any]
    workload, settings = load_experiment(trained.config_file)
    taught = [stage for stage in workload.stages(settings) if stage.name in _TAUGHT_BY]
    nets = [stage.name for stage in taught if stage.name in ("completion", "multiview", "train")]
    damaged = [said for name in nets for said in require_whole_checkpoint(trained.stages / name)]
    return (*drift_of(trained, taught), *damaged)


def _word(path: Path) -> str:
    name = at_home(path).resolve().name
    return "".join(c if c.isalnum() or c in "._-" else "-" for c in name).strip("-.") or "meshes"
