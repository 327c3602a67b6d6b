"""Errors of ranges and rays of one sample, each pixel by the solid angle it covers.

Ranges run along rays: a panorama has no z-depth. Rows near a panorama's poles cover little, so a
plain mean over pixels would mostly tell of sky and road.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_multicar.judging.poses import angle_deg

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

WITHIN = (1.03, 1.25)
BANDS_DEG = (-90.0, -15.0, -5.0, 5.0, 15.0, 90.0)
"""Edges of the bands of elevation, degrees upwards."""


def range_errors(
    predicted: Floats, true: Floats, valid: Bools, solid_angle: Floats
) -> dict[str, float | None]:
    """Return `absrel`, `rmse_m` and the shares `delta_1.03` and `delta_1.25`.

    Args:
        predicted: [...] metres along the ray.
        true: [...] metres.
        valid: [...] where the truth is known.
        solid_angle: Steradians of each pixel, of a shape that broadcasts.

    Returns:
        The numbers; none of them where no range is known.
    """
    names = ("absrel", "rmse_m", *(f"delta_{limit}" for limit in WITHIN))
    weight = np.broadcast_to(solid_angle, valid.shape)[valid].astype(np.float64)
    if not weight.sum() > 0:
        return dict.fromkeys(names)
    weight /= weight.sum()
    found, known = predicted[valid].astype(np.float64), true[valid].astype(np.float64)
    error = found - known
    ratio = np.maximum(found / known, known / np.maximum(found, 1e-12))
    values = (
        float(weight @ (np.abs(error) / known)),
        float(np.sqrt(weight @ (error * error))),
        *(float(weight @ (ratio < limit)) for limit in WITHIN),
    )
    return dict(zip(names, values, strict=True))


def range_errors_by_band(
    predicted: Floats, true: Floats, valid: Bools, solid_angle: Floats, rays: Floats
) -> list[dict[str, Any]]:
    """Return `range_errors` in each band of elevation that holds known ranges.

    Args:
        predicted: [...] metres along the ray.
        true: [...] metres.
        valid: [...] where the truth is known.
        solid_angle: Steradians of each pixel, of a shape that broadcasts.
        rays: [..., 3] true unit directions in the car's axes (OpenCV, y down), of a shape that
            broadcasts.
    """
    upwards = -np.degrees(np.arcsin(np.clip(rays[..., 1], -1.0, 1.0)))
    place = np.broadcast_to(np.digitize(upwards, BANDS_DEG) - 1, valid.shape)
    return [
        {
            "from_deg": BANDS_DEG[band],
            "to_deg": BANDS_DEG[band + 1],
            "pixels": int((valid & (place == band)).sum()),
            **range_errors(predicted, true, valid & (place == band), solid_angle),
        }
        for band in range(len(BANDS_DEG) - 1)
        if (valid & (place == band)).any()
    ]


def ray_errors(predicted: Floats, true: Floats, solid_angle: Floats) -> dict[str, float]:
    """Return `mean_deg` and `median_deg`, the angles between predicted and true rays.

    A predicted ray that is zero or not finite is 180 degrees off.

    Args:
        predicted: [..., H, W, 3] unit directions.
        true: Likewise, of a shape that broadcasts.
        solid_angle: Steradians of each pixel, of a shape that broadcasts.
    """
    a, b = np.broadcast_arrays(predicted.astype(np.float64), true.astype(np.float64))
    angle = angle_deg(a, b)
    weight = np.broadcast_to(solid_angle, angle.shape)
    return {
        "mean_deg": float(np.average(angle, weights=weight)),
        "median_deg": float(np.median(angle)),
    }
