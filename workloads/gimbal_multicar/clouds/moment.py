"""A moment as it is shown: its cars, and what a model says of them.

A car's `view` and `main_from_car` are what is drawn; its row is always the truth. So everything
that draws or counts points works alike on true and on predicted ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from gimbal_multicar.cooperation.moments import CoopMoment, CoopRule
from gimbal_multicar.cooperation.views import View
from gimbal_multicar.row_reading import camera_of, image_of
from gimbal_vision.cameras import Panorama
from gimbal_vision.panoramas.model import PanoramaImage

if TYPE_CHECKING:
    from gimbal_multicar.judging.samples import JudgedSample

Row = Mapping[str, Any]
Doubles = np.ndarray[Any, np.dtype[np.float64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Origin = Literal["gt", "pred"]
"""Where poses, or ranges, come from: ground truth, or a model."""

STEMS: Mapping[tuple[Origin, Origin], str] = {
    ("gt", "gt"): "",
    ("pred", "pred"): "_pred",
    ("gt", "pred"): "_pred_gtpose",
    ("pred", "gt"): "_predpose",
}
"""What files' names get, by origin of poses and of ranges, so that all four may share a folder."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Said:
    """What a model says of one car.

    Attributes:
        main_from_car: [4, 4] its pose in the main car's frame, metres.
        range_m: [H, W] along the ray.
        points_car: [H, W, 3] in the car's own axes, metres.
        mask_logits: [H, W] of the mask of unambiguous pixels.
    """

    main_from_car: Doubles
    range_m: Floats
    points_car: Floats
    mask_logits: Floats

    @property
    def mask(self) -> Bools:
        """[H, W] whether the mask's probability exceeds one half."""
        found: Bools = self.mask_logits > 0
        return found

    @property
    def mask_probability(self) -> Floats:
        """[H, W] 0 to 1."""
        probability: Floats = 0.5 * (1.0 + np.tanh(0.5 * self.mask_logits))
        return probability


@dataclass(frozen=True, eq=False, kw_only=True)
class Car:
    """One car of the moment.

    Attributes:
        agent: Its id.
        row: The truth, see `gimbal_multicar.rows`.
        main_from_car: [4, 4] its pose in the main car's frame, as it is shown.
        true_main_from_car: [4, 4] its true pose.
        view: See `gimbal_multicar.cooperation.car_view`; ranges, points and masks as shown.
        said: What a model says of it; none: no model was asked.
    """

    agent: str
    row: Row
    main_from_car: Doubles
    true_main_from_car: Doubles
    view: View
    said: Said | None = None

    @property
    def camera(self) -> Panorama:
        """Geometry of its panorama."""
        return camera_of(self.row)

    @property
    def image(self) -> PanoramaImage:
        """Its true panorama."""
        return image_of(self.row)

    @property
    def true_range_m(self) -> Floats:
        """[H, W] the true range along the ray, 0 where it is unknown."""
        image = self.image
        known: Floats = np.where(image.valid, image.range_m, np.float32(0))
        return known

    @property
    def points_main(self) -> Floats:
        """Return [P, 3] its shown points in the main car's frame, in the order of pixels."""
        points: Floats = self.view["pts3d"][self.view["valid_mask"]]
        return points

    @property
    def colours(self) -> Bytes:
        """Return [P, 3] their colours."""
        colours: Bytes = np.asarray(self.row["rgb"])[self.view["valid_mask"]]
        return colours


@dataclass(frozen=True, eq=False, kw_only=True)
class Prediction:
    """A model's answer about a moment, and what it is measured by.

    Attributes:
        sample: Truth and answer, as an evaluation judges them.
        checkpoint: `path`, `step` and `sha256` of the model.
        mean_pose: [N, 4, 4] the best constant of the training split; none: it had no partners.
        expected_coverage: Share of pixels that the cars' calibration promises.
    """

    sample: JudgedSample
    checkpoint: Mapping[str, Any]
    mean_pose: Doubles | None
    expected_coverage: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Gathered:
    """The cars of one moment, the main one first, in its frame.

    Attributes:
        moment: Who, where and when.
        index: Number of the moment in its split, under the rule.
        cars: In the moment's order.
        pose_source: Where poses come from.
        rule: Which cars belong together.
        unreadable: Messages of cars that were passed over on the way, because a file is broken.
        record: What made it: run or data set, commit, config.
        geometry: Where ranges and masks come from.
        prediction: A model's answer; none: no model was asked.
    """

    moment: CoopMoment
    index: int
    cars: tuple[Car, ...]
    pose_source: Origin
    rule: CoopRule
    unreadable: tuple[str, ...]
    record: Mapping[str, Any]
    geometry: Origin = "gt"
    prediction: Prediction | None = None

    @property
    def name(self) -> str:
        """What the files' names begin with: `train_idx0`, `test_idx0_pred`."""
        stem = STEMS[self.pose_source, self.geometry]
        return f"{self.moment.split}_idx{self.index}{stem}"

    @property
    def title(self) -> str:
        """Split, scenario and frame."""
        return f"{self.moment.split}/{self.moment.scenario}/{self.moment.frame}"
