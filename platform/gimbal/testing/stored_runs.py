"""Made-up stored runs with the files real ones have, for tests and benchmarks of what reads them.

The numbers follow one simple law, so that a test knows what is true: a sample's value is the
config's mean, plus the seed's luck, plus how hard the sample is, plus noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.run_state import RunState, RunStatus, StageState, StageStatus
from gimbal.experiment.samples import SampleMetric, write_samples
from gimbal.experiment.sweep_record import (
    SweepFolder,
    SweepRecord,
    SweepStatus,
    TrialRecord,
    TrialStatus,
)
from gimbal.experiment.yaml_writing import dump_yaml

_BEGINNING = datetime(2026, 11, 26, 12, tzinfo=UTC)
PROTOCOL = {"name": "made-up", "candidates": 64, "test_list_sha256": "0" * 64}


@dataclass(frozen=True, kw_only=True)
class MadeRun:
    """What a stored run is to hold.

    Attributes:
        number: Makes its id and time; runs of one folder need different ones.
        config: Settings beside `workload`, `experiment` and `seed`.
        mean: The true mean of its metric.
        luck: Standard deviation between seeds.
        noise: Standard deviation of a sample beyond how hard it is.
        samples: Samples of the evaluation; 0: it wrote no `samples.json`.
        steps: Optimizer steps; a line of `metrics.jsonl` every ten.
        finals: Further final numbers of stage `evaluate`.
    """

    number: int
    experiment: str = "made"
    seed: int = 0
    config: Mapping[str, Any] = field(default_factory=dict)
    mean: float = 0.6
    luck: float = 0.0
    noise: float = 0.02
    samples: int = 20
    steps: int = 200
    status: RunStatus = RunStatus.FINISHED
    message: str = ""
    protocol: Mapping[str, Any] = field(default_factory=lambda: dict(PROTOCOL))
    finals: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 60.0
    report: bool = True
    trial: str = ""
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """The run's id."""
        began = _BEGINNING + timedelta(seconds=self.number)
        return f"{began:%Y%m%d-%H%M%S}-{self.number:04x}"


def make_run(runs_dir: Path, made: MadeRun) -> Path:
    """Write one run's folder and return it."""
    path = runs_dir / made.experiment / made.run_id
    finished = made.status is RunStatus.FINISHED
    (path / "stages" / "train").mkdir(parents=True)
    config = {
        "workload": "made",
        "experiment": made.experiment,
        "seed": made.seed,
        "platform": {"runs_dir": str(runs_dir)},
        **made.config,
    }
    (path / "config.yaml").write_text(dump_yaml(config))
    _write_curves(path / "stages" / "train" / "metrics.jsonl", made)
    values = sample_values(made)
    metrics: dict[str, Any] = dict(made.finals)
    if finished and made.samples:
        (path / "stages" / "evaluate").mkdir()
        _write_samples(path / "stages" / "evaluate", made, values)
        metrics = {"score": float(values.mean()), "objects": made.samples, **metrics}
    (path / "provenance.json").write_text(json.dumps(dict(made.provenance)))
    (path / "run.json").write_text(_state(made, metrics).model_dump_json(indent=2))
    if made.report and finished:
        (path / "report.html").write_text("<!doctype html><title>report</title>")
    return path


