"""A model's answer about a folder's moment: its numbers, its lines, its files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.experiment.files import atomic_write_bytes, atomic_write_json, ensure_folder
from gimbal_multicar.clouds.asking import prediction_about
from gimbal_multicar.clouds.measuring import in_world, summary_of
from gimbal_multicar.clouds.moment import Gathered
from gimbal_multicar.clouds.predicted import with_prediction
from gimbal_multicar.clouds.verdict import lines_of as answer_lines
from gimbal_multicar.cooperation.moments import CoopMoment
from gimbal_multicar.inferring.moments import Wanted, gather_wanted
from gimbal_multicar.inferring.pictures import picture_lines, pictures_record
from gimbal_multicar.inferring.rows_source import RowsSource
from gimbal_multicar.inferring.trained import Trained
from gimbal_vision.cloud_files import ply_bytes

Array = np.ndarray[Any, np.dtype[Any]]
RECORD_FILE, CLOUD_FILE = "infer.json", "cloud.ply"
ARRAYS = ("pose", "world_pose", "range", "mask")


def infer(trained: Trained, wanted: Wanted, panoramas: Path | None) -> Gathered:
    """Read a moment of a folder, and ask the model about it.

    Args:
        trained: The model.
        wanted: Which cars of which folder.
        panoramas: The run's own rows, for the constant pose that the answer is held against;
            none: there is nothing to compare with.
    """
    gathered = gather_wanted(trained.config, wanted)
    rows = [car.row for car in gathered.cars]
    source = RowsSource(rows, _renumbered(gathered))
    prediction = prediction_about(trained, source, gathered, panoramas)
    return with_prediction(gathered, prediction, pose="pred", geometry="pred")


def record_of(answered: Gathered, trained: Trained, panoramas: Path | None) -> dict[str, Any]:
    """Return the answer as plain values: poses in metres and degrees, errors, what made it.

    Args:
        answered: What `infer` returned.
        trained: The model.
        panoramas: The run's own rows, which say what pictures it was trained on.
    """
    summary = summary_of(answered)
    return {
        **{name: summary[name] for name in _WHERE},
        "cars": [_car(car) for car in summary["cars"]],
        **{name: summary[name] for name in _TOLD},
        "answer": summary["answer"],
        "pictures": pictures_record(
            [car.row for car in answered.cars], trained.config.data.panorama, panoramas
        ),
        "unreadable": summary["unreadable"],
        "run": str(trained.run.path),
        "run_id": trained.run.id,
        "made_by": summary["made_by"],
    }


_WHERE = ("split", "scenario", "frame_id", "main", "frame", "world_frame")
_TOLD = ("pose_rmse", "pose_rmse_deg", "mean_pose_rmse", "pred_mask_mean", "gt_mask_mean",
         "expected_coverage", "verdict", "checkpoint")  # fmt: skip


def lines_of(record: Mapping[str, Any]) -> list[str]:
    """Return the answer as a person reads it."""
    where = f"{record['split']}/{record['scenario']}/{record['frame_id']}"
    poses = [_pose_line(car) for car in record["cars"]]
    skipped = [f"passed over  {message}" for message in record["unreadable"]]
    seen = picture_lines(record["pictures"])
    return [where, *poses, *skipped, *seen, *answer_lines(record["answer"], record["cars"])]


def _pose_line(car: Mapping[str, Any]) -> str:
    right, down, ahead = car["predicted"]["translation_m"]
    whose = "the main car, " if car["is_main"] else ""
    return (
        f"car {car['agent_id']:<8} {whose}said to be {right:.2f} m right, {down:.2f} m down, "
        f"{ahead:.2f} m ahead, turned {car['yaw_deg']:.1f} deg to the right"
    )


def files_of(answered: Gathered) -> list[str]:
    """Return the names of the files that `write` makes."""
    agents = [car.agent for car in answered.cars]
    return [RECORD_FILE, CLOUD_FILE, *(f"{a}_{kind}.npy" for a in agents for kind in ARRAYS)]


def write(answered: Gathered, record: Mapping[str, Any], folder: Path) -> None:
    """Write poses, ranges, mask probabilities, the cloud, and last the record."""
    ensure_folder(folder)
    for name, data in _contents(answered):
        atomic_write_bytes(folder / name, data)
    atomic_write_json(folder / RECORD_FILE, record)


def _contents(answered: Gathered) -> Iterator[tuple[str, bytes]]:
    cars = answered.cars
    points = np.concatenate([car.points_main for car in cars])
    yield CLOUD_FILE, ply_bytes(points, np.concatenate([car.colours for car in cars]))
    for car in cars:
        if car.said is not None:
            said = car.said
            arrays: tuple[Array, ...] = (
                said.main_from_car,
                in_world(cars[0], said.main_from_car),
                said.range_m,
                said.mask_probability,
            )
            for kind, array in zip(ARRAYS, arrays, strict=True):
                yield f"{car.agent}_{kind}.npy", _npy(array)


def _npy(array: Array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _car(car: Mapping[str, Any]) -> dict[str, Any]:
    names = ("agent_id", "label", "is_main", "yaw_deg", "predicted")
    return {name: car[name] for name in names}


def _renumbered(gathered: Gathered) -> CoopMoment:
    return replace(gathered.moment, rows=tuple(range(len(gathered.cars))))
