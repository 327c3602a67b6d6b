"""What stands beside the roads: trees, lamp posts, signs and traffic lights."""

from __future__ import annotations

import numpy as np

from gimbal_multicar.synthesis.quads import FloatArray, Quads
from gimbal_multicar.synthesis.roads import PAVEMENT_M, Road
from gimbal_multicar.synthesis.traffic import Town

TRUNK = (88, 66, 48)
LEAVES = ((70, 108, 46), (92, 126, 52), (58, 92, 56), (128, 132, 60), (168, 118, 48))
STEEL = (112, 116, 118)
SIGNS = ((196, 30, 34), (30, 84, 170), (226, 186, 40))


def furniture_quads(town: Town, rng: np.random.Generator) -> Quads:
    """Return trees and poles along all roads, and traffic lights at crossings."""
    quads = Quads()
    for road in town.roads:
        for side in (-1.0, 1.0):
            _line(quads, town, road, side, rng)
    for other, s in zip(town.roads[1:], town.crossings_m, strict=True):
        _lights(quads, town, other, s)
    return quads


def _line(quads: Quads, town: Town, road: Road, side: float, rng: np.random.Generator) -> None:
    """Set up one side of a road; nothing stands on another road."""
    s = -road.half_length_m + float(rng.uniform(0, 8))
    turn = 0
    while s < road.half_length_m:
        near, far = side * (road.half_width_m + 0.6), side * (road.half_width_m + PAVEMENT_M + 1.2)
        inward = float(road.heading(s)) - side * np.pi / 2
        if _free(town, road.at(s, near), road):
            kind = "lamp" if turn % 3 == 0 else ("sign" if rng.uniform() < 0.25 else "tree")
            right = far if kind == "tree" and rng.uniform() < 0.4 else near
            foot = town.hills.on(road.at(s, right))
            if kind == "lamp":
                _lamp(quads, foot, inward)
            elif kind == "sign":
                _sign(quads, foot, float(road.heading(s)), rng)
            else:
                _tree(quads, foot, rng)
        turn += 1
        s += float(rng.uniform(6.5, 11.0))


def _free(town: Town, xy: FloatArray, road: Road) -> bool:
    return all(
        float(other.distance(xy)) > other.half_width_m + PAVEMENT_M + 0.5
        for other in town.roads
        if other is not road
    )


def _up(height_m: float) -> FloatArray:
    return np.array([0.0, 0.0, height_m])


def _pole(quads: Quads, foot: FloatArray, radius_m: float, height_m: float, colour: object) -> None:
    angles = 2.0 * np.pi * np.arange(6) / 6
    base = foot[:2] + radius_m * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    quads.prism(base, foot[2] - 0.5, foot[2] + height_m, np.asarray(colour, float))


def _lamp(quads: Quads, foot: FloatArray, inward_rad: float) -> None:
    _pole(quads, foot, 0.09, 7.0, STEEL)
    way = np.array([np.cos(inward_rad), np.sin(inward_rad), 0.0])
    across = np.array([-way[1], way[0], 0.0])
    top = foot + _up(7.0)
    for reach, half, drop, colour in ((1.8, 0.05, 0.1, STEEL), (2.2, 0.16, 0.14, (60, 62, 66))):
        begin = top + (0.0 if half < 0.1 else 1.5) * way
        end = top + reach * way
        side = half * across
        flat = np.array([begin - side, end - side, end + side, begin + side])
        quads.add(flat, colour)
        quads.add(flat - (0.0, 0.0, drop), colour)
        edge = np.array([begin + side, end + side, end + side, begin + side])
        edge[2:, 2] -= drop
        quads.add(edge, colour)
        quads.add(edge - 2 * side, colour)


