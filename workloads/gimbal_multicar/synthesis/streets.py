"""The surfaces of roads: asphalt, pavements, markings, crossings, and the ground around.

Everything flat lies over smooth hills as short quads. Layers keep a few centimetres apart, more
than a quad's own deviation from the hills, so that none pierces another; where two roads meet,
asphalt lies over asphalt of the same colour and everything else is left out.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_multicar.synthesis.quads import FloatArray, Quads
from gimbal_multicar.synthesis.roads import LANE_M, PAVEMENT_M, Hills, Road
from gimbal_multicar.synthesis.traffic import Town

STEP_M = 2.0
"""Length of a quad along the road."""

MARK_LIFT_M = 0.03
KERB_LIFT_M = 0.15
VERGE_LIFT_M = 0.09
GROUND_LIFT_M = -0.4
VERGE_M = 9.0
"""Width of the strip behind the pavement."""

GROUND_STEP_M = 10.0
ASPHALT = (82, 83, 86)
WHITE = (226, 226, 222)
YELLOW = (222, 178, 58)
PAVING = (158, 153, 146)
KERB = (186, 184, 180)
GRASS = (92, 122, 62)
DASH_M = 3.0
ZEBRA_M = 3.2


def street_quads(town: Town, rng: np.random.Generator) -> Quads:
    """Return all ground surfaces of a town."""
    quads = Quads()
    tone = float(rng.uniform(0.85, 1.1))
    for k, road in enumerate(town.roads):
        strips = _Strips(quads, road, town)
        _asphalt(strips, np.array(ASPHALT) * tone)
        for side in (-1.0, 1.0):
            _pavement(strips, side, rng)
        _markings(strips, town.crossings_m if k == 0 else (0.0,) * bool(town.crossings_m))
    _crossings(quads, town)
    _ground(quads, town, rng)
    return quads


class _Strips:
    """Lays strips along one road, leaving out what lies on another road."""

    def __init__(self, quads: Quads, road: Road, town: Town) -> None:
        self.quads, self.road, self.hills = quads, road, town.hills
        self.others = [r for r in town.roads if r is not road]
        count = int(road.half_length_m / STEP_M)
        self.s = STEP_M * np.arange(-count, count + 1)

    def corners(self, s: FloatArray, right_m: ArrayLike, lift_m: ArrayLike) -> FloatArray:
        """Return quads [N, 4, 3] between (s_i, s_i+1), from `right_m[0]` to `right_m[1]`."""
        right, lift = np.asarray(right_m, float), np.broadcast_to(np.asarray(lift_m, float), 2)
        lines = []
        for r, up in zip(right, lift, strict=True):
            xy = self.road.at(s, np.full_like(s, r))
            lines.append(self.hills.on(xy, up))
        a, b = lines
        return np.stack([a[:-1], a[1:], b[1:], b[:-1]], axis=1)

    def free(self, corners: FloatArray, margin_m: float) -> Any:
        """Return [N] bool: quads whose middle keeps a distance from the other roads' asphalt."""
        middle = corners[:, :, :2].mean(axis=1)
        keep = np.ones(len(corners), np.bool_)
        for other in self.others:
            keep &= other.distance(middle) > other.half_width_m + margin_m
        return keep

    def lay(self, corners: FloatArray, colour: ArrayLike, margin_m: float) -> None:
        """Append the quads that are free."""
        keep = self.free(corners, margin_m)
        colours = np.broadcast_to(np.asarray(colour, float), (len(corners), 3))
        self.quads.add(corners[keep], colours[keep])


def _asphalt(strips: _Strips, colour: FloatArray) -> None:
    """Lay asphalt up to the outer edge of the pavement, so that no gap shows at corners."""
    reach = strips.road.half_width_m + PAVEMENT_M
    columns = np.linspace(-reach, reach, 2 * int(np.ceil(reach / LANE_M)) + 1)
    for left, right in itertools.pairwise(columns):
        strips.quads.add(strips.corners(strips.s, (left, right), 0.0), colour)


def _pavement(strips: _Strips, side: float, rng: np.random.Generator) -> None:
    inner = side * strips.road.half_width_m
    outer = inner + side * PAVEMENT_M
    kerb = strips.corners(strips.s, (inner, inner), (-0.02, KERB_LIFT_M))
    strips.lay(kerb, KERB, 0.0)
    top = strips.corners(strips.s, (inner, inner + side * 0.25), KERB_LIFT_M)
    strips.lay(top, KERB, 0.0)
    middle = 0.5 * (inner + side * 0.25 + outer)
    for a, b in ((inner + side * 0.25, middle), (middle, outer)):
        slabs = strips.corners(strips.s, (a, b), KERB_LIFT_M)
        strips.lay(slabs, np.array(PAVING) + rng.normal(0.0, 4.0, (len(slabs), 1)), 0.0)
    plaza = rng.uniform() < 0.5
    colour = np.array((146, 140, 130) if plaza else GRASS)
    edges = np.linspace(0.0, VERGE_M, 4)
    for a, b in itertools.pairwise(edges):
        verge = strips.corners(strips.s, (outer + side * a, outer + side * b), VERGE_LIFT_M)
        shade = rng.normal(0.0, 5.0, (len(verge), 1))
        strips.lay(verge, colour + shade, PAVEMENT_M)


