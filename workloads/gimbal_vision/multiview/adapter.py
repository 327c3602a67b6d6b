"""The published model behind the contract of ours, where its package `mapanything` is installed.

Only its `forward` is called, never its `infer`: that one turns ranges into z-depths and rays into a
pinhole, which breaks panoramas (multicar.md A3). Samples pass one by one, without their absent
views, because what is given is a setting of the published model and not an input.

Importing this module imports nothing of that package, and weights are read from a folder that the
caller names; they are downloaded only by `download=True`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.cameras.recovery import RayFit
from gimbal_vision.errors import MultiViewError
from gimbal_vision.multiview.encoder import patch_grid
from gimbal_vision.multiview.recovery import recover_camera
from gimbal_vision.multiview.relative import kept_pixels
from gimbal_vision.multiview.stacking import NORMALISATION, restack
from gimbal_vision.multiview.views import InputUse, Predictions, Views

_INSTALL = (
    "pip install 'uniception==0.1.7' and the package from github.com/facebookresearch/map-anything"
)
_HUB_CODE = "facebookresearch_dinov2_main"
"""Folder of torch.hub that the package's image encoder takes its code from."""


class MapAnythingAdapter(nn.Module):
    """`MultiViewModel`'s forward on MapAnything's.

    Args:
        model: A `mapanything` model, or what speaks its interface: `forward(list of views)`,
            `geometric_input_config`, `info_sharing`.
        camera_model: What the views are of, for `cameras`; the rays themselves are always free.
        patch: Side of the model's patches in pixels.
    """

    def __init__(self, model: nn.Module, *, camera_model: str = "pinhole", patch: int = 14) -> None:
        super().__init__()
        self.model = model
        self.camera_model = camera_model
        self.patch = patch

    @classmethod
    def from_pretrained(
        cls, source: str | Path, *, camera_model: str = "pinhole", download: bool = False
    ) -> MapAnythingAdapter:
        """Return the published model with its weights.

        Args:
            source: A local folder of weights; or a name on the Hugging Face hub, with `download`.
            camera_model: See the class.
            download: Allow the network.

        Raises:
            MultiViewError: The package is missing, or something would have to be downloaded.
        """
        package = _package()
        if not download:
            _must_be_here(Path(source))
        return cls(package.from_pretrained(str(source)), camera_model=camera_model)

    def forward(self, views: Views, use: InputUse | None = None) -> Predictions:
        """Return metric predictions; what is said of absent views is zero.

        Raises:
            MultiViewError: The images are not made of whole patches.
        """
        patch_grid(views, self.patch)
        samples = [self._predicted(views, use, sample) for sample in range(len(views.img))]
        joined = {name: torch.cat([sample[name] for sample in samples]) for name in samples[0]}
        return Predictions(matches=None, **joined)

    def tokens(self, views: Views, use: InputUse | None = None) -> Tensor:
        """Return [B, N, P, D] features after the trunk's final LayerNorm; absent views' are 0."""
        rows, columns = patch_grid(views, self.patch)
        found: list[Tensor] = []

        def keep(_module: nn.Module, _inputs: object, output: Any) -> None:
            found.append(torch.stack([f.flatten(2).mT for f in output[0].features], dim=1))

        trunk: Any = self.model.info_sharing
        handle = trunk.register_forward_hook(keep)
        try:
            self.forward(views, use)
        finally:
            handle.remove()
        count = views.img.shape[1]
        tokens = [
            _padded(part, there, count) for part, there in zip(found, _present(views), strict=True)
        ]
        return torch.cat(tokens).reshape(len(tokens), count, rows * columns, -1)

    def cameras(self, predictions: Predictions, sample: int = 0) -> list[RayFit[CameraModel]]:
        """Return the camera of each view of a sample, of the model that `camera_model` names."""
        rays = predictions.ray_directions[sample].detach().cpu().numpy()
        return [recover_camera(field, self.camera_model) for field in rays]

    def _predicted(self, views: Views, use: InputUse | None, sample: int) -> dict[str, Tensor]:
        there = _present(views)[sample]
        given = [_view(views, use, sample, int(number)) for number in there.nonzero()[:, 0]]
        with _told(self.model, use, sample):
            said = restack(self.model(given))
        count = views.img.shape[1]
        padded = {
            name: _padded(value, there, count)
            for name, value in vars(said).items()
            if value is not None and name != "metric_scaling_factor"
        }
        return {**padded, "metric_scaling_factor": said.metric_scaling_factor}


