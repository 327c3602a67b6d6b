"""Stage `sensitivity`: at which stages the learned reconstruction may be a target.

It measures on the training objects that were kept for validation: the net has not seen them, and
the held-out objects stay untouched until the policy is judged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_nbv.completion_settings import CompletionSettings, SensitivitySettings
from gimbal_nbv.config import OracleSettings, ViewSettings
from gimbal_nbv.stages.completion import load_completion, training_rows
from gimbal_nbv.stages.reading import open_rows, protocol_of, read_oracle

if TYPE_CHECKING:
    from gimbal_nbv.oracle import OracleMap
    from gimbal_nbv.reconstruction.completion import Completion
    from gimbal_nbv.states import States
    from gimbal_nbv.view_sensitivity import SetReconstruction, StageGate

SENSITIVITY_FILE = "sensitivity.json"


class SensitivityStageSettings(Settings):
    """What decides the gate: how it decides, and how the net's reconstruction is read."""

    sensitivity: SensitivitySettings
    completion: CompletionSettings


@dataclass(frozen=True, kw_only=True)
class SensitivityStage(TaskStage):
    """Measures the completion net and decides lambda stage by stage."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba", "torch", "scipy", "pykdtree")

    settings: SensitivityStageSettings
    views: ViewSettings
    oracle: OracleSettings
    inputs: tuple[str, ...] = ("oracle", "completion")

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `sensitivity.json`: `lambdas`, and the `stages` and `curves` they come from."""
        from gimbal_nbv.view_sensitivity import (
            FusedDepth,
            coverage_weights,
            gate,
            stage_findings,
        )

        settings = self.settings.sensitivity
        longest = min(settings.longest, self.views.candidates - 1)
        oracles, completion = self._oracles(inputs), self._completion(inputs)
        states = _states(oracles, longest, self.seed, progress)
        gates = gate(stage_findings(completion, states), settings)
        lambdas = list(coverage_weights(gates, longest))
        shown: dict[str, SetReconstruction] = {
            "fusion": FusedDepth(),
            "completion": completion,
            "voxels": replace(completion, keep_measured=False),
        }
        curves = {n: _curves(one, oracles, longest + 1) for n, one in shown.items()}
        stages = [_stage(one) for one in gates]
        record = {"lambdas": lambdas, "objects": len(oracles), "stages": stages, "curves": curves}
        atomic_write_json(out_dir / SENSITIVITY_FILE, record)
        passed = sum(one.passed for one in gates)
        return {"lambdas": lambdas, "stages_passed": passed, "objects": len(oracles)}

    def _completion(self, inputs: StageInputs) -> Completion:
        from gimbal.training.checkpoints import best

        checkpoint = best(inputs["completion"].path)
        grid = protocol_of(self.views, self.oracle).grid
        return load_completion(checkpoint, self.settings.completion, grid)

    def _oracles(self, inputs: StageInputs) -> list[OracleMap]:
        """Return validation objects; those trained on where there are no others."""
        rows = open_rows(inputs, "oracle")
        share = self.settings.completion.validation_share
        train, val = training_rows(rows, share, self.seed)
        chosen = val if len(val) else train
        count = min(len(chosen), self.settings.sensitivity.objects)
        places = np.linspace(0, len(chosen) - 1, count).round().astype(np.int64)
        protocol = protocol_of(self.views, self.oracle)
        return [read_oracle(rows, int(row), protocol) for row in chosen[places]]


def _states(
    oracles: list[OracleMap], longest: int, seed: int, progress: Progress
) -> Iterator[States]:
    """Yield one state of every length of each object."""
    from gimbal_nbv.states import sample_states

    for number, oracle in enumerate(oracles):
        yield sample_states(oracle, longest, np.random.default_rng([seed, number]), longest=longest)
        progress(number + 1, len(oracles), "objects")


def _curves(
    reconstruction: SetReconstruction, oracles: list[OracleMap], length: int
) -> dict[str, dict[str, Any]]:
    from gimbal_nbv.view_sensitivity import SCHEDULES, curves

    found = {name: curves(reconstruction, oracles, name, length) for name in SCHEDULES}
    return {
        name: {
            "chamfer_e3": (1e3 * curve.chamfer.mean(axis=0)).tolist(),
            "worsening": curve.worsening,
            "mean_repeat": curve.mean_repeat,
            "largest_repeat": curve.largest_repeat,
        }
        for name, curve in found.items()
    }


def _stage(gate: StageGate) -> dict[str, Any]:
    """Return a gate as JSON, which knows no NaN."""
    found = asdict(gate.finding)
    if math.isnan(gate.finding.spearman):
        found["spearman"] = None
    return found | {"passed": gate.passed, "coverage_weight": gate.coverage_weight}


def read_lambdas(folder: Path) -> tuple[float, ...]:
    """Return lambda of stages 1, 2, ... as this stage wrote it.

    Args:
        folder: The finished stage's folder.

    Raises:
        StorageError: The file cannot be read.
    """
    from gimbal.experiment.files import storage_errors

    with storage_errors(folder / SENSITIVITY_FILE, "read"):
        record = json.loads((folder / SENSITIVITY_FILE).read_text(encoding="utf-8"))
    return tuple(float(value) for value in record["lambdas"])
