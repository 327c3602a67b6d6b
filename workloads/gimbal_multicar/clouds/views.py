"""From where a moment is looked at, and how it is turned for the eye.

Plotly draws z upwards, OpenCV's y points down, so points are turned for display: (x, y, z)
becomes (right, ahead, up) = (x, z, -y), a rotation that mirrors nothing. Arrays and PLY stay in
OpenCV axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.clouds.moment import Car

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

DISPLAY_FROM_MAIN = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
METRES_PER_UNIT = 20.0
"""Of Plotly's scene: its camera comes no nearer than .01 units."""
_HALF_FOV = np.tan(np.radians(22.5))
"""Plotly's camera sees 45 degrees vertically."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Viewpoint:
    """A place to look from, in display axes and metres.

    Attributes:
        name: As the button says it.
        eye: [3].
        target: [3].
        up: [3].
    """

    name: str
    eye: Floats
    target: Floats
    up: Floats

    def pose(self) -> Floats:
        """Return [4, 4] OpenCV pose of a camera there, in the main car's frame."""
        from gimbal_vision.poses import look_at

        turn = DISPLAY_FROM_MAIN.T
        return np.asarray(look_at(turn @ self.eye, turn @ self.target, turn @ self.up))


@dataclass(frozen=True, eq=False, kw_only=True)
class Space:
    """The box that is drawn, in display axes.

    Attributes:
        low: [3] metres.
        high: [3] metres.
    """

    low: Floats
    high: Floats

    def scene(self) -> dict[str, Any]:
        """Return Plotly's axes: one metre is as long on all of them."""
        titles = zip("xyz", ("right, m", "ahead, m", "up, m"), self.low, self.high, strict=True)
        axes = {
            f"{axis}axis": {
                "title": {"text": text},
                "range": [round(float(a), 2), round(float(b), 2)],
                "backgroundcolor": "rgba(0,0,0,0)",
                "gridcolor": "var(--rule)",
                "color": "var(--muted)",
                "showspikes": False,
                "dtick": 20,
            }
            for axis, text, a, b in titles
        }
        sizes = (self.high - self.low) / METRES_PER_UNIT
        ratio = dict(zip("xyz", sizes.tolist(), strict=True))
        return {**axes, "aspectmode": "manual", "aspectratio": ratio, "dragmode": "orbit"}

    def camera(self, view: Viewpoint) -> dict[str, Any]:
        """Return Plotly's camera of a viewpoint."""
        middle = (self.low + self.high) / 2
        return {
            "eye": _xyz((view.eye - middle) / METRES_PER_UNIT),
            "center": _xyz((view.target - middle) / METRES_PER_UNIT),
            "up": _xyz(view.up),
        }


def displayed(points: Floats) -> Floats:
    """Return [..., 3] points of the main car's frame in display axes."""
    turned: Floats = np.asarray(points) @ DISPLAY_FROM_MAIN.T
    return turned


def space_of(points: Floats) -> Space:
    """Return the box around [P, 3] display points, never flat."""
    some = points if len(points) else np.zeros((1, 3))
    return Space(
        low=np.floor(some.min(axis=0) - 1.0).astype(np.float64),
        high=np.ceil(some.max(axis=0) + 1.0).astype(np.float64),
    )


def viewpoints(cars: Sequence[Car]) -> Mapping[str, Viewpoint]:
    """Return from behind the main car, above, the side, and each car's place, by key."""
    places = displayed(np.stack([car.main_from_car[:3, 3] for car in cars]))
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    half = float(np.ptp(places[:, :2], axis=0).max()) / 2 + 25.0
    away = half / _HALF_FOV
    up = np.array([0.0, 0.0, 1.0])
    found = {
        "behind": behind(cars[0]),
        "above": _from("From above", middle + away * up, middle, np.array([0.0, 1.0, 0.0])),
        "side": _from("From the side", middle + away * np.array([0.8, 0.0, 0.35]), middle, up),
    }
    for number, car in enumerate(cars):
        ahead = places[number] + 10.0 * displayed(car.main_from_car[:3, 2])
        name = f"From car {car.agent}" + ("" if number else " (main)")
        found[f"car{number}"] = _from(name, places[number], ahead, up)
    return found


def behind(car: Car) -> Viewpoint:
    """Return the view over a car's roof, from behind and above it."""
    eye, target = (
        displayed(car.main_from_car[:3, :3] @ at + car.main_from_car[:3, 3])
        for at in (np.array([0.0, -9.0, -16.0]), np.array([0.0, 1.0, 12.0]))
    )
    return _from("Behind the main car", eye, target, np.array([0.0, 0.0, 1.0]))


def _from(name: str, eye: Any, target: Any, up: Floats) -> Viewpoint:
    return Viewpoint(
        name=name, eye=np.asarray(eye, np.float64), target=np.asarray(target, np.float64), up=up
    )


def _xyz(values: Floats) -> dict[str, float]:
    return {axis: round(float(v), 5) for axis, v in zip("xyz", values, strict=True)}
