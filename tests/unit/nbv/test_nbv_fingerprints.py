"""A changed setting reruns what depends on it and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from gimbal.experiment.fingerprint import stage_fingerprint
from gimbal.experiment.loading import load_experiment
from gimbal.experiment.stage import TaskStage

SMOKE = Path(__file__).parents[3] / "configs" / "nbv" / "smoke.yaml"
AFTER_TRAINING = ["train", "rollouts", "evaluate"]


def fingerprints(*overrides: str) -> dict[str, str]:
    workload, settings = load_experiment(SMOKE, overrides)
    found: dict[str, str] = {}
    for stage in workload.stages(settings):
        if not (isinstance(stage, TaskStage) and stage.always):
            found[stage.name] = stage_fingerprint(stage, found).digest
    return found


@pytest.mark.parametrize(
    ("override", "rerun"),
    [
        ("resources.workers=4", []),
        ("platform.runs_dir=/elsewhere", []),
        ("evaluate.bootstrap=300", ["evaluate"]),
        ("evaluate.rollouts_shown=1", ["evaluate"]),
        ("evaluate.min_gap_closed=0.5", ["evaluate"]),
        ("evaluate.budget=5", ["constant", "rollouts", "evaluate"]),
        ("train.lr=1e-3", AFTER_TRAINING),
        ("model.hidden=8", AFTER_TRAINING),
        ("states.per_object=5", ["states", *AFTER_TRAINING]),
        ("states.target=chamfer", ["states", *AFTER_TRAINING]),
    ],
)
def test_only_what_depends_on_a_setting_runs_again(override: str, rerun: list[str]) -> None:
    before, after = fingerprints(), fingerprints(override)
    assert [name for name in before if before[name] != after[name]] == rerun
