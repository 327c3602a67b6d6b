"""One stored run as a comparison sees it, read without trusting a single file of it.

Whatever is missing or damaged leaves a gap and a `problem` in words: a comparison of many runs is
made while some of them still run, and must not fail because one folder is broken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gimbal.comparison.configs import read_config
from gimbal.comparison.curves import Curve, read_curves
from gimbal.comparison.final_numbers import FinalNumbers
from gimbal.errors import GimbalError
from gimbal.experiment.files import read_json
from gimbal.experiment.run_folder import RunFolder
from gimbal.experiment.run_state import RunState, RunStatus, StageStatus
from gimbal.experiment.samples import SAMPLES_FILE, Samples, read_samples

_ENDED = (StageStatus.FINISHED, StageStatus.SKIPPED)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """One run.

    Attributes:
        path: Its folder.
        experiment: The experiment's name.
        status: How it stands; `DAMAGED` where `run.json` cannot be read.
        standing: How it stands in words, where a sweep knows better than `status`.
        problem: Why it failed, or what could not be read.
        trial: The trial's readable name; empty for a run by itself.
        config: Every setting, by dotted key; empty where `config.yaml` cannot be read.
        finals: Final numbers, by dotted path, stage first; items of a list by index.
        samples: Numbers sample by sample, by stage.
        curves: Learning curves, by `stage/name`.
        seconds: Wall-clock seconds of the stages it ran itself; those it found finished cost none.
        code: Digest of the first-party code; empty: not recorded.
        notes: What a reader should know, such as drift.
    """

    path: Path
    experiment: str
    workload: str = ""
    status: RunStatus
    standing: str = ""
    problem: str = ""
    trial: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    finals: Mapping[str, float] = field(default_factory=dict)
    samples: Mapping[str, Samples] = field(default_factory=dict)
    curves: Mapping[str, Curve] = field(default_factory=dict)
    seconds: float | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    code: str = ""
    notes: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def name(self) -> str:
        """What it is called in tables: the trial's name, else `experiment/id`."""
        return self.trial or f"{self.experiment}/{self.id}"

    @property
    def state(self) -> str:
        """How it stands, in one word."""
        return self.standing or str(self.status)

    @property
    def seed(self) -> int:
        """The seed; 0 where the config is unreadable."""
        seed = self.config.get("seed", 0)
        return seed if isinstance(seed, int) else 0

    @property
    def report(self) -> Path | None:
        """Its report, if it wrote one."""
        path = self.path / "report.html"
        return path if path.is_file() else None


def load_run(path: Path) -> RunRecord:
    """Read one run; never raises because of what the folder holds."""
    folder = RunFolder(path)
    try:
        state = folder.state()
    except GimbalError as error:
        return RunRecord(
            path=path,
            experiment=path.absolute().parent.name,
            status=RunStatus.DAMAGED,
            problem=error.message,
        )
    config, config_problem = _config(folder)
    samples, samples_problem = _samples(folder, state)
    code, notes = _provenance(folder)
    ended = [name for name, stage in state.stages.items() if stage.status in _ENDED]
    curves = read_curves(folder.stages, list(state.stages), ended)
    said = state.message or _stage_message(state)
    problems = [said, config_problem, samples_problem, curves.problem]
    return RunRecord(
        path=path,
        experiment=state.experiment,
        workload=state.workload,
        status=state.status,
        problem="; ".join(problem for problem in problems if problem),
        trial=state.trial,
        config=config,
        finals=FinalNumbers(state),
        samples=samples,
        curves=curves.by_name,
        seconds=_seconds(state),
        started_at=state.started_at,
        ended_at=state.ended_at,
        code=code,
        notes=notes,
    )


def _config(folder: RunFolder) -> tuple[dict[str, Any], str]:
    try:
        return read_config(folder.config_file), ""
    except GimbalError as error:
        return {}, error.message


def _samples(folder: RunFolder, state: RunState) -> tuple[dict[str, Samples], str]:
    found: dict[str, Samples] = {}
    problems = []
    for name, stage in state.stages.items():
        path = folder.stages / name
        if stage.status not in _ENDED:
            continue
        try:
            samples = read_samples(path) if (path / SAMPLES_FILE).is_file() else None
        except GimbalError as error:
            problems.append(error.message)
            continue
        if samples is not None and (problem := _not_numbers(samples)):
            problems.append(f"{path / SAMPLES_FILE} is damaged: {problem}")
        elif samples is not None:
            found[name] = samples
    return found, "; ".join(problems)


def _not_numbers(samples: Samples) -> str:
    """Say what in it is no finite number; one such sample would spoil every draw."""
    if not samples.metrics:
        return "it holds no metric"
    for name, metric in samples.metrics.items():
        for part in (metric.values, metric.over or {}):
            odd = next((key for key, value in part.items() if not math.isfinite(value)), None)
            if odd is not None:
                return f"{name} of {odd} is {part[odd]}"
    return ""


def _seconds(state: RunState) -> float | None:
    own = [
        stage.seconds
        for stage in state.stages.values()
        if stage.status in (StageStatus.FINISHED, StageStatus.FAILED) and stage.seconds is not None
    ]
    if own:
        return sum(own)
    if state.ended_at is None:
        return None
    return (state.ended_at - state.started_at).total_seconds()


def _stage_message(state: RunState) -> str:
    failed = [(n, s) for n, s in state.stages.items() if s.status is StageStatus.FAILED]
    return "; ".join(f"{name}: {stage.message or 'failed'}" for name, stage in failed)


def _provenance(folder: RunFolder) -> tuple[str, tuple[str, ...]]:
    """Return the code's digest and notes; a run without provenance has neither."""
    try:
        record = read_json(folder.provenance_file)
    except GimbalError:
        return "", ()
    if not isinstance(record, dict):
        return "", ()
    code = record.get("code")
    digest = code.get("digest") if isinstance(code, dict) else None
    drift = record.get("drift")
    lines = drift if isinstance(drift, list) else [drift] if drift else []
    return str(digest or ""), tuple(f"drift: {_words(line)}" for line in lines)


def _words(line: Any) -> str:
    if isinstance(line, dict):
        return ", ".join(f"{key} {value}" for key, value in line.items())
    return str(line)
