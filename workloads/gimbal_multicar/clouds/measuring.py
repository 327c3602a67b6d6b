"""The numbers of a moment: where cars are, what each measures, and whether they agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gimbal_multicar.clouds.boxes import boxes_main, points_in
from gimbal_multicar.clouds.moment import Car, Gathered, Said
from gimbal_multicar.clouds.verdict import answer_numbers, car_errors
from gimbal_multicar.clouds.verdict import lines_of as answer_lines
from gimbal_multicar.cooperation.consistency import SeenThrough, seen_through
from gimbal_vision.lie import so3_log
from gimbal_vision.poses import invert_pose, transform_points

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Doubles = np.ndarray[Any, np.dtype[np.float64]]

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FRAME = "main car's, OpenCV: x right, y down, z forward; metres"
WORLD_FRAME = "data set's world, OpenCV: (y, -z, x) of its files' (x, y, z); metres"
WORDS = {"gt": "ground truth", "pred": "predicted"}


def summary_of(gathered: Gathered) -> dict[str, Any]:
    """Return every number of a moment as plain values; a number that does not exist is null."""
    cars, moment = gathered.cars, gathered.moment
    points = np.concatenate([car.points_main for car in cars])
    return {
        "name": gathered.name,
        "split": moment.split,
        "scenario": moment.scenario,
        "frame_id": moment.frame,
        "index": gathered.index,
        "pose_source": gathered.pose_source,
        "geometry": gathered.geometry,
        "frame": FRAME,
        "world_frame": WORLD_FRAME,
        "main": moment.agents[0],
        "max_distance_m": gathered.rule.max_distance_m,
        "cars": _cars(gathered),
        "points": len(points),
        "bounds_m": bounds(points),
        "mean_distance_m": _mean(list(moment.distances_m[1:])),
        "non_ambiguous": _mean([car.view["non_ambiguous_mask"].mean() for car in cars]),
        "valid": _mean([car.view["valid_mask"].mean() for car in cars]),
        "boxes": _boxes(gathered, points),
        "unreadable": list(gathered.unreadable),
        "made_by": dict(gathered.record),
        **_answer(gathered),
    }


def _cars(gathered: Gathered) -> list[dict[str, Any]]:
    cars = gathered.cars
    found = [car_numbers(car, cars[0]) for car in cars]
    if gathered.prediction is None:
        return found
    errors = car_errors(gathered.prediction)
    pairs = zip(cars, found, errors.trans_m, errors.rot_deg, strict=True)
    return [
        {
            **numbers,
            "predicted": {
                **predicted_numbers(car, car.said, float(metres), float(degrees)),
                "world_from_car": in_world(cars[0], car.said.main_from_car).tolist(),
            },
        }
        for car, numbers, metres, degrees in pairs
        if car.said is not None
    ]


def _answer(gathered: Gathered) -> dict[str, Any]:
    """Return the answer's numbers, the few that tell most of it beside them."""
    if gathered.prediction is None:
        return {}
    numbers = answer_numbers(gathered.prediction)
    names = ("pose_rmse", "pose_rmse_deg", "mean_pose_rmse", "pred_mask_mean", "gt_mask_mean",
             "expected_coverage", "verdict", "checkpoint")  # fmt: skip
    return {**{name: numbers[name] for name in names}, "answer": numbers}


def in_world(main: Car, main_from_car: Doubles) -> Doubles:
    """Return [4, 4] world_from_car of a pose in the main car's frame.

    A model says where cars are from the main one; where that one is, the data set tells.

    Args:
        main: The main car.
        main_from_car: [4, 4] metres.
    """
    placed: Doubles = np.asarray(main.row["world_from_car"], np.float64) @ main_from_car
    return placed


def predicted_numbers(car: Car, said: Said, error_m: float, error_deg: float) -> dict[str, Any]:
    """Return what a model says of one car, and how far off it is."""
    true, valid = car.true_range_m, np.asarray(car.row["valid"])
    rel = np.abs(said.range_m - true)[valid] / true[valid]
    return {
        "pose": said.main_from_car.tolist(),
        "translation_m": said.main_from_car[:3, 3].tolist(),
        "error_m": error_m,
        "error_deg": error_deg,
        "range_m": range_numbers(said.range_m[said.mask]),
        "range_rel": float(rel.mean()) if rel.size else None,
        "mask_mean": float(said.mask_probability.mean()),
        "true_mask_mean": float(np.asarray(car.row["non_ambiguous"]).mean()),
    }


