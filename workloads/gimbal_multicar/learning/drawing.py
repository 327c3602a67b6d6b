"""What training draws of a sample: how many cars are shown, how they are turned, what is told.

Every number is keyed by (seed, step, sample), never by a worker or by how samples are padded, so
any split of a batch draws the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from gimbal.training.keyed import keyed_bits, keyed_uniform
from gimbal_multicar.learning.fitting import views_of_a_sample
from gimbal_multicar.learning.settings import GivenSettings, SampleSettings
from gimbal_multicar.learning.turning import turned
from gimbal_vision.multiview.inputs import (
    PRESETS,
    GivenProbabilities,
    draw_inputs,
    uniforms_needed,
)
from gimbal_vision.multiview.views import InputUse


def probabilities_of(settings: GivenSettings) -> GivenProbabilities | None:
    """Return what the model is told and how often; None: it is never told anything."""
    given = settings.model_dump(exclude={"preset"}, exclude_none=True)
    found = replace(PRESETS[settings.preset], **given)
    told = found.ray_dirs_prob + found.depth_prob + found.cam_prob
    nothing = found.overall_prob == 0.0 or found.dropout_prob == 1.0 or told == 0.0
    return None if nothing else found


@dataclass(frozen=True, kw_only=True)
class Draws:
    """Draws for each step and sample.

    Attributes:
        seed: The experiment's.
        samples: How many cars are shown, whether they are turned.
        given: See `probabilities_of`.
    """

    seed: int
    samples: SampleSettings
    given: GivenProbabilities | None = None

    def shown(self, batch: Mapping[str, Any], step: int) -> Mapping[str, Any]:
        """Return the batch with some partners hidden, where `samples.num_cars` says so."""
        wanted = self.samples.num_cars
        if wanted is None:
            return batch
        ids, car, present = batch["sample_ids"], batch["car"], batch["present"]
        choice = keyed_bits(self.seed, step, ids, stream="num_cars").remainder(len(wanted))
        count = torch.tensor(wanted, device=choice.device)[choice]
        lots = keyed_uniform(self.seed, step, ids, (self.samples.max_cars,), stream="cars")
        lot = torch.gather(lots, 1, car).masked_fill(car == 0, -1.0).masked_fill(~present, 2.0)
        ranks = _car_ranks(lot, car)
        return {**batch, "present": present & (ranks < count[:, None]), "full": False}

    def turned(self, batch: Mapping[str, Any], step: int) -> Mapping[str, Any]:
        """Return the batch with every panorama turned, unless `samples.roll` is off."""
        if self.samples.roll is False or self.samples.views != "panoramas":
            return batch
        width, count = batch["range_m"].shape[-1], batch["present"].shape[1]
        bits = keyed_bits(self.seed, step, batch["sample_ids"], (count,), stream="roll")
        return turned(batch, bits.remainder(width))

    def told(self, batch: Mapping[str, Any], step: int) -> InputUse | None:
        """Return which geometric inputs are given; None: images only."""
        if self.given is None:
            return None
        most = views_of_a_sample(self.samples)
        lots = keyed_uniform(
            self.seed, step, batch["sample_ids"], (uniforms_needed(most),), stream="given"
        )
        return _first_views(draw_inputs(self.given, lots, most), batch["present"].shape[1])


def _car_ranks(lot: Tensor, car: Tensor) -> Tensor:
    """Return [B, N] how many cars have a smaller lot than a view's own.

    Args:
        lot: [B, N], the same for all views of a car.
        car: [B, N] int64.
    """
    first = torch.ones_like(car, dtype=torch.bool)
    first[:, 1:] = car[:, 1:] != car[:, :-1]
    smaller = (lot[:, None, :] < lot[:, :, None]) & first[:, None, :]
    return smaller.sum(dim=-1)


def _first_views(use: InputUse, count: int) -> InputUse:
    """Return the use of the first views; what padding draws must not matter."""
    kept = {f.name: getattr(use, f.name) for f in fields(use)}
    return InputUse(**{n: v[:, :count] if v.ndim == 2 else v for n, v in kept.items()})
