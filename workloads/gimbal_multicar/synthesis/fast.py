"""Made cars straight to panoramas, without images in between and without files.

The panorama's rays are cast from its own centre, so ranges are exact and there is neither parallax
nor a seam: the training volume for whoever does not study the camera rig. What the rig cannot see
is left out all the same. The world is the one that `gimbal multicar synthesize` writes to disk for
the same settings, seed and index.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from gimbal_multicar.opv2v.model import CarFrame, CarFrameId, Reference
from gimbal_multicar.opv2v.nominal import nominal_opv2v_rig
from gimbal_multicar.synthesis.appearance import finish_rays, light_rays, look_of
from gimbal_multicar.synthesis.recording import (
    car_frame,
    vehicle_from_reference,
    world_from_vehicle,
)
from gimbal_multicar.synthesis.scenario import Scenario, scenario
from gimbal_multicar.synthesis.world import Ids, Moment, world_of
from gimbal_vision.cameras import Panorama
from gimbal_vision.panoramas.model import MAX_RANGE_M, NO_CAMERA, PanoramaImage

__all__ = ["Scenario", "render_panoramas", "scenario"]

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]


def render_panoramas(
    scenario: Scenario,
    frame: str,
    agent: str,
    panorama: Panorama,
    reference: Reference = "lidar",
) -> tuple[CarFrame, PanoramaImage]:
    """Return one made car at one moment, and what surrounds it.

    Args:
        scenario: From `scenario(settings, seed, index)`.
        frame: One of its frames.
        agent: One of its agents.
        panorama: Geometry.
        reference: The car's frame, which is the panorama's centre.

    Returns:
        The car, whose vehicles are those the panorama sees, and the panorama: the range is exact
        wherever a surface is within 300 m; everything else is sky.
    """
    vehicle_from_car = vehicle_from_reference(scenario.vehicle(agent), reference)
    world_from_car = world_from_vehicle(scenario, frame, agent) @ vehicle_from_car
    moment = world_of(scenario).moment(frame, agent)
    image, face = _panorama(scenario, moment, panorama, world_from_car)
    frame_id = CarFrameId(scenario.split, scenario.name, agent, frame)
    return car_frame(scenario, frame_id, moment.seen(face).tolist(), reference), image


def _panorama(
    scenario: Scenario, moment: Moment, panorama: Panorama, world_from_car: FloatArray
) -> tuple[PanoramaImage, Ids]:
    """Return the panorama, and the faces [N] of what it covers."""
    rays, coverage, camera_index = _geometry(panorama)
    directions = rays @ world_from_car[:3, :3].T
    t, face = moment.first_hit(world_from_car[:3, 3], directions)
    range_m = np.where(face >= 0, t, np.float32(0.0)).astype(np.float32)
    rgb = _colours(scenario, moment, (face, range_m), directions, world_from_car[:3, 3])
    rgb[~coverage.reshape(-1)] = 0
    shape = panorama.height, panorama.width
    surface = coverage & ((range_m > 0) & (range_m <= MAX_RANGE_M)).reshape(shape)
    image = PanoramaImage(
        camera=panorama,
        rgb=rgb.reshape(*shape, 3),
        range_m=np.where(surface, range_m.reshape(shape), np.float32(0.0)),
        coverage=coverage.copy(),
        non_ambiguous=surface,
        valid=surface.copy(),
        camera_index=camera_index.copy(),
        moved_share=0.0,
    )
    return image, face[coverage.reshape(-1)]


def _colours(
    scenario: Scenario,
    moment: Moment,
    hits: tuple[Ids, Floats],
    directions: FloatArray,
    eye: FloatArray,
) -> Bytes:
    face, range_m = hits
    rgb = np.zeros((len(face), 3), np.uint8)
    pixel_rad = float(np.arccos(np.clip(directions[0] @ directions[1], -1.0, 1.0)))
    look = look_of(scenario.light, eye, pixel_rad)
    light_rays(moment.surfaces.table, face, directions, look.sun, rgb)
    finish_rays(rgb, range_m, face, directions, look, moment.surfaces.rough_faces)
    return rgb


@functools.lru_cache(maxsize=8)
def _geometry(panorama: Panorama) -> tuple[FloatArray, Bools, Bytes]:
    """Return rays [H W, 3], coverage [H, W] and camera index [H, W] of the nominal rig.

    Where the rig's cameras stand does not matter, as directions are meant; hence neither does the
    car's frame.
    """
    from gimbal_vision.panoramas.builder import PanoramaBuilder

    builder = PanoramaBuilder(nominal_opv2v_rig(), panorama)
    index = np.where(builder.coverage, builder.table.camera_index, np.uint8(NO_CAMERA))
    return panorama.rays().reshape(-1, 3), builder.coverage, index.astype(np.uint8)
