"""Bodies of vehicles: what they look like, from the side profile of their kind.

A body fills its box exactly, so that ground-truth boxes are tight. Front and rear differ in shape
and colour (white lamps and a grille against red lamps), as a network has to see which way a car
points. Axes are the vehicle's: x forward, y right, z up, origin on the ground.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from gimbal_multicar.synthesis.quads import Bytes, FloatArray, Quads

Colour = tuple[int, int, int]

GLASS: Colour = (38, 48, 60)
TYRE: Colour = (24, 24, 26)
HUB: Colour = (150, 152, 156)
TRIM: Colour = (34, 34, 38)
HEADLAMP: Colour = (250, 246, 224)
TAILLAMP: Colour = (206, 22, 24)
PLATE: Colour = (235, 235, 230)
PAINTS: tuple[Colour, ...] = (
    (232, 234, 236), (26, 27, 30), (150, 154, 160), (92, 97, 104), (176, 24, 28), (24, 62, 140),
    (14, 92, 74), (214, 168, 36), (118, 62, 34), (206, 96, 28), (96, 150, 200), (196, 188, 168),
)  # fmt: skip
MIRROR_M = 0.09
OUTSET_M = 0.012
"""Windows and lamps lie this far before the panel they belong to."""


@dataclass(frozen=True)
class Profile:
    """The shape of a kind.

    Lengths are shares of the body's length from its rear, heights shares of its height.

    Attributes:
        length_m: Shortest and longest.
        width_m: Likewise, with mirrors.
        height_m: Likewise.
        deck: (length, height) of the lower body's upper edge, from rear to front.
        cabin: Rear and front end of the cabin's foot, rear and front end of its roof.
        belt: Height of the cabin's foot.
        roof_width: Share of the width.
        side_windows: On each side.
        cargo: Rear and front end of a box of full height without windows; none if equal.
    """

    length_m: tuple[float, float]
    width_m: tuple[float, float]
    height_m: tuple[float, float]
    deck: tuple[tuple[float, float], ...]
    cabin: tuple[float, float, float, float]
    belt: float
    roof_width: float = 0.8
    side_windows: int = 2
    cargo: tuple[float, float] = (0.0, 0.0)


PROFILES: dict[str, Profile] = {
    "sedan": Profile(
        (4.4, 4.95), (1.95, 2.1), (1.42, 1.52),
        ((0, 0.56), (0.03, 0.64), (0.76, 0.64), (0.95, 0.56), (1, 0.46)),
        (0.12, 0.76, 0.27, 0.58), 0.64,
    ),
    "hatchback": Profile(
        (3.6, 4.2), (1.85, 2.0), (1.44, 1.56),
        ((0, 0.58), (0.02, 0.62), (0.78, 0.62), (0.95, 0.54), (1, 0.44)),
        (0.01, 0.80, 0.10, 0.58), 0.62,
    ),
    "suv": Profile(
        (4.5, 5.0), (2.05, 2.2), (1.66, 1.86),
        ((0, 0.56), (0.02, 0.6), (0.75, 0.6), (0.97, 0.57), (1, 0.46)),
        (0.01, 0.76, 0.06, 0.62), 0.60, 0.84, 3,
    ),
    "van": Profile(
        (4.9, 5.9), (2.1, 2.25), (2.0, 2.45),
        ((0, 0.5), (0.88, 0.5), (0.98, 0.4), (1, 0.3)),
        (0.0, 0.90, 0.01, 0.74), 0.50, 0.9, 3,
    ),
    "pickup": Profile(
        (5.2, 5.7), (2.05, 2.2), (1.74, 1.9),
        ((0, 0.56), (0.40, 0.56), (0.41, 0.6), (0.74, 0.6), (0.97, 0.56), (1, 0.46)),
        (0.38, 0.76, 0.42, 0.65), 0.60, 0.82,
    ),
    "truck": Profile(
        (7.0, 9.0), (2.4, 2.55), (2.9, 3.4),
        ((0, 0.3), (0.74, 0.3), (0.75, 0.45), (1, 0.42)),
        (0.76, 0.99, 0.77, 0.95), 0.42, 0.92, 1, (0.0, 0.74),
    ),
    "bus": Profile(
        (10.5, 12.0), (2.6, 2.75), (2.9, 3.2),
        ((0, 0.4), (1, 0.4)),
        (0.0, 1.0, 0.0, 0.985), 0.40, 0.95, 8,
    ),
}  # fmt: skip
PASSENGER_KINDS = ("sedan", "hatchback", "suv")
"""Those a cooperating car is drawn from: its LiDAR stands above their roofs."""


@dataclass(frozen=True, kw_only=True)
class Body:
    """One vehicle's body.

    Attributes:
        kind: A key of `PROFILES`.
        size_m: Length, width (mirrors included) and height.
        ahead_m: How far the box's centre lies before the vehicle's origin.
        paint: Colour of the panels.
    """

    kind: str
    size_m: tuple[float, float, float]
    ahead_m: float
    paint: Colour

    @property
    def centre_m(self) -> FloatArray:
        """[3] the box's centre in the vehicle's axes, as OPV2V's `center`."""
        return np.array([self.ahead_m, 0.0, self.size_m[2] / 2.0])

    @property
    def half_extent_m(self) -> FloatArray:
        """[3] half length, width and height, as OPV2V's `extent`."""
        return np.array(self.size_m) / 2.0


