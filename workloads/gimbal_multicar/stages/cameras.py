"""Stage `cameras`: the cars' own pictures, row for row beside the panoramas.

Items, keys and order are those of stage `panoramas`, and so are the exposures of its cameras, so a
model that is shown pictures sees the very light that one shown panoramas sees. Made cars' pictures
are drawn at their own small size; real ones are scaled, colours by area, depth by the nearest
pixel, and a LiDAR's points are thrown into the small picture anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gimbal.data.schema import BlockSchema
from gimbal.data.stage import Item, seed_of_item
from gimbal.errors import ConfigError
from gimbal_multicar.camera_rows import camera_row, camera_schema, pictured_rig
from gimbal_multicar.data_settings import DataSettings, PanoramaSettings
from gimbal_multicar.learning.settings import CameraViewSettings
from gimbal_multicar.opv2v.model import CarFrameId
from gimbal_multicar.rows import RowSource
from gimbal_multicar.stages.car_stage import CarStage, car_stage_fields
from gimbal_multicar.stages.made import SOURCE, made_scenario
from gimbal_multicar.stages.panoramas import PANORAMAS
from gimbal_vision.panoramas.exposure import exposure_jitter
from gimbal_vision.poses import invert_pose

if TYPE_CHECKING:
    from gimbal_multicar.opv2v.depth import DepthImages
    from gimbal_multicar.opv2v.model import CarFrame
    from gimbal_multicar.opv2v.reader import Opv2v

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Floats = np.ndarray[Any, np.dtype[np.float32]]

CAMERAS = "cameras"


@dataclass(frozen=True, kw_only=True)
class CamerasStage(CarStage):
    """Keeps every car's pictures; see `cameras_stage`, which makes it from a config.

    Attributes:
        view: The pictures' size.
    """

    view: CameraViewSettings

    @property
    def schema(self) -> BlockSchema:
        """One row a car and frame."""
        return camera_schema(self.view)

    def made_row(self, item: Item) -> Mapping[str, Any]:
        """Draw one car's pictures."""
        from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
        from gimbal_multicar.synthesis.cameras import render_images
        from gimbal_multicar.synthesis.recording import car_frame
        from gimbal_multicar.synthesis.world import world_of

        made = made_scenario(self.settings.synthetic, self.seed, item["index"])
        frame, agent = item["frame"], item["agent"]
        rig = nominal_opv2v_rig(self.view.height, self.view.width)
        who = CarFrameId(made.split, made.name, agent, frame)
        car = car_frame(made, who, [], self.settings.reference, rig=rig)
        moment = world_of(made).moment(frame, agent)
        drawn = render_images(made, moment, car.rig, car.world_from_car, threads=1)
        images = self._exposed({name: one.rgb for name, one in drawn.items()}, item)
        depths = {name: one.z_depth_m for name, one in drawn.items()}
        return camera_row(car, images, depths, SOURCE, self.view)

    def real_row(self, dataset: Opv2v, frame: CarFrameId, item: Item) -> Mapping[str, Any]:
        """Read one car's pictures."""
        car = dataset.read(frame)
        images = self._exposed(dataset.images(car), item)
        depth = dataset.depths(car)
        source = RowSource(source="opv2v", depth_source=depth.source, depth_density=depth.density)
        z_depth_m = self._depths(car, images, depth)
        return camera_row(car, images, z_depth_m, source, self.view)

    def _exposed(self, images: Mapping[str, Bytes], item: Item) -> Mapping[str, Bytes]:
        """Return the images with the gains that the same car's panorama has."""
        if not self.settings.exposure_jitter:
            return images
        rng = np.random.default_rng(seed_of_item(self.seed, PANORAMAS, item["id"]))
        changed = exposure_jitter(list(images.values()), rng, self.settings.exposure_jitter)
        return dict(zip(images, changed, strict=True))

    def _depths(
        self, car: CarFrame, images: Mapping[str, Bytes], depth: DepthImages
    ) -> Mapping[str, Floats]:
        """Return the depths; a LiDAR's in the pictures' size, where fewer pixels stay unknown."""
        from gimbal_multicar.opv2v.depth import splat

        if depth.points_car is None:
            return depth.z_depth_m
        points = depth.points_car
        return {
            c.name: splat(points, invert_pose(c.car_from_camera), c.camera)
            for c in pictured_rig(car, images, self.view).cameras
        }


def cameras_stage(data: DataSettings, view: CameraViewSettings, seed: int) -> CamerasStage:
    """Return the stage that a config asks for; how panoramas are fused does not bear on it.

    Args:
        data: `config.data`.
        view: `config.samples.camera_view`.
        seed: Of made streets and exposures.

    Raises:
        ConfigError: The source's crop is asked for, which is about panoramas.
    """
    if data.legacy_crop:
        raise ConfigError(
            "data.legacy_crop crops the pictures to the panorama's shape; samples.views asks for "
            "the cars' own pictures",
            "drop data.legacy_crop, or use samples.views: panoramas",
        )
    own = data.model_copy(update={"panorama": PanoramaSettings()})
    return CamerasStage(name=CAMERAS, view=view, **car_stage_fields(own, seed))
