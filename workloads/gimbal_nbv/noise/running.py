"""Measures a finished run's policies under noise, as a run of its own.

The examined run's stages are given and nothing of it is touched. Ray spreads objects and levels;
what is finished is kept, so that a stopped command continues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gimbal.errors import ConfigError
from gimbal.experiment.files import read_json
from gimbal.experiment.run_finding import find, list_runs
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Stage
from gimbal.pipeline.drift import require_no_drift
from gimbal.pipeline.events import Observer
from gimbal.pipeline.runner import RunOptions, run_experiment
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.judging import policy_drift
from gimbal_nbv.noise.settings import NoiseSettings
from gimbal_nbv.run_policy import finished_stages, policy_stages, run_config
from gimbal_nbv.stages.diagnosing import DIAGNOSIS_FILE, without_places
from gimbal_nbv.stages.noise import NoiseStage
from gimbal_nbv.stages.noise_report import PAGE_FILE, NoiseReportSettings, NoiseReportStage
from gimbal_nbv.workload import NbvWorkload

_NEEDED = ("views", "oracle", "train", "constant")


class NoiseWorkload(NbvWorkload):
    """The two stages of an evaluation under noise.

    Args:
        wanted: The stages.
    """

    name: ClassVar[str] = "nbv"

    def __init__(self, wanted: Sequence[Stage] = ()) -> None:
        self._wanted = tuple(wanted)

    def stages(self, config: NbvConfig) -> Sequence[Stage]:
        """Return the stages; all others are another run's."""
        return self._wanted


@dataclass(frozen=True, kw_only=True, slots=True)
class Noising:
    """What is asked of which run.

    Attributes:
        reference: The run; see `run_finding.find`. `latest` is the newest that trained a policy.
        runs_dir: The folder of all runs.
        noise: Levels and objects; views are those of the run's own evaluation.
        first_views: Starts of each object; as many as in the run's own evaluation if None.
        allow_drift: Go on where the policy was trained with other code, settings or libraries.
    """

    reference: str
    runs_dir: Path
    noise: NoiseSettings
    first_views: int | None = None
    allow_drift: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Noised:
    """What came out.

    Attributes:
        record: What `diagnosis.json` holds.
        page: The page.
        run_dir: The folder of this evaluation's own run.
    """

    record: dict[str, Any]
    page: Path
    run_dir: Path


def evaluate_under_noise(asked: Noising, command: Sequence[str], observer: Observer) -> Noised:
    """Roll all policies of a run out on its held-out objects, at every level of noise.

    Args:
        asked: What is asked.
        command: The command line, for the provenance.
        observer: Told what happens.

    Raises:
        ConfigError: There is no such run, or it trained no policy.
        Drift: The policy was trained with other code, settings or libraries.
        StorageError: Its checkpoint is damaged.
    """
    run = _examined(asked.runs_dir, asked.reference)
    config = run_config(run)
    given = {**finished_stages(run, _NEEDED), **policy_stages(run, config)}
    drift = policy_drift(run)
    require_no_drift(run, drift, allowed=asked.allow_drift)
    if drift:
        observer.notice(f"the policy was trained with something else than is here: {drift[0]}")
    workload = NoiseWorkload(_stages(run, config, _fitted(asked, config), tuple(given), drift))
    options = RunOptions(command=tuple(command), given=given, drift=drift)
    result = run_experiment(workload, _renamed(run, config), options, observer)
    folder = Path(result.run_dir) / "stages" / "noise_report"
    return Noised(
        record=read_json(folder / DIAGNOSIS_FILE),
        page=folder / PAGE_FILE,
        run_dir=Path(result.run_dir),
    )


def _fitted(asked: Noising, config: NbvConfig) -> NoiseSettings:
    starts = asked.first_views or config.evaluate.first_views
    if config.first_view is not None and starts != 1:
        raise ConfigError(
            f"--first-views is {starts}, but every rollout of this run starts from candidate "
            f"{config.first_view}",
            "leave --first-views out",
        )
    if starts > config.views.candidates:
        raise ConfigError(
            f"--first-views is {starts}, but there are {config.views.candidates} candidates",
            "lower it",
        )
    update = {"first_views": starts, "budget": config.evaluate.budget}
    return asked.noise.model_copy(update=update)


def _stages(
    run: RunFolder,
    config: NbvConfig,
    noise: NoiseSettings,
    given: tuple[str, ...],
    drift: tuple[str, ...],
) -> tuple[Stage, ...]:
    report = NoiseReportSettings(bootstrap=config.evaluate.bootstrap)
    return (
        NoiseStage(
            name="noise",
            settings=noise,
            seed=config.seed,
            config=without_places(config),
            inputs=given,
        ),
        NoiseReportStage(
            name="noise_report", settings=report, seed=config.seed, about=run.id, drift=drift
        ),
    )


def _examined(runs_dir: Path, reference: str) -> RunFolder:
    """Find the run; an evaluation under noise is recorded as a run, and is never the latest."""
    if reference == "latest":
        for listed in list_runs(runs_dir, NbvWorkload.name):
            stages = listed.folder.stages
            if all((stages / name / "stage.json").exists() for name in _NEEDED):
                return listed.folder
    return find(runs_dir, reference)


def _renamed(run: RunFolder, config: NbvConfig) -> NbvConfig:
    platform = config.platform.model_copy(update={"runs_dir": run.path.parent.parent.absolute()})
    name = f"{run.path.parent.name}-noise"
    return config.model_copy(update={"experiment": name, "platform": platform, "sweep": None})