def _sign(quads: Quads, foot: FloatArray, heading_rad: float, rng: np.random.Generator) -> None:
    """Append a round, square or pointed board that faces along the road."""
    _pole(quads, foot, 0.04, 2.9, STEEL)
    corners = int(rng.choice([4, 8, 12]))
    angles = 2.0 * np.pi * (np.arange(corners) + 0.5) / corners
    across = np.array([-np.sin(heading_rad), np.cos(heading_rad), 0.0])
    ahead = np.array([np.cos(heading_rad), np.sin(heading_rad), 0.0])
    rim = 0.42 * (np.cos(angles)[:, None] * across + np.sin(angles)[:, None] * (0.0, 0.0, 1.0))
    colour = np.array(SIGNS[int(rng.integers(len(SIGNS)))])
    for way in (-1.0, 1.0):
        middle = foot + _up(2.55) + 0.06 * way * ahead
        quads.fan(middle, middle + rim, colour if way < 0 else STEEL)
        inner = middle + 0.01 * way * ahead
        quads.fan(inner, inner + 0.6 * rim, (236, 236, 232) if way < 0 else STEEL)


def _tree(quads: Quads, foot: FloatArray, rng: np.random.Generator) -> None:
    height = float(rng.uniform(4.5, 9.0))
    _pole(quads, foot, 0.14 + 0.012 * height, 0.5 * height, TRUNK)
    colour = np.array(LEAVES[rng.choice(len(LEAVES), p=(0.34, 0.28, 0.2, 0.1, 0.08))])
    for k in range(int(rng.integers(1, 4))):
        reach = float(rng.uniform(0.22, 0.3)) * height * (1.0 if k == 0 else 0.75)
        shift = rng.normal(0.0, 0.09 * height, 3) * (1.0 if k else 0.0)
        middle = foot + _up(0.66 * height) + shift
        _crown(quads, middle, (reach, reach * float(rng.uniform(0.9, 1.35))), colour, rng)


def _crown(
    quads: Quads,
    middle: FloatArray,
    radii_m: tuple[float, float],
    colour: FloatArray,
    rng: np.random.Generator,
) -> None:
    """Append a rough ellipsoid of 6 by 9 quads with leaves of different tones."""
    rows, columns = 6, 9
    polar = np.pi * np.arange(rows + 1) / rows
    azimuth = 2.0 * np.pi * np.arange(columns) / columns
    rough = rng.uniform(0.84, 1.12, (rows + 1, columns))
    rough[0], rough[-1] = 1.0, 1.0
    ring = np.sin(polar)[:, None] * rough * radii_m[0]
    points = np.stack(
        [
            ring * np.cos(azimuth),
            ring * np.sin(azimuth),
            np.cos(polar)[:, None] * rough * radii_m[1],
        ],
        axis=-1,
    )
    around = np.roll(points, -1, axis=1)
    corners = np.stack([points[:-1], around[:-1], around[1:], points[1:]], axis=2) + middle
    quads.add(corners, colour + rng.normal(0.0, 9.0, (rows, columns, 1)))


def _lights(quads: Quads, town: Town, other: Road, s_main: float) -> None:
    """Set up four traffic lights at a crossing: green along the main road, red across."""
    main = town.roads[0]
    for along in (-1.0, 1.0):
        for side in (-1.0, 1.0):
            s = s_main + along * (other.half_width_m + 0.7)
            foot = town.hills.on(main.at(s, side * (main.half_width_m + 0.7)))
            _pole(quads, foot, 0.07, 3.6, (58, 60, 62))
            low = foot + np.array([-0.16, -0.16, 2.7])
            high = foot + np.array([0.16, 0.16, 3.6])
            quads.box(low, high, (36, 38, 40))
            for heading, lit in ((float(main.heading(s)), 2), (other.heading_rad, 0)):
                _lenses(quads, foot, heading, lit)


def _lenses(quads: Quads, foot: FloatArray, heading_rad: float, lit: int) -> None:
    colours = ((214, 36, 36), (120, 96, 20), (40, 196, 92))
    across = 0.1 * np.array([-np.sin(heading_rad), np.cos(heading_rad), 0.0])
    up = _up(0.1)
    for way in (-1.0, 1.0):
        out = 0.24 * way * np.array([np.cos(heading_rad), np.sin(heading_rad), 0.0])
        for k, colour in enumerate(colours):
            middle = foot + _up(3.42 - 0.27 * k) + out
            square = np.array([middle - across - up, middle + across - up, middle + across + up,
                               middle - across + up])  # fmt: skip
            quads.add(square, np.array(colour) * (1.0 if k == lit else 0.3))
