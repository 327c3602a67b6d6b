"""The multi-view model as a training task: view sets of training objects, geometry told or not.

How many views a sample has, and what the network is told of them, depends on the sample and the
step alone, and every sample is padded to the same number of views: neither the batch it lands in
nor the number of workers changes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal_nbv.multiview.settings import MultiviewSettings
from gimbal_nbv.stages.reading import DepthNoise, images_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    from gimbal.data.reading import BlockReader
    from gimbal.training.task import Batch, LossTerms, ParameterGroups, Source
    from gimbal_vision.multiview.views import InputUse, Predictions, Truth, Views

Names = tuple[str, ...]

_WEIGHTS = {"mask": 3.0, "depth": 3.0, "normals": 1.0, "gradients": 1.0}
"""Where they differ from the published ones: an object fills a seventh of a picture, and background
that is not known as such would be points in the air."""
_VALIDATION_SETS = 48
_VALIDATION_BATCH = 8


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewSets:
    """Random access to view sets: sample n is a set of the n-th object given; a `Source`.

    Attributes:
        rows: Of stage `views`.
        noise: Of their depth.
        objects: Object of each sample; one that appears twice gets two different sets.
        longest: Largest number of views N of a set; lengths go round.
        seed: Decides which views are drawn.
    """

    rows: BlockReader
    noise: DepthNoise
    objects: Names
    longest: int
    seed: int

    def __len__(self) -> int:
        return len(self.objects)

    def fetch(self, indices: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Return `depth` float32 [B,N,H,W], `cam2world`, `K` and `present` bool [B,N].

        The views of a sample that has fewer are its first one again, and not present.
        """
        samples = [self._sample(int(index)) for index in indices]
        return {name: np.stack([one[name] for one in samples]) for name in samples[0]}

    def _sample(self, index: int) -> dict[str, np.ndarray[Any, Any]]:
        images = images_of(self.rows, self.objects[index], self.noise)
        count = 1 + index % self.longest
        order = np.random.default_rng([self.seed, index]).permutation(len(images.depth))
        chosen = np.where(np.arange(self.longest) < count, order[: self.longest], order[0])
        return {
            "depth": images.depth[chosen],
            "cam2world": images.cam2world[chosen].astype(np.float32),
            "K": images.K[chosen].astype(np.float32),
            "present": np.arange(self.longest) < count,
        }


