"""Runs a diagnostic, on a finished run or on what a config builds, as a run of its own.

With a run, its finished stages are given and nothing of it is touched. With a config, the stages
that the diagnostic reads are built, or reused where they are finished already: also those it could
do without, since what it would then leave unchecked might pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from gimbal.errors import ConfigError
from gimbal.experiment.files import read_json
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.run_finding import find, list_runs
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.stage import Stage
from gimbal.experiment.workload import Workload
from gimbal.pipeline.drift import drift_of, require_no_drift, require_whole_checkpoint
from gimbal.pipeline.events import Observer
from gimbal.pipeline.runner import RunOptions, RunResult, run_experiment
from gimbal_nbv.config import NbvConfig
from gimbal_nbv.diagnostics.registry import DIAGNOSTICS, Entry
from gimbal_nbv.run_policy import finished_stages, run_config
from gimbal_nbv.stages.diagnosing import DIAGNOSIS_FILE, DiagnoseStage, diagnose_stage
from gimbal_nbv.workload import NbvWorkload


class DiagnosingWorkload(NbvWorkload):
    """The stages of `nbv`, and diagnostics after them.

    Args:
        stage: The only diagnostic, alone where its inputs are given; none: every diagnostic.
        alone: Whether the workload's own stages are left out.
    """

    name: ClassVar[str] = "nbv"

    def __init__(self, stage: DiagnoseStage | None = None, *, alone: bool = False) -> None:
        self._stage = stage
        self._alone = alone

    def stages(self, config: NbvConfig) -> Sequence[Stage]:
        """Return the stages of a diagnosis."""
        if self._stage is not None and self._alone:
            return [self._stage]
        own = super().stages(config)
        every = (
            diagnose_stage(name, config, uses=used_stages(entry, own))
            for name, entry in DIAGNOSTICS.items()
        )
        return (*own, *([self._stage] if self._stage else every))


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosing:
    """What is asked of what.

    Attributes:
        name: Name of the diagnostic.
        run: The examined run; see `run_finding.find`. `latest` is the newest that has what the
            diagnostic needs.
        config: A config file instead of a run.
        overrides: `key=value` texts on top of the config.
        objects: Look at no more objects than this.
        runs_dir: The folder of all runs; none: the config's own, or `runs`.
        allow_drift: Go on where the run was made with other code, settings or libraries.
    """

    name: str
    run: str | None = None
    config: Path | None = None
    overrides: tuple[str, ...] = ()
    objects: int = 64
    runs_dir: Path | None = None
    allow_drift: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosed:
    """What came out.

    Attributes:
        record: What `diagnosis.json` holds; see `diagnostics.record`.
        page: The page.
        run_dir: The folder of the diagnosis's own run.
    """

    record: dict[str, Any]
    page: Path
    run_dir: Path


def diagnose(asked: Diagnosing, command: Sequence[str], observer: Observer) -> Diagnosed:
    """Run a diagnostic.

    Args:
        asked: What is asked of what.
        command: The command line, for the provenance.
        observer: Told what happens.

    Raises:
        ConfigError: Not exactly one of run and config is named, or it lacks what is needed.
        Drift: The run was made with other code, settings or libraries.
        StorageError: A file is damaged or cannot be written.
    """
    if asked.run is not None and asked.config is None:
        result = _of_run(asked, asked.run, command, observer)
    elif asked.config is not None and asked.run is None:
        result = _of_config(asked, asked.config, command, observer)
    else:
        raise ConfigError(
            "name exactly one of --run and --config",
            f"gimbal nbv {asked.name} --run latest, or --config configs/nbv/quickstart.yaml",
        )
    folder = Path(result.run_dir) / "stages" / asked.name
    return Diagnosed(
        record=read_json(folder / DIAGNOSIS_FILE),
        page=folder / f"{asked.name}.html",
        run_dir=Path(result.run_dir),
    )


def _of_run(
    asked: Diagnosing, reference: str, command: Sequence[str], observer: Observer
) -> RunResult:
    if asked.overrides:
        raise ConfigError(
            f"a finished run cannot be changed by {asked.overrides[0]!r}",
            "name a config to change settings: --config FILE key=value",
        )
    entry = DIAGNOSTICS[asked.name]
    run = examined(asked.runs_dir or Path("runs"), reference, entry)
    config = run_config(run)
    uses = tuple(name for name in entry.uses if _finished(run, name))
    given = finished_stages(run, (*entry.needs, *uses))
    drift = _drift(run, config, tuple(given))
    require_no_drift(run, drift, allowed=asked.allow_drift)
    if drift:
        observer.notice(f"the run was made with something else than is here: {drift[0]}")
    stage = diagnose_stage(
        asked.name, config, objects=asked.objects, uses=uses, about=run.id, drift=drift
    )
    settings = _renamed(config, asked.name, run.path.parent.parent.absolute())
    options = RunOptions(command=tuple(command), given=given, drift=drift)
    return run_experiment(DiagnosingWorkload(stage, alone=True), settings, options, observer)


def _of_config(
    asked: Diagnosing, file: Path, command: Sequence[str], observer: Observer
) -> RunResult:
    _, config = load_experiment(file, asked.overrides)
    if not isinstance(config, NbvConfig):
        raise ConfigError(f"{file} is of the workload '{config.workload}'", "name a config of nbv")
    settings = _renamed(config, asked.name, asked.runs_dir)
    own = NbvWorkload().stages(config)
    stage = diagnose_stage(
        asked.name,
        config,
        objects=asked.objects,
        uses=used_stages(DIAGNOSTICS[asked.name], own),
        about=f"{file.name}, seed {config.seed}",
    )
    options = RunOptions(only=asked.name, command=tuple(command))
    return run_experiment(DiagnosingWorkload(stage), settings, options, observer)


def used_stages(entry: Entry, stages: Sequence[Stage]) -> tuple[str, ...]:
    """Return which of the stages that a diagnostic can also read a config has.

    Args:
        entry: The diagnostic.
        stages: All stages of the config.
    """
    names = {stage.name for stage in stages}
    return tuple(name for name in entry.uses if name in names)


def examined(runs_dir: Path, reference: str, entry: Entry) -> RunFolder:
    """Find the run to examine.

    A diagnosis is itself recorded as a run, so `latest` means the newest run that has what the
    diagnostic needs; otherwise the second diagnosis would examine the first.

    Args:
        runs_dir: The folder of all runs.
        reference: See `run_finding.find`.
        entry: The diagnostic.

    Raises:
        ConfigError: There is none.
    """
    if reference == "latest":
        for listed in list_runs(runs_dir, NbvWorkload.name):
            if all(_finished(listed.folder, name) for name in entry.needs):
                return listed.folder
    return find(runs_dir, reference)


def _finished(run: RunFolder, name: str) -> bool:
    return (run.stages / name / "stage.json").exists()


def _drift(run: RunFolder, config: NbvConfig, names: Sequence[str]) -> tuple[str, ...]:
    """Return how what is here differs from what made the stages that are read."""
    workload: Workload[Any] = NbvWorkload()
    stages = [stage for stage in workload.stages(config) if stage.name in names]
    damaged = require_whole_checkpoint(run.stages / "train") if "train" in names else ()
    return (*drift_of(run, stages), *damaged)


def _renamed(config: NbvConfig, name: str, runs_dir: Path | None) -> NbvConfig:
    """Give a diagnosis an experiment of its own, so that no run of the examined one is hidden."""
    platform = config.platform
    if runs_dir is not None:
        platform = platform.model_copy(update={"runs_dir": runs_dir})
    update = {"experiment": f"{config.experiment}-{name}", "platform": platform, "sweep": None}
    return config.model_copy(update=update)