def draw_body(rng: np.random.Generator, kinds: tuple[str, ...]) -> Body:
    """Return a body of one of the kinds, of random size and colour."""
    kind = kinds[int(rng.integers(len(kinds)))]
    p = PROFILES[kind]
    size = tuple(round(float(rng.uniform(*r)), 3) for r in (p.length_m, p.width_m, p.height_m))
    paint = np.array(PAINTS[int(rng.integers(len(PAINTS)))]) + rng.integers(-10, 11, 3)
    r, g, b = (int(c) for c in np.clip(paint, 0, 255))
    ahead = round(float(rng.uniform(-0.1, 0.15)), 3)
    return Body(kind=kind, size_m=(size[0], size[1], size[2]), ahead_m=ahead, paint=(r, g, b))


@functools.lru_cache(maxsize=512)
def body_quads(body: Body) -> tuple[FloatArray, Bytes]:
    """Return corners [N, 4, 3] in the vehicle's axes and colours [N, 3]."""
    shape = _Shape(body)
    quads = Quads()
    _lower_body(quads, shape)
    _cabin(quads, shape)
    _ends(quads, shape)
    _wheels(quads, shape)
    _mirrors(quads, shape)
    corners, colours = quads.arrays()
    return corners, colours


class _Shape:
    """A body's profile in metres."""

    def __init__(self, body: Body) -> None:
        self.body, self.profile = body, PROFILES[body.kind]
        self.length, width, self.height = body.size_m
        self.half = width / 2.0 - MIRROR_M
        self.rear = body.ahead_m - self.length / 2.0
        self.floor = 0.11 * self.height if self.height < 2.6 else 0.14 * self.height
        self.paint = np.array(body.paint, np.float64)

    def x(self, share: Any) -> Any:
        inner = self.length - 4.0 * OUTSET_M
        return self.rear + 2.0 * OUTSET_M + inner * np.asarray(share, np.float64)

    def z(self, share: Any) -> Any:
        return self.height * np.asarray(share, np.float64)


def _lower_body(quads: Quads, s: _Shape) -> None:
    deck = np.array(s.profile.deck)
    x, top = s.x(deck[:, 0]), s.z(deck[:, 1])
    floor = np.full_like(x, s.floor)
    for side in (-1.0, 1.0):
        y = np.full_like(x, side * s.half)
        low, high = np.stack([x, y, floor], -1), np.stack([x, y, top], -1)
        quads.add(_ribbon(low, high), s.paint)
        skirt = low + np.array([0.0, side * OUTSET_M, 0.0])
        quads.add(_ribbon(skirt, skirt + np.array([0.0, 0.0, 0.09 * s.height])), TRIM)
    left, right = (np.stack([x, np.full_like(x, y), top], -1) for y in (-s.half, s.half))
    quads.add(_ribbon(left, right), s.paint * 0.96)
    quads.add(
        _ribbon(left * (1, 1, 0) + (0, 0, s.floor), right * (1, 1, 0) + (0, 0, s.floor)), TRIM
    )