def _markings(strips: _Strips, near: tuple[float, ...]) -> None:
    """Paint the centre line, dashes between lanes, edges, and bays of parked cars."""
    road, s = strips.road, strips.s
    clear = 1.0 + ZEBRA_M + 1.6
    for offset in (-0.16, 0.16) if road.lanes > 1 else (0.0,):
        line = strips.corners(s, (offset - 0.07, offset + 0.07), MARK_LIFT_M)
        strips.lay(line, YELLOW if road.lanes > 1 else WHITE, clear)
    dashes = np.arange(s[0], s[-1] - 2 * DASH_M, 3.0 * DASH_M)
    lanes = np.arange(1, road.lanes) * LANE_M
    edge = road.lanes * LANE_M
    for way in (-1.0, 1.0):
        for lane in lanes:
            strips.lay(_pieces(strips, dashes, DASH_M, way * lane, 0.08), WHITE, clear)
        right = way * (edge - (0.0 if road.parking else 0.35))
        strips.lay(strips.corners(s, (right - 0.07, right + 0.07), MARK_LIFT_M), WHITE, 1.0)
    if road.parking:
        bays = np.arange(s[0], s[-1] - 1.0, 7.2)
        for way in (-1.0, 1.0):
            middle, half = way * 0.5 * (edge + road.half_width_m), 0.5 * (road.half_width_m - edge)
            strips.lay(_pieces(strips, bays, 0.14, middle, half), WHITE, 20.0 if near else 0.0)


def _pieces(
    strips: _Strips, starts: FloatArray, length_m: float, right_m: float, half_m: float
) -> FloatArray:
    """Return quads [N, 4, 3] of one length each, centred `right_m` from the centre line."""
    ends = [(starts, -half_m), (starts + length_m, -half_m),
            (starts + length_m, half_m), (starts, half_m)]  # fmt: skip
    road, hills = strips.road, strips.hills
    corners = [hills.on(road.at(s, np.full_like(s, right_m + r)), MARK_LIFT_M) for s, r in ends]
    return np.stack(corners, axis=1)


def _crossings(quads: Quads, town: Town) -> None:
    """Paint zebra crossings and stop lines around every junction."""
    for other, s_main in zip(town.roads[1:], town.crossings_m, strict=True):
        main = town.roads[0]
        _arms(quads, town, main, (s_main, other.half_width_m))
        _arms(quads, town, other, (0.0, main.half_width_m))


def _arms(quads: Quads, town: Town, road: Road, at: tuple[float, float]) -> None:
    middle, half = at
    strips = _Strips(quads, road, town)
    inside = road.half_width_m - 0.4
    stripes = np.arange(-inside + 0.25, inside, 1.0)
    for way in (-1.0, 1.0):
        start = middle + way * (half + 1.0)
        for right in stripes:
            s = np.linspace(start, start + way * ZEBRA_M, 3)
            band = strips.corners(s, (right - 0.25, right + 0.25), MARK_LIFT_M)
            quads.add(band, WHITE)
        line = start + way * (ZEBRA_M + 0.8)
        own = sorted((-way * 0.15, -way * (road.lanes * LANE_M - 0.4)))
        edges = np.linspace(own[0], own[1], 3)
        for a, b in itertools.pairwise(edges):
            stop = strips.corners(np.array([line, line + way * 0.4]), (a, b), MARK_LIFT_M)
            quads.add(stop, WHITE)


def _ground(quads: Quads, town: Town, rng: np.random.Generator) -> None:
    """Lay a coarse ground under and around everything."""
    ends = np.concatenate(
        [r.at(np.linspace(-r.half_length_m, r.half_length_m, 9)) for r in town.roads]
    )
    low, high = ends.min(axis=0) - 90.0, ends.max(axis=0) + 90.0
    x, y = (np.arange(low[k], high[k] + GROUND_STEP_M, GROUND_STEP_M) for k in (0, 1))
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    points = _lowered(town.hills, grid)
    corners = np.stack([points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]], axis=2)
    shape = (*corners.shape[:2], 1)
    quads.add(corners, np.array(GRASS) * 0.92 + rng.normal(0.0, 4.0, shape))


def _lowered(hills: Hills, grid: FloatArray) -> FloatArray:
    return hills.on(grid, GROUND_LIFT_M)
