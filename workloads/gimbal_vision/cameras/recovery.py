"""Which camera a field of rays comes from: for rays that a file or a network gives without numbers.

Each model is fitted by least squares in the quantity that is linear in its pixels (x/z and y/z, or
azimuth and elevation, or the elevation's tangent) and judged by the angle between given and fitted
rays, in degrees. A fit that misses is an error, never numbers: a pinhole fitted to a panorama has
focal lengths like -.1, and whoever uses them sees nothing but noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.cameras.base import CameraModel
from gimbal_vision.cameras.panoramic import Cylindrical, Equirectangular, Panorama
from gimbal_vision.cameras.pinhole import Pinhole
from gimbal_vision.errors import CameraError

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]
Camera = TypeVar("Camera", bound=CameraModel, covariant=True)
Judged = TypeVar("Judged", bound=CameraModel)

TOLERANCE_DEG = 0.1
"""Root mean square angle up to which rays are those of a model: a third of a pixel of 1008 around.
Give more for rays that a network predicted."""

_FULL_TURN_DEG = 360.0


@dataclass(frozen=True, eq=False)
class RayFit(Generic[Camera]):
    """A model and how well it explains the rays.

    Attributes:
        camera: The model.
        yaw_deg: Azimuth of the image's middle column: 0, except for panoramas that begin
            elsewhere, whose rays are the camera's turned by this about the y axis.
        residual_deg: Root mean square angle between the given rays and the model's.
        worst_deg: Largest such angle.
    """

    camera: Camera
    yaw_deg: float
    residual_deg: float
    worst_deg: float


def recognise(rays: ArrayLike, tolerance_deg: float = TOLERANCE_DEG) -> RayFit[CameraModel]:
    """Return the model that explains rays best, whichever it is.

    Args:
        rays: [H, W, 3] directions through the pixel centres, camera axes, of any length but zero.
        tolerance_deg: See `TOLERANCE_DEG`.

    Raises:
        CameraError: No model explains them, with what each says; or they are no ray field.
    """
    fits: list[RayFit[CameraModel]] = []
    reasons = []
    for fit in (fit_pinhole, fit_panorama):
        try:
            fits.append(fit(rays, tolerance_deg))
        except _NotThisModel as exc:
            reasons.append(exc.message)
    if not fits:
        raise CameraError(
            f"these rays are of no camera model known here: {'; '.join(reasons)}",
            "check where they come from, or allow a larger tolerance_deg if they are noisy",
        )
    return min(fits, key=lambda fit: fit.residual_deg)


def fit_pinhole(rays: ArrayLike, tolerance_deg: float = TOLERANCE_DEG) -> RayFit[Pinhole]:
    """Return the pinhole behind rays.

    Args:
        rays: [H, W, 3]; see `recognise`.
        tolerance_deg: See `TOLERANCE_DEG`.

    Raises:
        CameraError: They are no pinhole's: some point sideways or backwards, or no pinhole comes
            near them.
    """
    given = _unit_field(rays)
    height, width = given.shape[:2]
    z = given[..., 2]
    behind = float((z <= 0).mean())
    if behind:
        raise _NotThisModel(
            f"not a pinhole: {behind:.0%} of the rays point sideways or backwards",
            "use fit_panorama, or recognise if the model is unknown",
        )
    weight = z  # errors of x/z grow towards the side; of the powers of z this one is unbiased
    x, y = given[..., 0] / z, given[..., 1] / z
    fx, cx = _focal_and_centre(np.average(x, axis=0, weights=weight), weight.sum(axis=0))
    fy, cy = _focal_and_centre(np.average(y, axis=1, weights=weight), weight.sum(axis=1))
    if not (fx > 0 and fy > 0):
        raise _NotThisModel(
            "not a pinhole: x must grow to the right and y downwards",
            "turn or flip the rays into OpenCV axes (x right, y down, z forward)",
        )
    camera = Pinhole(fx=fx, fy=fy, cx=cx, cy=cy, height=height, width=width)
    return _judged(camera, 0.0, given, tolerance_deg)


def fit_panorama(rays: ArrayLike, tolerance_deg: float = TOLERANCE_DEG) -> RayFit[Panorama]:
    """Return the panorama behind rays, equirectangular or cylindrical, whichever is nearer.

    Fields of two rows, or three about the horizon, are both; they come back as equirectangular.

    Args:
        rays: [H, W, 3]; see `recognise`.
        tolerance_deg: See `TOLERANCE_DEG`.

    Raises:
        CameraError: They are no panorama's: they do not go around once from left to right, or
            neither model comes near them.
    """
    given = _unit_field(rays)
    height, width = given.shape[:2]
    yaw_deg = _yaw_of_full_turn(given)
    level = np.hypot(given[..., 0], given[..., 2])
    elevation = np.arctan2(given[..., 1].mean(axis=1), level.mean(axis=1))
    fits: list[RayFit[Panorama]] = []
    reasons: list[_NotThisModel] = []
    for model in (Equirectangular, Cylindrical):
        try:
            fy, cy = _rows_of(model, elevation)
            camera = model(height=height, width=width, fy=fy, cy=cy)
            fits.append(_judged(camera, yaw_deg, given, tolerance_deg))
        except CameraError as exc:
            reasons.append(_NotThisModel(f"not {model.camera_model}: {exc.message}", exc.remedy))
    if not fits:
        raise _NotThisModel("; ".join(r.message for r in reasons), reasons[0].remedy)
    best = min(fits, key=lambda fit: fit.residual_deg)
    return fits[0] if fits[0].residual_deg <= best.residual_deg + 1e-9 else best


class _NotThisModel(CameraError):
    """A usable ray field of another model."""


def _unit_field(rays: ArrayLike) -> FloatArray:
    given = np.asarray(rays, np.float64)
    if given.ndim != 3 or given.shape[2] != 3 or min(given.shape[:2]) < 2:
        raise CameraError(
            f"rays of shape {given.shape} are no ray field",
            "give [H, W, 3] with at least two rows and columns",
        )
    length = np.linalg.norm(given, axis=-1, keepdims=True)
    if not (np.isfinite(length).all() and (length > 0).all()):
        raise CameraError("a ray is zero or not finite", "give a direction for every pixel")
    unit: FloatArray = given / length
    return unit


def _focal_and_centre(slope: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Return (f, c) of slope = (index + .5 - c) / f; f is not positive where there is no such."""
    growth, start = _line(slope, weight)
    return (1.0 / growth, -start / growth) if growth else (0.0, 0.0)


