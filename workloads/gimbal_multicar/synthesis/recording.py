"""What a made car writes down at one moment: calibration, poses, boxes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from gimbal_multicar.opv2v.axes import extent_to_opencv, to_opencv, x_to_world
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId, Reference, VehicleBox
from gimbal_multicar.opv2v.nominal import LIDAR_MOUNT_UE, nominal_opv2v_rig
from gimbal_multicar.synthesis.scenario import Scenario
from gimbal_multicar.synthesis.traffic import Vehicle
from gimbal_vision.panoramas.rig import Rig, RigCamera
from gimbal_vision.poses import invert_pose

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

KMH = 3.6


def world_from_vehicle(scenario: Scenario, frame: str, agent: str) -> FloatArray:
    """Return [4, 4] the pose of a car's origin on the ground, OpenCV axes."""
    return to_opencv(scenario.world_from_vehicle(scenario.vehicle(agent), frame))


def vehicle_from_lidar() -> FloatArray:
    """Return [4, 4] where the LiDAR is mounted, OpenCV axes."""
    return to_opencv(x_to_world([*LIDAR_MOUNT_UE, 0.0, 0.0, 0.0]))


def vehicle_from_reference(vehicle: Vehicle, reference: Reference) -> FloatArray:
    """Return [4, 4] where the car's frame lies in the vehicle, OpenCV axes."""
    if reference == "lidar":
        return vehicle_from_lidar()
    centre = vehicle.body.centre_m if reference == "box_centre" else np.zeros(3)
    return to_opencv(x_to_world([*centre, 0.0, 0.0, 0.0]))


def moved_rig(rig: Rig, new_from_old: FloatArray) -> Rig:
    """Return the same cameras in another frame of the car."""
    return Rig(
        tuple(RigCamera(c.name, c.camera, new_from_old @ c.car_from_camera) for c in rig.cameras)
    )


def box_of(scenario: Scenario, vehicle: Vehicle, frame: str) -> VehicleBox:
    """Return the box of a vehicle, which its body fills."""
    pose = scenario.world_from_vehicle(vehicle, frame)
    pose[:3, 3] += pose[:3, :3] @ vehicle.body.centre_m
    return VehicleBox(
        id=str(vehicle.id),
        world_from_box=to_opencv(pose),
        half_extent_m=extent_to_opencv(vehicle.body.half_extent_m),
        speed_kmh=KMH * vehicle.motion.speed(scenario.time_s(frame)),
    )


def car_frame(
    scenario: Scenario,
    frame_id: CarFrameId,
    seen: Iterable[int],
    reference: Reference = "lidar",
    *,
    folder: Path = Path(),
    rig: Rig | None = None,
) -> CarFrame:
    """Return a made car at one moment.

    Args:
        scenario: Where.
        frame_id: Which car and moment.
        seen: Indices of the vehicles to list.
        reference: The car's frame.
        folder: Where its files lie or will lie.
        rig: Cameras in the LiDAR's frame; none: OPV2V's nominal ones.
    """
    frame = frame_id.frame
    vehicle = scenario.vehicle(frame_id.agent)
    world_from_ego = world_from_vehicle(scenario, frame, frame_id.agent)
    in_lidar = rig or nominal_opv2v_rig()
    vehicle_from_car = vehicle_from_reference(vehicle, reference)
    return CarFrame(
        id=frame_id,
        folder=folder,
        world_from_car=world_from_ego @ vehicle_from_car,
        world_from_lidar=world_from_ego @ vehicle_from_lidar(),
        world_from_ego=world_from_ego,
        rig=moved_rig(in_lidar, invert_pose(vehicle_from_car) @ vehicle_from_lidar()),
        lidar_from_cameras_written=in_lidar.car_from_cameras,
        ego_speed_kmh=KMH * vehicle.motion.speed(scenario.time_s(frame)),
        vehicles=tuple(box_of(scenario, scenario.vehicles[i], frame) for i in seen),
    )
