"""One frame of a made scenario into files of OPV2V's layout."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import ensure_folder, storage_errors
from gimbal_multicar.opv2v.model import CarFrame, CarFrameId
from gimbal_multicar.opv2v.naming import depth_npy_name
from gimbal_multicar.opv2v.pcd import LidarPoints, write_pcd
from gimbal_multicar.opv2v.writing import frame_document, write_document, write_png
from gimbal_multicar.synthesis.cameras import CameraImage, LidarScan, render_images, scan
from gimbal_multicar.synthesis.recording import (
    KMH,
    car_frame,
    vehicle_from_lidar,
    world_from_vehicle,
)
from gimbal_multicar.synthesis.scenario import FRAME_S, GENERATOR_VERSION, Scenario
from gimbal_multicar.synthesis.traffic import poses
from gimbal_multicar.synthesis.tree import GENERATOR, Tree
from gimbal_multicar.synthesis.world import world_of
from gimbal_vision.panoramas.exposure import exposure_jitter

GPS_NOISE_M = 0.2
GPS_NOISE_DEG = 0.3
PLAN_POINTS, PLAN_STEP_S = 10, 0.2
PNG_COMPRESSION = 1


def write_protocol(tree: Tree, made: Scenario) -> None:
    """Write the scenario's `data_protocol.yaml`, which says that it is made.

    Raises:
        StorageError: It cannot be written.
    """
    folder = ensure_folder(tree.folder(made))
    path = folder / "data_protocol.yaml"
    if not path.exists():
        _write_whole(path, protocol(tree, made))


def protocol(tree: Tree, made: Scenario) -> dict[str, Any]:
    """Return what `data_protocol.yaml` holds."""
    town = made.town
    return {
        "synthetic": True,
        "generator": GENERATOR,
        "generator_version": GENERATOR_VERSION,
        "seed": made.seed,
        "scenario_index": made.index,
        "note": "Drawn by a program. No real place, no real traffic, not recorded in CARLA.",
        "arguments": dict(tree.options.record["arguments"]),
        "agents": list(made.agent_ids),
        "vehicles": len(made.vehicles),
        "world": {
            "fixed_delta_seconds": FRAME_S / 2,
            "roads": len(town.roads),
            "crossings": len(town.crossings_m),
            "hilly": bool(town.hills.waves),
            "towards_sun": list(made.light.towards_sun),
        },
    }


def write_car_frames(tree: Tree, index: int, frame: str, agents: tuple[str, ...]) -> int:
    """Render and write some cars at one frame, and return how many.

    Raises:
        StorageError: A file cannot be written.
    """
    made = tree.scenario(index)
    write_protocol(tree, made)
    for agent in agents:
        _write_car_frame(tree, made, frame, agent)
    return len(agents)


def _write_car_frame(tree: Tree, made: Scenario, frame: str, agent: str) -> None:
    moment = world_of(made).moment(frame, agent)
    world_from_lidar = world_from_vehicle(made, frame, agent) @ vehicle_from_lidar()
    images = render_images(made, moment, tree.rig, world_from_lidar, threads=1)
    if tree.options.exposure_jitter:
        images = _exposed(images, made.rng("exposure", int(agent)), tree.options.exposure_jitter)
    turn = scan(made, moment, frame, agent, tree.options.lidar_columns)
    record = car_frame(
        made,
        CarFrameId(made.split, made.name, agent, frame),
        turn.vehicles.tolist(),
        folder=tree.folder(made) / agent,
        rig=tree.rig,
    )
    _write_measured(record, images, turn, depth=tree.options.depth)
    _write_whole(record.yaml_path, _document(made, record, turn))


def _exposed(
    images: dict[str, CameraImage], rng: np.random.Generator, strength: float
) -> dict[str, CameraImage]:
    """Return what cameras with exposures of their own see."""
    rgb = exposure_jitter([image.rgb for image in images.values()], rng, strength)
    return {
        name: replace(image, rgb=own)
        for (name, image), own in zip(images.items(), rgb, strict=True)
    }


def _write_measured(
    record: CarFrame, images: dict[str, CameraImage], turn: LidarScan, *, depth: bool
) -> None:
    ensure_folder(record.folder)
    for name, image in images.items():
        write_png(record.image_path(name), image.rgb, PNG_COMPRESSION)
        if depth:
            path = record.folder / depth_npy_name(record.id.frame, name)
            with storage_errors(path, "write"):
                np.save(path, image.z_depth_m)
    with storage_errors(record.pcd_path, "write"):
        write_pcd(record.pcd_path, LidarPoints(turn.points, turn.intensity))


def _document(made: Scenario, record: CarFrame, turn: LidarScan) -> dict[str, Any]:
    """Return the frame's YAML: the GPS errs, and boxes have their centres beside the origin."""
    frame, agent = record.id.frame, record.id.agent
    document = frame_document(record, plan_trajectory=_plan(made, frame, agent))
    rng = made.rng("gps", int(frame), int(agent))
    noise = rng.normal(0.0, 1.0, 6) * (*[GPS_NOISE_M] * 2, 0.0, 0.0, GPS_NOISE_DEG, 0.0)
    measured = np.array(document["true_ego_pos"]) + noise
    measured[4] += 360.0 * int(rng.choice([-1, 0, 0, 1]))
    document["predicted_ego_pos"] = measured.tolist()
    every = poses(made.town, made.vehicles, made.time_s(frame))
    document["vehicles"] = {
        made.vehicles[i].id: _vehicle(made, i, every[i], frame) for i in turn.vehicles.tolist()
    }
    return document


def _vehicle(made: Scenario, index: int, pose: Any, frame: str) -> dict[str, Any]:
    vehicle = made.vehicles[index]
    return {
        "angle": pose[3:].tolist(),
        "center": vehicle.body.centre_m.tolist(),
        "extent": vehicle.body.half_extent_m.tolist(),
        "location": pose[:3].tolist(),
        "speed": KMH * vehicle.motion.speed(made.time_s(frame)),
    }


def _plan(made: Scenario, frame: str, agent: str) -> list[list[float]]:
    """Return [x, y, km/h] of the car's next two seconds, Unreal's axes."""
    vehicle, now = made.vehicle(agent), made.time_s(frame)
    points = []
    for k in range(1, PLAN_POINTS + 1):
        t = now + k * PLAN_STEP_S
        x, y = (float(c) for c in poses(made.town, [vehicle], t)[0, :2])
        points.append([x, y, KMH * vehicle.motion.speed(t)])
    return points


def _write_whole(path: Path, document: dict[str, Any]) -> None:
    """Write YAML under another name first, so that the file is there whole or not at all."""
    hidden = path.with_name(f".{path.name}.writing-{os.getpid()}")
    write_document(hidden, document)
    with storage_errors(path, "write"):
        hidden.replace(path)