def car_numbers(car: Car, main: Car) -> dict[str, Any]:
    """Return the numbers of one car against the main one."""
    view, pose = car.view, car.main_from_car
    masks = {name: float(view[f"{name}_mask"].mean()) for name in ("non_ambiguous", "valid")}
    ranges = view["depth_along_ray"][..., 0][view["valid_mask"]]
    return {
        "agent_id": car.agent,
        "label": str(view["label"]),
        "is_main": car is main,
        "pose": pose.tolist(),
        "world_from_car": in_world(main, pose).tolist(),
        "translation_m": pose[:3, 3].tolist(),
        "distance_m": float(np.linalg.norm(pose[:3, 3])),
        "rotation_deg": float(np.degrees(np.linalg.norm(np.asarray(so3_log(pose[:3, :3]))))),
        "yaw_deg": float(np.degrees(np.arctan2(pose[0, 2], pose[2, 2]))),
        "camera_model": str(view["camera_model"]),
        "depth_source": str(car.row["depth_source"]),
        "depth_density": float(car.row["depth_density"]),
        "range_m": range_numbers(ranges),
        "coverage": float(view["coverage"].mean()),
        **masks,
        "valid_ratio": masks["valid"] / masks["non_ambiguous"] if masks["non_ambiguous"] else None,
        "points": len(ranges),
        "bounds_m": bounds(car.points_main),
        "main_sees_through_it": None if car is main else _agreement(seen_from(main, car)),
        "it_sees_through_main": None if car is main else _agreement(seen_from(car, main)),
    }


def seen_from(seer: Car, other: Car) -> SeenThrough:
    """Return the share of another car's points that hang in thin air before a car."""
    points = transform_points(invert_pose(seer.main_from_car), other.points_main.astype(np.float64))
    return seen_through(seer.view, seer.camera, np.asarray(points))


def range_numbers(ranges: Floats) -> dict[str, float] | None:
    """Return mean, quantiles, smallest and largest of ranges; None of no ranges."""
    if not ranges.size:
        return None
    quantiles = np.quantile(ranges.astype(np.float64), QUANTILES).tolist()
    named = {f"q{round(100 * q):02d}": v for q, v in zip(QUANTILES, quantiles, strict=True)}
    return {
        "mean": float(ranges.mean(dtype=np.float64)),
        "median": named["q50"],
        **named,
        "min": float(ranges.min()),
        "max": float(ranges.max()),
    }


def bounds(points: Floats) -> dict[str, list[float]] | None:
    """Return the corners of the box around points [P, 3]; None of no points."""
    if not len(points):
        return None
    corners = np.stack([points.min(axis=0), points.max(axis=0)]).astype(np.float64)
    low, high = np.round(corners, 3).tolist()
    return {"min": low, "max": high}


def lines_of(summary: Mapping[str, Any]) -> list[str]:
    """Return the numbers as a person reads them."""
    lines = [
        f"{summary['split']}/{summary['scenario']}/{summary['frame_id']}  ({summary['name']}), "
        f"poses: {WORDS[summary['pose_source']]}{_ranges(summary)}"
    ]
    for car in summary["cars"]:
        where = "main car" if car["is_main"] else f"{car['distance_m']:.1f} m away"
        known = car["range_m"]
        reach = f", median range {known['median']:.1f} m" if known else ", no range known"
        lines.append(f"car {car['agent_id']:<8} {where}, {car['points']} points{reach}{_air(car)}")
    boxes = summary["boxes"]
    lines.append(
        f"boxes        {boxes['with_points']} of {boxes['count']} hold points, "
        f"{boxes['points']} points in all"
    )
    lines += [f"passed over  {message}" for message in summary["unreadable"]]
    if "answer" in summary:
        lines += answer_lines(summary["answer"], summary["cars"])
    return lines


def _ranges(summary: Mapping[str, Any]) -> str:
    return f", ranges: {WORDS[summary['geometry']]}" if "answer" in summary else ""


def _air(car: Mapping[str, Any]) -> str:
    agreement = car["main_sees_through_it"]
    if agreement is None or agreement["share"] is None:
        return ""
    doubt = " (SUSPECT: is its pose right?)" if agreement["suspect"] else ""
    return f", {agreement['share']:.1%} of {agreement['points']} in thin air{doubt}"


def _agreement(seen: SeenThrough) -> dict[str, Any]:
    share = seen.share if seen.points else None
    return {"share": share, "points": seen.points, "suspect": seen.suspect}


def _boxes(gathered: Gathered, points: Floats) -> dict[str, Any]:
    boxes = boxes_main(gathered.cars)
    counts = points_in(points, boxes)
    return {
        "count": len(boxes),
        "with_points": int((counts > 0).sum()),
        "points": int(counts.sum()),
        "by_vehicle": dict(zip(boxes, counts.tolist(), strict=True)),
    }


def _mean(values: list[Any]) -> float | None:
    return float(np.mean(values)) if values else None