def _ribbon(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the quads [K-1, 4, 3] between two lines [K, 3]."""
    return np.stack([first[:-1], first[1:], second[1:], second[:-1]], axis=1)


def _cabin(quads: Quads, s: _Shape) -> None:
    rear, front, roof_rear, roof_front = s.profile.cabin
    foot, half_roof = s.z(s.profile.belt), s.half * s.profile.roof_width
    low = [(rear, -s.half), (front, -s.half), (front, s.half), (rear, s.half)]
    high = [(roof_rear, -half_roof), (roof_front, -half_roof), (roof_front, half_roof),
            (roof_rear, half_roof)]  # fmt: skip
    a = np.array([[s.x(x), y, foot] for x, y in low])
    b = np.array([[s.x(x), y, s.height] for x, y in high])
    quads.add(b, s.paint)
    sides = np.stack([a, np.roll(a, -1, 0), np.roll(b, -1, 0), b], axis=1)
    quads.add(sides, s.paint)
    middle = a.mean(axis=0)
    for k, count in ((0, s.profile.side_windows), (1, 1), (2, s.profile.side_windows), (3, 1)):
        quads.add(_windows(sides[k], count, middle), GLASS)
    begin, end = s.profile.cargo
    if end > begin:
        y, x0, x1 = s.half + 0.5 * MIRROR_M, s.x(begin), s.x(end)
        quads.box((x0, -y, 0.26 * s.height), (x1, y, s.height), 0.4 * s.paint + 140.0)


def _windows(panel: FloatArray, count: int, inside: FloatArray) -> FloatArray:
    """Return `count` panes [count, 4, 3] beside each other, just before a panel [4, 3]."""
    normal = np.cross(panel[1] - panel[0], panel[3] - panel[0])
    normal /= np.linalg.norm(normal)
    normal *= np.sign(normal @ (panel.mean(axis=0) - inside))
    panes = []
    for k in range(count):
        u0, u1 = (k + 0.08) / count, (k + 0.92) / count
        if count == 1:
            u0, u1 = 0.08, 0.92
        corners = [_blend(panel, u, v) for u, v in ((u0, 0.06), (u1, 0.06), (u1, 0.9), (u0, 0.9))]
        panes.append(np.array(corners) + OUTSET_M * normal)
    return np.array(panes)


def _blend(panel: FloatArray, u: float, v: float) -> FloatArray:
    low, high = panel[0] + u * (panel[1] - panel[0]), panel[3] + u * (panel[2] - panel[3])
    mixed: FloatArray = low + v * (high - low)
    return mixed


def _ends(quads: Quads, s: _Shape) -> None:
    """Append front and rear: panel, lamps, plate, and a grille at the front only."""
    front_top, rear_top = (s.z(s.profile.deck[k][1]) for k in (-1, 0))
    h, behind = s.half, s.rear
    ahead = s.rear + s.length
    _plate(quads, s.x(1.0), (-h, h), (s.floor, front_top), s.paint)
    _plate(quads, s.x(0.0), (-h, h), (s.floor, rear_top), s.paint)
    for side in (-1.0, 1.0):
        lamp = front_top - 0.11 * min(s.height, 1.7)
        _plate(quads, ahead, (side * 0.62 * h, side * 0.97 * h), (lamp, front_top - 0.02), HEADLAMP)
        tail = rear_top - 0.16 * min(s.height, 1.7)
        _plate(quads, behind, (side * 0.66 * h, side * 0.98 * h), (tail, rear_top - 0.03), TAILLAMP)
    middle = 0.5 * (s.floor + front_top)
    _plate(quads, ahead, (-0.52 * h, 0.52 * h), (middle, front_top - 0.05), TRIM)
    _plate(quads, ahead, (-h, h), (s.floor, s.floor + 0.1), TRIM)
    _plate(quads, behind, (-h, h), (s.floor, s.floor + 0.1), TRIM)
    _plate(quads, behind, (-0.26, 0.26), (middle - 0.02, middle + 0.1), PLATE)


def _plate(
    quads: Quads, x: float, sides: tuple[float, float], heights: tuple[float, float], colour: Any
) -> None:
    """Append an upright rectangle across the car at x."""
    (y0, y1), (z0, z1) = sides, heights
    quads.add([[x, y0, z0], [x, y1, z0], [x, y1, z1], [x, y0, z1]], colour)


def _wheels(quads: Quads, s: _Shape) -> None:
    radius = min(0.34, 0.24 * s.height) if s.height < 2.6 else 0.48
    angles = 2.0 * np.pi * np.arange(12) / 12
    rim = np.stack([np.cos(angles), np.zeros(12), np.sin(angles)], -1)
    rim[:, 2] /= np.abs(rim[:, 2]).max()
    for share in (0.17, 0.81):
        for side in (-1.0, 1.0):
            outer = np.array([s.x(share), side * (s.half + 2 * OUTSET_M), radius])
            inner = outer - (0.0, side * 0.22, 0.0)
            tyre, back = outer + radius * rim, inner + radius * rim
            quads.add(np.stack([tyre, np.roll(tyre, -1, 0), np.roll(back, -1, 0), back], 1), TYRE)
            quads.fan(outer, tyre, TYRE)
            hub = outer + np.array([0.0, side * OUTSET_M, 0.0])
            quads.fan(hub, hub + 0.58 * radius * rim, HUB)


def _mirrors(quads: Quads, s: _Shape) -> None:
    x, z = s.x(s.profile.cabin[1] - 0.06), s.z(s.profile.belt) + 0.08
    for side in (-1.0, 1.0):
        y0, y1 = sorted((side * (s.half - 0.05), side * (s.half + MIRROR_M)))
        quads.box((x - 0.09, y0, z - 0.07), (x + 0.03, y1, z + 0.07), s.paint * 0.85)