def _rows_of(model: type[Panorama], elevation: FloatArray) -> tuple[float, float]:
    if model is Cylindrical:
        # An error of the angle grows in the tangent by 1 / cos^2: weigh it down by its square.
        return _focal_and_centre(np.tan(elevation), np.cos(elevation) ** 4)
    return _focal_and_centre(elevation, np.ones_like(elevation))


def _line(values: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Return growth and start of the weighted least-squares line through (index + .5, value)."""
    at = np.arange(len(values)) + 0.5
    middle, mean = np.average(at, weights=weight), np.average(values, weights=weight)
    spread = np.sum(weight * (at - middle) ** 2)
    growth = np.sum(weight * (at - middle) * (values - mean)) / spread
    return float(growth), float(mean - growth * middle)


def _yaw_of_full_turn(given: FloatArray) -> float:
    """Return the azimuth of the middle column in degrees, of rays that go around exactly once.

    A column's azimuth is that of the sum of its rays, in which steep ones, whose azimuth means
    little, weigh little.
    """
    width = given.shape[1]
    x, z = given[..., 0].sum(axis=0), given[..., 2].sum(axis=0)
    azimuth = np.unwrap(np.arctan2(x, z))
    growth, start = _line(azimuth, np.ones(width))
    turn_deg = float(np.degrees(growth)) * width
    off = np.degrees(np.abs(azimuth - start - growth * (np.arange(width) + 0.5)).max())
    if not abs(turn_deg - _FULL_TURN_DEG) < _FULL_TURN_DEG / width:
        raise _NotThisModel(
            f"not a panorama: its columns turn by {turn_deg:.1f} degrees from left to right "
            f"(off a straight line by up to {off:.2g}), not by 360",
            "use fit_pinhole, or recognise if the model is unknown",
        )
    middle = np.degrees(start + growth * width / 2.0)
    return float((middle + 180.0) % 360.0 - 180.0)


def _judged(
    camera: Judged, yaw_deg: float, given: FloatArray, tolerance_deg: float
) -> RayFit[Judged]:
    """Return the fit, or raise where it is none."""
    cosine, sine = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    turned = camera.rays() @ np.array([[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]])
    # The arc sine of half the chord: an arc cosine is blind to angles below 1e-8.
    half = np.minimum(np.linalg.norm(given - turned, axis=-1) / 2.0, 1.0)
    angle = np.degrees(2.0 * np.arcsin(half))
    residual, worst = float(np.sqrt(np.mean(angle**2))), float(angle.max())
    if not residual <= tolerance_deg:
        raise _NotThisModel(
            f"the nearest {camera.camera_model} camera misses the rays by {residual:.3g} degrees "
            f"(at worst {worst:.3g}); {tolerance_deg:g} are allowed",
            "use recognise if the model is unknown; allow a larger tolerance_deg for noisy rays",
        )
    return RayFit(camera=camera, yaw_deg=yaw_deg, residual_deg=residual, worst_deg=worst)
