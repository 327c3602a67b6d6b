"""Everything the processes of a sweep need to know, in one small picklable value.

A trial's process may start minutes or, after `--resume`, days after the driver read the user's
files. So trials read nothing but the sweep's own folder: `base.yaml` is the base config as it was
when the sweep began, complete with defaults. The workload travels by its import path with the code
that the driver sends: a node of a cluster need not have it installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.experiment.attempt import AttemptFolder
from gimbal.experiment.loading import load_settings
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.stage import Stage
from gimbal.experiment.sweep_record import SweepFolder
from gimbal.experiment.workload import Workload
from gimbal.sweeps.code_drift import code_file
from gimbal.sweeps.curves import Judged
from gimbal.sweeps.spec import SweepSpec
from gimbal.sweeps.trials import Trial, trial_overrides
from gimbal.training.stage import TrainStage

BASE_FILE = "base.yaml"
ATTEMPTS_FOLDER = "attempts"


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """What trials are made from.

    Attributes:
        folder: The sweep's folder.
        workload: Gives the stages.
        name: The sweep's name.
        metric: See `SweepSpec.metric`.
        train_stage: The one training stage, if there is exactly one.
        judged: What early stopping looks at; None: nothing is stopped early.
        started_in: The folder that relative paths of the config count from.
        command: The command line, for the provenance of the trials.
        start: Which start of the sweep this is, from 1.
    """

    folder: Path
    workload: Workload[Any]
    name: str
    metric: str
    train_stage: str | None
    judged: Judged | None
    started_in: Path
    command: tuple[str, ...] = ()
    start: int = 1

    @classmethod
    def of(
        cls,
        folder: SweepFolder,
        spec: SweepSpec,
        workload: Workload[Any],
        stages: list[Stage],
        command: tuple[str, ...],
    ) -> SweepPlan:
        """Make the plan of a sweep whose config was checked."""
        trained = [stage.name for stage in stages if isinstance(stage, TrainStage)]
        only = trained[0] if len(trained) == 1 else None
        return cls(
            folder=folder.path.absolute(),
            workload=workload,
            name=spec.name,
            metric=spec.metric,
            train_stage=only,
            judged=Judged.by(spec.asha, only) if spec.asha and only else None,
            started_in=Path.cwd(),
            command=command,
            start=folder.record().starts,
        )

    @property
    def base(self) -> Path:
        """The base config."""
        return self.folder / BASE_FILE

    @property
    def code(self) -> Path:
        """What the driver knows of the code it ships to trials; see `provenance.leave_origin`."""
        return self.folder / code_file(self.start)

    def attempt(self, trial: Trial, number: int) -> AttemptFolder:
        """Return the folder of one start of a trial; numbers begin at 1."""
        return AttemptFolder(self.folder / ATTEMPTS_FOLDER / trial.id / str(number))

    def load(self, trial: Trial) -> ExperimentSettings:
        """Return a trial's settings."""
        changes = trial_overrides(trial, self.name, self.folder.name)
        return load_settings(self.workload, self.base, changes)
