"""What the cameras and the LiDAR of a made car measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.synthesis.appearance import finish_image, look_of, shading_of
from gimbal_multicar.synthesis.recording import vehicle_from_lidar, world_from_vehicle
from gimbal_multicar.synthesis.scenario import Scenario
from gimbal_multicar.synthesis.world import Ids, Moment
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.panoramas.rig import Rig
from gimbal_vision.rendering.raster import RasterRenderer

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

SKY_DEPTH_M = 1000.0
"""CARLA's far plane, which it stores for the sky."""

LIDAR_RINGS = 64
LIDAR_LOW_DEG, LIDAR_HIGH_DEG = -25.0, 5.0
LIDAR_RANGE_M = 120.0
LIDAR_NOISE_M = 0.01
LIDAR_ATTENUATION_PER_M = 0.004
"""Intensity falls as exp(-.004 range), as CARLA's does."""


@dataclass(frozen=True, eq=False)
class CameraImages:
    """What the cameras of a rig see.

    Attributes:
        rgb: [N, H, W, 3] uint8.
        z_depth_m: [N, H, W] float32, `SKY_DEPTH_M` where there is sky.
        face: [N, H, W] int32 face of the moment's mesh, -1 for sky.
    """

    rgb: Bytes
    z_depth_m: Floats
    face: Ids


@dataclass(frozen=True, eq=False)
class LidarScan:
    """What the LiDAR measures.

    Attributes:
        points: [P, 3] float32 in the LiDAR's OpenCV axes.
        intensity: [P] float32, 0 to 1.
        vehicles: Sorted indices of the scenario's vehicles that were hit.
    """

    points: Floats
    intensity: Floats
    vehicles: Ids


def render_images(
    scenario: Scenario, moment: Moment, rig: Rig, world_from_rig: FloatArray
) -> CameraImages:
    """Render all cameras of a rig, which share one image size.

    Args:
        scenario: For its light.
        moment: Surfaces.
        rig: Cameras.
        world_from_rig: [4, 4] pose of the frame that the rig is given in.
    """
    first = rig.cameras[0].camera
    poses = world_from_rig @ rig.car_from_cameras
    K = np.stack([c.camera.K for c in rig.cameras])
    renderer = RasterRenderer(shading_of(scenario.light))
    cameras = PinholeCameras(K, poses, first.height, first.width)
    images = renderer.render(moment.mesh, cameras, ("rgb", "depth", "face_id"))
    for n in range(len(poses)):
        look = look_of(scenario.light, poses[n, :3, 3], 1.0 / float(K[n, 0, 0]))
        rays = poses[n, :3, :3] @ np.linalg.inv(K[n])
        finish_image(
            images.rgb[n],
            images.depth[n],
            images.face_id[n],
            rays,
            look,
            moment.surfaces.rough_faces,
        )
    depth = np.where(images.depth > 0, images.depth, np.float32(SKY_DEPTH_M))
    return CameraImages(images.rgb, depth, images.face_id)


def scan(scenario: Scenario, moment: Moment, frame: str, agent: str, columns: int) -> LidarScan:
    """Return one turn of a car's LiDAR.

    Args:
        scenario: Where.
        moment: Surfaces without the car's own.
        frame: When.
        agent: Whose.
        columns: Shots of each ring.
    """
    rng = scenario.rng("lidar", int(frame), int(agent))
    world_from_lidar = world_from_vehicle(scenario, frame, agent) @ vehicle_from_lidar()
    directions = _shots(columns, float(rng.uniform()))
    t, face = moment.first_hit(world_from_lidar[:3, 3], directions @ world_from_lidar[:3, :3].T)
    hit = (t > 0) & (t < LIDAR_RANGE_M)
    distance = t[hit].astype(np.float64)
    noisy = distance + rng.normal(0.0, LIDAR_NOISE_M, distance.shape)
    return LidarScan(
        points=(directions[hit] * noisy[:, None]).astype(np.float32),
        intensity=np.exp(-LIDAR_ATTENUATION_PER_M * distance).astype(np.float32),
        vehicles=moment.seen(face[hit]),
    )


def _shots(columns: int, phase: float) -> FloatArray:
    """Return [rings * columns, 3] unit directions in the LiDAR's OpenCV axes."""
    up = np.radians(np.linspace(LIDAR_LOW_DEG, LIDAR_HIGH_DEG, LIDAR_RINGS))[:, None]
    around = 2.0 * np.pi * (np.arange(columns) + phase) / columns
    level = np.cos(up)
    x, z = level * np.sin(around), level * np.cos(around)
    return np.stack([x, np.broadcast_to(-np.sin(up), x.shape), z], axis=-1).reshape(-1, 3)
