"""Stage `sensitivity`: at which stages a learned reconstruction gets better by more views.

Of the completion net this decides where it may be a target; of the multi-view model it says how far
its points can be believed.

It measures on the training objects that were kept for validation: the net has not seen them, and
the held-out objects stay untouched until the policy is judged.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from gimbal.experiment.files import atomic_write_json
from gimbal.experiment.settings import Settings
from gimbal.experiment.stage import Progress, StageInputs, TaskStage
from gimbal_nbv.completion_settings import CompletionSettings, SensitivitySettings
from gimbal_nbv.config import OracleSettings, ViewSettings
from gimbal_nbv.learned import completion_of, multiview_of
from gimbal_nbv.learned_settings import Learned
from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.completion import training_rows
from gimbal_nbv.stages.reading import (
    DepthNoise,
    open_rows,
    protocol_of,
    read_images,
    read_oracle,
)

if TYPE_CHECKING:
    from gimbal_nbv.observing import ViewImages
    from gimbal_nbv.oracle import OracleMap
    from gimbal_nbv.reconstruction.completion import Completion
    from gimbal_nbv.reconstruction.multiview import MultiviewReconstruction
    from gimbal_nbv.states import States
    from gimbal_nbv.view_sensitivity import SetReconstruction, StageGate

SENSITIVITY_FILE = "sensitivity.json"


class SensitivityStageSettings(Settings):
    """What decides the gate: how it decides, and what the networks are that it judges."""

    sensitivity: SensitivitySettings
    completion: CompletionSettings | None = None
    multiview: MultiviewSettings | None = None


@dataclass(frozen=True, kw_only=True)
class SensitivityStage(TaskStage):
    """Measures the learned reconstructions; decides lambda of the completion net stage by stage."""

    libraries: ClassVar[tuple[str, ...]] = ("numpy", "numba", "torch", "scipy", "pykdtree")

    settings: SensitivityStageSettings
    views: ViewSettings
    oracle: OracleSettings
    inputs: tuple[str, ...] = ("oracle", "completion")

    def run(self, inputs: StageInputs, out_dir: Path, progress: Progress) -> dict[str, Any]:
        """Write `sensitivity.json`: `stages` and `curves` of each reconstruction.

        Of the completion net they stand at the top, with the `lambdas` that follow from them; of
        the multi-view model under `multiview`.
        """
        protocol = protocol_of(self.views, self.oracle)
        learned = Learned(completion=self.settings.completion, multiview=self.settings.multiview)
        record: dict[str, Any] = {}
        if learned.completion is not None:
            net = completion_of(learned, inputs, protocol.grid)
            share = learned.completion.validation_share
            oracles = self._oracles(inputs, share, self.settings.sensitivity.objects)
            record |= self._completion(net, list(oracles), progress)
        if learned.multiview is not None:
            share, count = learned.multiview.validation_share, learned.multiview.objects
            found = self._oracles(inputs, share, count)
            record["multiview"] = self._multiview(multiview_of(learned, inputs), found, progress)
        atomic_write_json(out_dir / SENSITIVITY_FILE, record)
        return _metrics(record)

    def _completion(
        self, net: Completion, oracles: list[OracleMap], progress: Progress
    ) -> dict[str, Any]:
        from gimbal_nbv.view_sensitivity import FusedDepth

        voxels = replace(net, keep_measured=False)
        shown: dict[str, SetReconstruction] = {"fusion": FusedDepth(), "completion": net}
        return self._measured(net, oracles, {**shown, "voxels": voxels}, progress)

    def _multiview(
        self,
        model: MultiviewReconstruction,
        objects: Mapping[OracleMap, ViewImages | None],
        progress: Progress,
    ) -> dict[str, Any]:
        from gimbal_nbv.reconstruction.multiview import MultiviewSets
        from gimbal_nbv.view_sensitivity import FusedDepth

        images = {oracle: seen for oracle, seen in objects.items() if seen is not None}
        sets = MultiviewSets(model, images)
        shown: dict[str, SetReconstruction] = {"fusion": FusedDepth(), "multiview": sets}
        return self._measured(sets, list(objects), shown, progress)

    def _measured(
        self,
        judged: SetReconstruction,
        oracles: list[OracleMap],
        shown: Mapping[str, SetReconstruction],
        progress: Progress,
    ) -> dict[str, Any]:
        """Return the gate of one reconstruction, and the curves of those shown beside it."""
        from gimbal_nbv.view_sensitivity import coverage_weights, gate, stage_findings

        settings = self.settings.sensitivity
        longest = min(settings.longest, self.views.candidates - 1)
        states = _states(oracles, longest, self.seed, progress)
        gates = gate(stage_findings(judged, states), settings)
        return {
            "lambdas": list(coverage_weights(gates, longest)),
            "objects": len(oracles),
            "stages": [_stage(one) for one in gates],
            "curves": {name: _curves(one, oracles, longest + 1) for name, one in shown.items()},
        }

    def _oracles(
        self, inputs: StageInputs, share: float, count: int
    ) -> dict[OracleMap, ViewImages | None]:
        """Return validation objects, with their images where stage `views` is at hand.

        Where none is kept to validate on, they are those trained on.
        """
        rows = open_rows(inputs, "oracle")
        train, val = training_rows(rows, share, self.seed)
        chosen = val if len(val) else train
        places = np.linspace(0, len(chosen) - 1, min(len(chosen), count)).round().astype(np.int64)
        protocol = protocol_of(self.views, self.oracle)
        noise = DepthNoise(self.oracle.depth_noise, self.seed)
        names = rows.column("object_id")
        return {
            read_oracle(rows, int(row), protocol): (
                read_images(inputs, str(names[int(row)]), noise) if "views" in inputs else None
            )
            for row in chosen[places]
        }


def _metrics(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the headline: of the completion net at the top, of the multi-view model by name."""
    passed = {
        name: sum(stage["passed"] for stage in part["stages"])
        for name, part in (("", record), ("multiview", record.get("multiview", {})))
        if "stages" in part
    }
    numbers: dict[str, Any] = {}
    if "" in passed:
        numbers |= {"lambdas": record["lambdas"], "stages_passed": passed[""]}
        numbers["objects"] = record["objects"]
    if "multiview" in passed:
        part = record["multiview"]
        columns = ("views", "worsening", "spearman", "passed")
        numbers["multiview"] = {
            "stages_passed": passed["multiview"],
            "objects": part["objects"],
            "stages": [{name: stage[name] for name in columns} for stage in part["stages"]],
            "worsening": {
                name: curve["worsening"] for name, curve in part["curves"]["multiview"].items()
            },
        }
    return numbers


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
