"""What the cameras and the LiDAR of a made car measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.synthesis.appearance import finish_image, look_of, shading_of
from gimbal_multicar.synthesis.recording import vehicle_from_lidar, world_from_vehicle
from gimbal_multicar.synthesis.scenario import Scenario
from gimbal_multicar.synthesis.world import NOBODY, Ids, Moment
from gimbal_vision.cameras import PinholeCameras
from gimbal_vision.panoramas.rig import Rig, RigCamera
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
class CameraImage:
    """What one camera sees.

    Attributes:
        rgb: [H, W, 3] uint8.
        z_depth_m: [H, W] float32, `SKY_DEPTH_M` where there is sky.
        face: [H, W] int32 face of the moment's mesh, -1 for sky.
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
        owner: [P] index of the vehicle that was hit, `NOBODY` for anything else.
    """

    points: Floats
    intensity: Floats
    owner: Ids

    @property
    def vehicles(self) -> Ids:
        """The sorted indices of the scenario's vehicles that were hit."""
        hit: Ids = np.unique(self.owner[self.owner != NOBODY])
        return hit


def render_images(
    scenario: Scenario,
    moment: Moment,
    rig: Rig,
    world_from_rig: FloatArray,
    threads: int | None = None,
) -> dict[str, CameraImage]:
    """Render all cameras of a rig; those of one size together.

    Args:
        scenario: For its light.
        moment: Surfaces.
        rig: Cameras.
        world_from_rig: [4, 4] pose of the frame that the rig is given in.
        threads: Upper limit; by default the cores this process may use.
    """
    renderer = RasterRenderer(shading_of(scenario.light), threads)
    mesh = moment.mesh
    sizes = dict.fromkeys((c.camera.height, c.camera.width) for c in rig.cameras)
    found: dict[str, CameraImage] = {}
    for size in sizes:
        same = [c for c in rig.cameras if (c.camera.height, c.camera.width) == size]
        poses = np.stack([world_from_rig @ c.car_from_camera for c in same])
        cameras = PinholeCameras(np.stack([c.camera.K for c in same]), poses, *size)
        images = renderer.render(mesh, cameras, ("rgb", "depth", "face_id"))
        for n, camera in enumerate(same):
            one = CameraImage(images.rgb[n], images.depth[n], images.face_id[n])
            found[camera.name] = _finished(scenario, moment, camera, poses[n], one)
    return {name: found[name] for name in rig.names}


def _finished(
    scenario: Scenario, moment: Moment, camera: RigCamera, pose: FloatArray, image: CameraImage
) -> CameraImage:
    """Add sky, haze and grain, and give the sky its depth."""
    look = look_of(scenario.light, pose[:3, 3], 1.0 / camera.camera.fx)
    rays = pose[:3, :3] @ np.linalg.inv(camera.camera.K)
    finish_image(image.rgb, image.z_depth_m, image.face, rays, look, moment.surfaces.rough_faces)
    depth = np.where(image.z_depth_m > 0, image.z_depth_m, np.float32(SKY_DEPTH_M))
    return CameraImage(image.rgb, depth, image.face)


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
        owner=moment.surfaces.owner[face[hit]],
    )


def _shots(columns: int, phase: float) -> FloatArray:
    """Return [rings * columns, 3] unit directions in the LiDAR's OpenCV axes."""
    up = np.radians(np.linspace(LIDAR_LOW_DEG, LIDAR_HIGH_DEG, LIDAR_RINGS))[:, None]
    around = 2.0 * np.pi * (np.arange(columns) + phase) / columns
    level = np.cos(up)
    x, z = level * np.sin(around), level * np.cos(around)
    return np.stack([x, np.broadcast_to(-np.sin(up), x.shape), z], axis=-1).reshape(-1, 3)