def _package() -> Any:
    try:
        from mapanything.models import MapAnything
    except ImportError as exc:
        raise MultiViewError(
            f"the package mapanything is not installed: {exc}",
            f"it is on no package index; {_INSTALL}; or use the model of gimbal_vision.multiview",
        ) from exc
    return MapAnything


def _must_be_here(source: Path) -> None:
    if not source.is_dir():
        raise MultiViewError(
            f"{source} is no folder of weights",
            "download it yourself and name the folder, or allow it with download=True",
        )
    code = Path(torch.hub.get_dir()) / _HUB_CODE
    if not code.is_dir():
        raise MultiViewError(
            f"mapanything builds its image encoder with code of torch.hub, which is not at {code}",
            "put github.com/facebookresearch/dinov2 there, or allow it with download=True",
        )


def _view(views: Views, use: InputUse | None, sample: int, number: int) -> dict[str, Any]:
    """Return one view of one sample, with the geometry that is used and no other."""
    at = (slice(sample, sample + 1), number)
    view: dict[str, Any] = {"img": views.img[at], "data_norm_type": [NORMALISATION]}
    metric = views.is_metric_scale
    view["is_metric_scale"] = (
        torch.ones(1, dtype=torch.bool, device=views.img.device)
        if metric is None
        else metric[at[0]]
    )
    if use is None:
        return view
    if views.ray_directions_cam is not None and bool(use.rays[sample, number]):
        view["ray_directions_cam"] = views.ray_directions_cam[at]
    if views.depth_along_ray is not None and bool(use.depth[sample, number]):
        view["depth_along_ray"] = _ranges(views.depth_along_ray, use, sample)[None, number]
    posed = bool(use.pose[sample, number] & use.pose[sample, 0])
    if posed and views.camera_pose_quats is not None and views.camera_pose_trans is not None:
        view["camera_pose_quats"] = views.camera_pose_quats[at]
        view["camera_pose_trans"] = views.camera_pose_trans[at]
    return view


def _ranges(ranges: Tensor, use: InputUse, sample: int) -> Tensor:
    """Return [N, H, W, 1], thinned as our own model would."""
    if use.sparse_key is None or not bool(use.sparse_depth[sample]):
        return ranges[sample]
    key = use.sparse_key[sample : sample + 1]
    return ranges[sample] * kept_pixels(key, (1, *ranges.shape[1:]))[0]


@contextmanager
def _told(model: Any, use: InputUse | None, sample: int) -> Iterator[None]:
    """Make the model use every input that it is handed, in this sample."""
    before = model.geometric_input_config
    model.geometric_input_config = {**before, **_probabilities(use, sample)}
    try:
        yield
    finally:
        model.geometric_input_config = before


def _probabilities(use: InputUse | None, sample: int) -> Mapping[str, float]:
    given = float(use is not None)
    return {
        "overall_prob": given,
        "dropout_prob": 1.0 - given,
        "ray_dirs_prob": given,
        "depth_prob": given,
        "cam_prob": given,
        "sparse_depth_prob": 0.0,
        "depth_scale_norm_all_prob": 0.0 if use is None else 1.0 - float(use.depth_scale[sample]),
        "pose_scale_norm_all_prob": 0.0 if use is None else 1.0 - float(use.pose_scale[sample]),
    }


def _present(views: Views) -> Tensor:
    """Return [B, N] bool."""
    if views.present is not None:
        return views.present
    return torch.ones(views.img.shape[:2], dtype=torch.bool, device=views.img.device)


def _padded(said: Tensor, there: Tensor, count: int) -> Tensor:
    """Return [1, N, ...] of [1, n, ...], zero where a view is absent."""
    padded = said.new_zeros(1, count, *said.shape[2:])
    padded[:, there] = said
    return padded