def sample_values(made: MadeRun) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the value of each sample."""
    hardness = np.random.default_rng(7).normal(0.0, 0.1, size=made.samples)
    rng = np.random.default_rng([11, made.number, made.seed])
    luck = made.luck * rng.normal()
    return np.asarray(made.mean + luck + hardness + made.noise * rng.normal(size=made.samples))


def make_sweep(
    runs_dir: Path, runs: Sequence[MadeRun], axes: Sequence[str], **record: Any
) -> SweepFolder:
    """Write a sweep whose trials are these runs, which are written as well.

    Args:
        runs_dir: The folder of all runs.
        runs: The trials; all of one experiment.
        axes: Dotted keys of their configs that vary.
        **record: Fields of `sweep.json` that are to be different.
    """
    name = runs[0].experiment
    folder = SweepFolder(runs_dir / name / "sweep-20261126-115900-abcd")
    fields: dict[str, Any] = {
        "id": folder.path.name,
        "name": name,
        "workload": "made",
        "status": SweepStatus.FINISHED,
        "metric": "evaluate.score",
        "mode": "max",
        "axes": tuple(axes),
        "seeds": tuple(sorted({run.seed for run in runs})),
        "search": "grid",
        "scheduler": "none",
        "samples": len(runs),
        "started_at": _BEGINNING,
    }
    folder.write(SweepRecord(**(fields | record)))
    for number, made in enumerate(runs):
        path = make_run(runs_dir, made)
        folder.write_trial(_trial(made, number, path, axes))
    return folder


def _trial(made: MadeRun, number: int, path: Path, axes: Sequence[str]) -> TrialRecord:
    finished = made.status is RunStatus.FINISHED
    return TrialRecord(
        id=f"{number:05d}",
        number=number,
        name=made.trial or f"trial {number} seed={made.seed}",
        overrides={axis: _at(made.config, axis) for axis in axes},
        seed=made.seed,
        status=TrialStatus.FINISHED if finished else TrialStatus.FAILED,
        run_dir=str(path),
        metric=float(sample_values(made).mean()) if finished and made.samples else None,
        step=made.steps,
        seconds=made.seconds,
        attempts=1,
        ended_at=_BEGINNING + timedelta(seconds=made.number + made.seconds),
        message=made.message,
    )


def _at(config: Mapping[str, Any], axis: str) -> Any:
    node: Any = config
    for part in axis.split("."):
        node = node[part]
    return node


def _write_curves(path: Path, made: MadeRun) -> None:
    rng = np.random.default_rng([13, made.number])
    lines = []
    for step in range(1, made.steps + 1, 10):
        loss = 0.5 + 3.0 * np.exp(-3.0 * step / made.steps) + 0.05 * rng.normal()
        values = {"train/loss": float(loss), "lr": 1e-3 * (1 - step / made.steps)}
        lines.append({"step": step, "time_s": 1.8e9 + step, "values": values})
        if (step - 1) % 50 == 0:
            validated = {"val/loss": float(loss + 0.2), "val/score": made.mean * (4 - loss) / 3.5}
            lines.append({"step": step, "time_s": 1.8e9 + step, "values": validated})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write_samples(folder: Path, made: MadeRun, values: Any) -> None:
    ids = [f"object-{i:03d}" for i in range(made.samples)]
    score = dict(zip(ids, map(float, values), strict=True))
    error = {name: 30.0 * (1.0 - value) for name, value in score.items()}
    write_samples(
        folder,
        protocol=made.protocol,
        sample="object",
        metrics={
            "score": SampleMetric(better="higher", values=score),
            "error": SampleMetric(better="lower", unit="mm", values=error),
        },
    )


def _state(made: MadeRun, metrics: Mapping[str, Any]) -> RunState:
    began = _BEGINNING + timedelta(seconds=made.number)
    finished = made.status is RunStatus.FINISHED
    train = StageState(
        status=StageStatus.FINISHED if finished else StageStatus.FAILED,
        fingerprint=f"{made.number:064x}",
        seconds=made.seconds,
        metrics={"steps": made.steps},
        message=made.message,
    )
    evaluate = StageState(status=StageStatus.FINISHED, seconds=0.0, metrics=dict(metrics))
    return RunState(
        id=made.run_id,
        experiment=made.experiment,
        workload="made",
        status=made.status,
        command=["gimbal", "run", "made.yaml"],
        started_at=began,
        ended_at=None
        if made.status is RunStatus.RUNNING
        else began + timedelta(seconds=made.seconds),
        stages={"train": train, **({"evaluate": evaluate} if finished else {})},
        message=made.message,
        trial=made.trial,
    )
