"""The facts that prove what a panorama is: shapes, model, coverage, and that points lie around.

A pinhole's rays all point one way. A panorama's points stand in a ring, so the share of one-degree
sectors that hold a point, and of those where rays point, tell which of the two a file holds.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_multicar.previewing.looking import Looked
from gimbal_vision.cameras import describe
from gimbal_vision.cameras.pointmaps import PointMap, point_map
from gimbal_vision.panoramas.coverage import expected_coverage

SECTORS = 360


def points_of(looked: Looked) -> PointMap:
    """Return rays and points [H, W, 3] in the car's axes, and ranges along the rays."""
    ranges = np.where(looked.image.valid, looked.image.range_m, np.float32(0))
    return point_map(looked.image.camera, ranges)


def facts_of(looked: Looked, points: PointMap) -> dict[str, Any]:
    """Return everything that is printed, as plain values."""
    image, known = looked.image, points.known
    ranges = points.depth_along_ray[..., 0][known]
    return {
        "id": str(looked.id),
        "index": looked.index,
        "of": looked.count,
        **looked.facts,
        "camera_model": image.camera.camera_model,
        "virtual_camera": describe(image.camera),
        "cameras": {
            c.name: f"{c.camera.width} x {c.camera.height}, {c.camera.hfov_deg:.1f} deg"
            for c in looked.rig.cameras
        },
        "rig": looked.rig.digest,
        "shapes": {
            "rgb": list(image.rgb.shape),
            "ray_directions": list(points.rays.shape),
            "depth_along_ray": list(points.depth_along_ray.shape),
            "points": list(points.points.shape),
            "mask": [3, *image.coverage.shape],
        },
        "coverage": float(image.coverage.mean()),
        "expected_coverage": expected_coverage(looked.rig, image.camera, looked.min_cos),
        "non_ambiguous": float(image.non_ambiguous.mean()),
        "valid": float(image.valid.mean()),
        "moved_share": image.moved_share,
        "points": int(known.sum()),
        "range_m": [float(ranges.min()), float(ranges.max())] if ranges.size else None,
        "ray_norm_error": float(np.abs(np.linalg.norm(points.rays, axis=-1) - 1.0).max()),
        "sectors_with_rays": _sectors(points.rays[image.coverage]),
        "sectors_with_points": _sectors(points.points[known]),
        "sectors": SECTORS,
    }


def _sectors(directions: np.ndarray[Any, np.dtype[np.floating[Any]]]) -> int:
    """Return in how many sectors of one degree around the car there is a direction."""
    azimuth = np.degrees(np.arctan2(directions[:, 0], directions[:, 2])) % 360.0
    return len(np.unique(np.floor(azimuth * SECTORS / 360.0)))


def lines_of(facts: dict[str, Any]) -> list[str]:
    """Return the facts as a person reads them."""
    shapes = {name: tuple(shape) for name, shape in facts["shapes"].items()}
    depth = f"{facts['depth_source']}, known of {facts['depth_density']:.1%} of the cameras' pixels"
    near = "" if facts["range_m"] is None else "{:.2f} to {:.1f} m".format(*facts["range_m"])
    ring = (
        f"of {facts['sectors']} sectors of one degree, {facts['sectors_with_rays']} hold rays and "
        f"{facts['sectors_with_points']} hold points"
    )
    view = facts["virtual_camera"]
    return [
        f"{facts['id']}  ({facts['index']} of {facts['of']})",
        f"cameras          {', '.join(f'{n} ({t})' for n, t in facts['cameras'].items())}",
        f"camera_model     {facts['camera_model']}: {view['width']} x {view['height']}, "
        f"{view['fov_vertical']:.1f} deg high",
        f"ray_directions   {shapes['ray_directions']}, unit to {facts['ray_norm_error']:.0e}",
        f"depth_along_ray  {shapes['depth_along_ray']}, {near}",
        f"points           {shapes['points']}, {facts['points']} known; {ring}",
        f"coverage         {facts['coverage']:.4f}, expected {facts['expected_coverage']:.4f}",
        f"masks            non_ambiguous {facts['non_ambiguous']:.4f}, valid {facts['valid']:.4f}",
        f"depth            {depth}",
        f"moved            {facts['moved_share']:.1%} of the colours, by depth",
    ]
