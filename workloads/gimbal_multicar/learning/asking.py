"""Asks a trained pair about held-out samples, a few at a time, and keeps numbers alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gimbal.experiment.stage import Progress
from gimbal_multicar.judging.contract import FrameId
from gimbal_multicar.judging.measuring import measure
from gimbal_multicar.judging.points import Thinning
from gimbal_multicar.judging.pose_evaluation import PoseSet
from gimbal_multicar.judging.poses import absolute_errors
from gimbal_multicar.judging.ranges import range_errors
from gimbal_multicar.judging.rows import CarFacts
from gimbal_multicar.judging.samples import JudgedSample
from gimbal_multicar.learning.judged import input_use, judged_samples
from gimbal_multicar.learning.model import CoopTwins
from gimbal_multicar.learning.predicting import answers, in_chunks, predict
from gimbal_multicar.learning.samples import CoopSource
from gimbal_multicar.learning.settings import PriorSettings

PRIORS = "pose_priors"
"""Name of the judgement at which the model is told its noisy priors of poses."""


@dataclass(frozen=True, eq=False, kw_only=True)
class HeldOut:
    """What is asked about what.

    Attributes:
        twins: Both networks, on their device.
        source: Held-out samples.
        facts: Boxes and coverage of their cars.
        at_once: Samples that are read together; None: a few. Each is asked about alone.
    """

    twins: CoopTwins
    source: CoopSource
    facts: CarFacts
    at_once: int | None = None

    def samples(self, told: str | None = None) -> Iterator[JudgedSample]:
        """Yield every sample as it is judged.

        Args:
            told: What the model is told besides images, of `judged.TOLD` or `PRIORS`; None:
                nothing.
        """
        for indices in in_chunks(len(self.source), self.at_once):
            yield from self.ask(indices, told)

    def ask(self, indices: Any, told: str | None = None) -> list[JudgedSample]:
        """Return some samples as they are judged; see `samples`."""
        moments = [self.source.moments[int(index)] for index in indices]
        priors = None if told == PRIORS else PriorSettings()
        found = answers(self.twins, self.source, indices, priors=priors)
        if told is not None and told != PRIORS:
            use = input_use(told, found.batch["present"])
            found = replace(found, said=predict(self.twins, found.batch, use, priors=priors))
        boxes = [self.facts.boxes(moment) for moment in moments]
        return judged_samples(found, [FrameId.of(moment) for moment in moments], boxes)


def measured(
    held_out: HeldOut, thinning: Thinning, progress: Progress
) -> tuple[list[dict[str, Any]], list[PoseSet]]:
    """Return the numbers and the poses of every sample, told images alone."""
    records, sets = [], []
    for done, sample in enumerate(held_out.samples(), start=1):
        records.append(measure(sample, thinning))
        sets.append(
            PoseSet(
                frame=sample.frame,
                true=sample.truth.main_from_car,
                predicted=sample.prediction.main_from_car,
                blind=sample.blind,
            )
        )
        progress(done, len(held_out.source), "samples")
    return records, sets


def told_numbers(held_out: HeldOut, told: str) -> Mapping[str, float | None]:
    """Return the means of poses and ranges when the model is told more than images.

    Numbers that are not finite are left out, and `missing` says how many there were.
    """
    columns: dict[str, list[float]] = {"pose_trans_m": [], "pose_rot_deg": [], "depth_rel": []}
    missing = 0
    for sample in held_out.samples(told):
        truth, said = sample.truth, sample.prediction
        errors = absolute_errors(said.main_from_car[1:], truth.main_from_car[1:])
        ranges = range_errors(said.range_m, truth.range_m, truth.valid, truth.solid_angle)
        depth = [] if ranges["absrel"] is None else [ranges["absrel"]]
        new = (errors.trans_m.tolist(), errors.rot_deg.tolist(), depth)
        for column, values in zip(columns.values(), new, strict=True):
            known = [value for value in values if np.isfinite(value)]
            missing += len(values) - len(known)
            column += known
    means = {name: float(np.mean(v)) if v else None for name, v in columns.items()}
    return {**means, "missing": float(missing)}
