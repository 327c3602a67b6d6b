"""What the benchmarks of sweeps share: a small next-best-view experiment, its data made once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gimbal.experiment.loading import load_experiment
from gimbal.experiment.overrides import Override
from gimbal.experiment.settings import ExperimentSettings
from gimbal.experiment.stage import StageOutput
from gimbal.experiment.workload import Workload
from gimbal.pipeline.runner import RunOptions, run_experiment

BASE = Path(__file__).parent.parent / "configs" / "nbv" / "quickstart.yaml"
SMALL: Mapping[str, Any] = {
    "data.train_shapes": 64,
    "data.test_shapes": 8,
    "views.candidates": 32,
    "views.image_size": 48,
    "oracle.surface_samples": 800,
    "states.per_object": 8,
    "train.warmup_steps": 40,
    "train.validate_every": 50,
    "train.clip_norm": None,  # clipping by hand rounds differently, and trials must be equal
    "evaluate.first_views": 4,
    "evaluate.budget": 4,
    "resources.workers": 1,
}


def configured(changes: Mapping[str, Any]) -> tuple[Workload[Any], ExperimentSettings]:
    """Return the workload and the base config with some changes."""
    given = [Override(f"{k}={v}", tuple(k.split(".")), v) for k, v in changes.items()]
    return load_experiment(BASE, given)


def prepare(changes: Mapping[str, Any], runs_dir: Path) -> dict[str, StageOutput]:
    """Run the stages before training, unless they are finished; return all of them by name."""
    outputs: dict[str, StageOutput] = {}
    for only in ("states", "constant"):
        workload, config = configured({**changes, "platform.runs_dir": str(runs_dir)})
        result = run_experiment(workload, config, RunOptions(only=only))
        for name, stage in result.stages.items():
            outputs[name] = StageOutput(
                name=name,
                path=Path(stage["path"]),
                fingerprint=stage["fingerprint"],
                metrics=result.metrics[name],
            )
    return outputs