class MultiviewTask:
    """A `gimbal.training.task.TrainTask`.

    Attributes:
        find_unused_parameters: On: what encodes geometry takes no part where none is told.

    Args:
        settings: The network and its training.
        rows: Of stage `views`.
        parts: The objects to train and to validate on.
        noise: Of the views' depth.
    """

    find_unused_parameters = True

    def __init__(
        self,
        settings: MultiviewSettings,
        rows: BlockReader,
        parts: tuple[Names, Names],
        noise: DepthNoise,
    ) -> None:
        from gimbal_vision.multiview.losses.presets import LossWeights
        from gimbal_vision.multiview.losses.total import MultiViewLoss

        self._settings = settings
        self._rows = rows
        self._parts = {"train": parts[0], "val": parts[1] or parts[0]}
        self._noise = noise
        self._loss = MultiViewLoss(LossWeights(**_WEIGHTS))
        self.term_weights = dict(self._loss.term_weights)

    def build(self) -> tuple[nn.Module, ParameterGroups]:
        """Make the network."""
        from gimbal_nbv.multiview.network import build_network

        model = build_network(self._settings)
        return model, [{"name": "multiview", "params": list(model.parameters())}]

    def source(self, split: str) -> ViewSets:
        """Return view sets of a split's objects; lone training objects also validate."""
        names = self._parts[split]
        if split == "train":
            objects = names * self._settings.per_object
        else:
            objects = tuple(names[n % len(names)] for n in range(_VALIDATION_SETS))
        return ViewSets(
            rows=self._rows,
            noise=self._noise,
            objects=objects,
            longest=self._longest,
            seed=self._noise.seed,
        )

    @property
    def _longest(self) -> int:
        return min(self._settings.longest, len(self._rows[0]["cam2world"]))

    def loss(self, module: nn.Module, batch: Batch, step: int) -> LossTerms:
        """Return the losses of one batch."""
        views, truth = self._pair(batch)
        use = self._drawn(batch, step)
        return self._loss(module(views, use), truth)

    def counts(self, batch: Batch, step: int) -> Mapping[str, Tensor]:
        """Return the counts of `loss`, without running the network."""
        return self._loss.counts(self._pair(batch)[1])

    def validate(self, module: nn.Module, source: Source) -> Mapping[str, Any]:
        """Return how far predicted points are off, given everything and given images only.

        `given/point_error` and `images/point_error` are means over the pixels that hit, in
        diagonals and in each camera's axes; `.../placed_error` are those in the first view's frame,
        by predicted poses; `.../mask_error` is the share of pixels whose mask is wrong.
        `point_error` is that of everything given, which is how the network is used.
        """
        from gimbal_nbv.multiview.told import everything

        sums: dict[str, np.ndarray[Any, Any]] = {}
        for start in range(0, len(source), _VALIDATION_BATCH):
            index = np.arange(start, min(start + _VALIDATION_BATCH, len(source)))
            views, truth = self._pair(_on(module, source.fetch(index)))
            for name, use in (("given", everything(truth.present)), ("images", None)):
                for what, pair in errors_of(module(views, use), truth).items():
                    key = f"{name}/{what}"
                    sums[key] = sums.get(key, np.zeros(2)) + pair
        numbers = {key: float(total / max(count, 1.0)) for key, (total, count) in sums.items()}
        return numbers | {"point_error": numbers["given/point_error"]}

    def _pair(self, batch: Batch) -> tuple[Views, Truth]:
        from gimbal_nbv.multiview.views import truth_of, views_of

        size, present = self._settings.image_size, batch["present"]
        views = views_of(batch["depth"], batch["cam2world"], batch["K"], size, present)
        return views, truth_of(views, batch["cam2world"], present)

    def _drawn(self, batch: Batch, step: int) -> InputUse:
        """Draw what each sample is told, by its own number and the step."""
        from gimbal.training.keyed import keyed_uniform
        from gimbal_nbv.multiview.told import drawn_use, uniforms_of

        seed, ids = self._noise.seed, batch["sample_ids"]
        uniforms = keyed_uniform(seed, step, ids, (uniforms_of(self._longest),), stream="multiview")
        return drawn_use(self._settings, uniforms, batch["present"])


def errors_of(predicted: Predictions, truth: Truth) -> dict[str, tuple[float, float]]:
    """Return sums by name, and what each is summed over.

    They are the distance of predicted points in each camera's axes over the pixels that hit, that
    in the first view's frame by predicted poses over the same, and the pixels whose mask is wrong
    over all pixels of views that are there.

    Args:
        predicted: By the network.
        truth: Of the same views.
    """
    from gimbal_vision.poses import relative_pose, transform_points

    first_from_camera = relative_pose(truth.camera_pose[:, :1], truth.camera_pose)
    flat = truth.pts3d_cam.flatten(2, 3)
    points = transform_points(first_from_camera, flat).reshape(truth.pts3d_cam.shape)
    placed = (predicted.pts3d - points).norm(dim=-1) * truth.valid_mask
    own = (predicted.pts3d_cam - truth.pts3d_cam).norm(dim=-1) * truth.valid_mask
    there = truth.present[..., None, None]
    wrong = (predicted.non_ambiguous_mask != truth.non_ambiguous_mask) & there
    hit = float(truth.valid_mask.sum())
    pixels = float(truth.present.sum()) * wrong[0, 0].numel()
    return {
        "point_error": (float(own.sum()), hit),
        "placed_error": (float(placed.sum()), hit),
        "mask_error": (float(wrong.sum()), pixels),
    }


def _on(module: nn.Module, arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    import torch

    device = next(module.parameters()).device
    return {name: torch.as_tensor(value).to(device) for name, value in arrays.items()}
