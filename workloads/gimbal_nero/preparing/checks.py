"""Numbers that tell before training whether a capture can be learnt from.

`sphere`: whether the object is in the unit sphere and the cameras are outside; `exposure`: whether
brightness differs between views more than where they stood explains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal_nero.capture import View
from gimbal_nero.preparing.bounding import axes_meet

Doubles = np.ndarray[Any, np.dtype[np.float64]]

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722])
_DARKEST = 1e-4
_LEAST_OWN = 0.1
"""Share of the views' order that their directions must leave open for a joint fit."""
_STRIDE_PIXELS = 20_000
"""About as many pixels of a view are looked at."""


def sphere_numbers(views: Sequence[View]) -> dict[str, Any]:
    """Return how the cameras and the object lie about the unit sphere.

    Returns:
        `camera_distance_min`: of a camera from the origin; `axes_miss`: of the point that all
        optical axes pass nearest from the origin; `fill`: median radius of the sphere's outline in
        half image sides; `object_inside`: share of the masks' pixels whose ray meets the sphere,
        and without masks share of the views whose optical axis does; `worst_view_inside`: that of
        the worst view alone, which no mean of many hides; `worst_view`: its name.
    """
    poses = np.stack([view.cam2world for view in views])
    distances = np.linalg.norm(poses[:, :3, 3], axis=-1)
    outside = np.maximum(distances, 1.001)
    half = np.array([min(v.camera.height, v.camera.width) / 2.0 for v in views])
    focal = np.array([v.camera.fx for v in views])
    inside = _inside_by_view(views)
    worst = int(inside.argmin())
    return {
        "camera_distance_min": float(distances.min()),
        "axes_miss": float(np.linalg.norm(axes_meet(poses))),
        "fill": float(np.median(focal / np.sqrt(outside**2 - 1.0) / half)),
        "object_inside": float(inside.mean()),
        "worst_view_inside": float(inside[worst]),
        "worst_view": views[worst].name,
    }


def exposure_numbers(views: Sequence[View]) -> dict[str, float]:
    """Return how far brightness differs between views, in stops (factors of 2).

    The mean linear luminance of a view is explained by where its camera stood (a polynomial of
    degree 2 of the direction, as far as there are views enough for it); what is left is exposure.

    Returns:
        `spread_ev`: standard deviation of what is left; `drift_ev`: the trend from the first view
        to the last, fitted together with the polynomial (Frisch and Waugh) unless the cameras'
        path makes the two one.
    """
    masked = all(view.mask is not None for view in views)
    stops = np.array([_mean_stops(view, masked) for view in views])
    centres = np.stack([view.cam2world[:3, 3] for view in views])
    directions = centres / np.maximum(np.linalg.norm(centres, axis=-1, keepdims=True), 1e-12)
    explained = _polynomial(directions)
    left = _unexplained(explained, stops)
    order = np.linspace(-0.5, 0.5, len(views))
    own = _unexplained(explained, order)
    if own @ own < _LEAST_OWN * (order @ order):
        own = order
    freedom = max(1, len(views) - explained.shape[1])
    return {
        "spread_ev": float(np.sqrt((left**2).sum() / freedom)),
        "drift_ev": float(abs(own @ left / (own @ own))),
    }


def _unexplained(columns: Doubles, values: Doubles) -> Doubles:
    """Return what of [N] values the [N, C] columns leave, by least squares."""
    weights, *_ = np.linalg.lstsq(columns, values, rcond=None)
    return np.asarray(values - columns @ weights, np.float64)


def _inside_by_view(views: Sequence[View]) -> Doubles:
    """Return [N] what each view says of the object in the sphere; one without a mask by its axis.

    A mask that shows nothing says nothing for the object: 0.
    """
    shares = []
    for view in views:
        axis = view.cam2world[None, :3, 2]
        rays = axis if view.mask is None else _masked_rays(view)
        shares.append(float(_meets(view.cam2world, rays).mean()) if len(rays) else 0.0)
    return np.array(shares)


def _masked_rays(view: View) -> Doubles:
    return np.asarray(view.camera.rays()[view.mask] @ view.cam2world[:3, :3].T, np.float64)


def _meets(cam2world: Doubles, directions: Doubles) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Tell of [R, 3] unit directions whether the unit sphere is met ahead."""
    eye = cam2world[:3, 3]
    along = -(directions @ eye)
    closest = eye @ eye - along**2
    return np.asarray((closest <= 1.0) & ((along > 0) | (eye @ eye <= 1.0)), np.bool_)


def _mean_stops(view: View, masked: bool) -> float:
    step = max(1, int(np.sqrt(view.image.shape[0] * view.image.shape[1] / _STRIDE_PIXELS)))
    pixels = view.image[::step, ::step].reshape(-1, 3)
    if masked and view.mask is not None:
        chosen = view.mask[::step, ::step].reshape(-1)
        pixels = pixels[chosen] if chosen.any() else pixels
    encoded = pixels / 255.0
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    return float(np.log2(max(float((linear @ _LUMINANCE).mean()), _DARKEST)))


def _polynomial(directions: Doubles) -> Doubles:
    """Return [N, 1, 4 or 9] functions of directions, never more than half as many as views."""
    x, y, z = directions.T
    columns = [np.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1]
    count = 9 if len(x) >= 18 else 4 if len(x) >= 8 else 1
    return np.stack(columns[:count], axis=-1)
