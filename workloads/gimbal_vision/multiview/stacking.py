"""Between one dictionary a view, as MapAnything's family has it, and tensors with axes [B, N, ...].

A dictionary may hold batches ([B, ...]) or one sample, as `gimbal_multicar.cooperation.car_view`
gives it; keys that only data sets need are ignored. Geometry that some views have and others do
not is filled with neutral values, and `given_inputs` says which is real.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.views import InputUse, Predictions, Views

View = Mapping[str, Any]

NORMALISATION = "dinov2"

_NEUTRAL: dict[str, Sequence[float]] = {
    "ray_directions_cam": (0.0, 0.0, 0.0),
    "depth_along_ray": (0.0,),
    "camera_pose_quats": (0.0, 0.0, 0.0, 1.0),
    "camera_pose_trans": (0.0, 0.0, 0.0),
}
_OF_A_VIEW = (
    "pts3d",
    "pts3d_cam",
    "ray_directions",
    "depth_along_ray",
    "cam_trans",
    "cam_quats",
    "conf",
    "non_ambiguous_mask_logits",
)


def stack(views: Sequence[View]) -> Views:
    """Return one `Views` of N dictionaries.

    Args:
        views: `img` [B, 3, H, W] or [3, H, W], and any of the geometric keys of `Views` with or
            without the batch axis, numpy or torch; `is_metric_scale` (missing: it is).

    Raises:
        MultiViewError: There are no views, one has no image or one of another size, or its image is
            not normalised as DINOv2's are.
    """
    if not views:
        raise MultiViewError("no views to stack", "give at least one dictionary")
    images = [_image(view, number) for number, view in enumerate(views)]
    if len({tuple(image.shape) for image in images}) > 1:
        shapes = ", ".join(str(tuple(image.shape)) for image in images)
        raise MultiViewError(
            f"views have images of different shapes: {shapes}",
            "resize them to one size, and give every view the same samples",
        )
    geometry = {key: _gathered(key, views, images) for key in _NEUTRAL}
    return Views(img=torch.stack(images, dim=1), is_metric_scale=_metric(views, images), **geometry)


def given_inputs(views: Sequence[View]) -> InputUse:
    """Return the use of all geometry that the dictionaries hold, in every sample.

    Ranges of a view whose `has_depth` is false are not used.
    """
    first = _image(views[0], 0)
    batch, device = len(first), first.device

    def held(*keys: str) -> Tensor:
        has = [all(view.get(key) is not None for key in keys) for view in views]
        return torch.tensor(has, device=device).expand(batch, -1)

    known = torch.stack([_flags(view.get("has_depth", True), first) for view in views], dim=1)
    told = torch.ones(batch, dtype=torch.bool, device=device)
    return InputUse(
        rays=held("ray_directions_cam"),
        depth=held("depth_along_ray") & known,
        pose=held("camera_pose_quats", "camera_pose_trans"),
        depth_scale=told,
        pose_scale=told,
        sparse_depth=~told,
    )


def unstack(predictions: Predictions) -> list[dict[str, Tensor]]:
    """Return N dictionaries, each batch first, with the keys of MapAnything's output."""
    return [
        {
            **{key: getattr(predictions, key)[:, number] for key in _OF_A_VIEW},
            "metric_scaling_factor": predictions.metric_scaling_factor,
            "non_ambiguous_mask": predictions.non_ambiguous_mask[:, number],
        }
        for number in range(predictions.cam_trans.shape[1])
    ]


def restack(views: Sequence[Mapping[str, Tensor]]) -> Predictions:
    """Return the predictions of N dictionaries as `unstack` gives them."""
    return Predictions(
        metric_scaling_factor=views[0]["metric_scaling_factor"].reshape(-1, 1),
        matches=None,
        **{key: torch.stack([view[key] for view in views], dim=1) for key in _OF_A_VIEW},
    )


def _image(view: View, number: int) -> Tensor:
    if view.get("img") is None:
        raise MultiViewError(f"view {number} has no image", "give it the key img, [3, H, W]")
    kinds = view.get("data_norm_type", NORMALISATION)
    kind = kinds if isinstance(kinds, str) else kinds[0]
    if kind != NORMALISATION:
        raise MultiViewError(
            f"view {number}: data_norm_type is {kind!r}",
            f"normalise its image by DINOv2's mean and deviation and write {NORMALISATION!r}",
        )
    image = torch.as_tensor(view["img"])
    return image[None] if image.ndim == 3 else image


def _gathered(key: str, views: Sequence[View], images: Sequence[Tensor]) -> Tensor | None:
    """Return [B, N, ...], or None where no view has the key."""
    if all(view.get(key) is None for view in views):
        return None
    inner: Sequence[int] = () if key.startswith("camera_pose") else images[0].shape[-2:]
    shape = (len(images[0]), *inner, len(_NEUTRAL[key]))
    parts = []
    for view in views:
        value = view.get(key)
        neutral = images[0].new_tensor(_NEUTRAL[key])
        part = neutral if value is None else torch.as_tensor(value).to(images[0])
        parts.append(part.expand(shape))
    return torch.stack(parts, dim=1)


def _metric(views: Sequence[View], images: Sequence[Tensor]) -> Tensor:
    """Return [B] bool: metric in every view."""
    flags = [_flags(view.get("is_metric_scale", True), images[0]) for view in views]
    return torch.stack(flags).all(dim=0)


def _flags(value: Any, image: Tensor) -> Tensor:
    return torch.as_tensor(value, device=image.device).bool().expand(len(image))
