"""Buildings along the roads: walls, floors of windows, shops, doors and roofs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gimbal_multicar.synthesis.quads import FloatArray, Quads, rectangle
from gimbal_multicar.synthesis.roads import PAVEMENT_M, Road
from gimbal_multicar.synthesis.traffic import Town

FLOOR_M = 3.2
OUTSET_M = 0.05
WALLS = (
    (196, 178, 150), (168, 96, 78), (214, 206, 190), (150, 152, 158), (190, 150, 112),
    (122, 110, 104), (206, 188, 120), (134, 160, 168), (222, 222, 218), (154, 84, 62),
    (176, 186, 160), (104, 112, 126),
)  # fmt: skip
GLASS = ((52, 66, 84), (74, 92, 112), (40, 48, 58), (112, 132, 150), (196, 182, 132))
AWNINGS = ((178, 36, 40), (28, 96, 62), (34, 70, 142), (214, 150, 36), (92, 48, 96))


@dataclass(frozen=True)
class House:
    """A building before it is drawn.

    Attributes:
        base: [4, 2] corners; the first two are those of the front, which faces the road.
        floor_m: Height its walls begin at, below the ground everywhere.
        ground_m: Height of its doors' foot.
        floors: Above the ground.
    """

    base: FloatArray
    floor_m: float
    ground_m: float
    floors: int

    @property
    def top_m(self) -> float:
        """Height of the roof."""
        return self.ground_m + self.floors * FLOOR_M + 0.8


def building_quads(town: Town, rng: np.random.Generator) -> Quads:
    """Return buildings on both sides of all roads, none of them on a road."""
    quads = Quads()
    taken: list[FloatArray] = []
    for road in town.roads:
        for side in (-1.0, 1.0):
            for house in _row(town, road, side, rng, taken):
                _draw(quads, house, rng)
    return quads


def _row(
    town: Town, road: Road, side: float, rng: np.random.Generator, taken: list[FloatArray]
) -> list[House]:
    """Return the houses along one side of a road; gaps are left for gardens."""
    houses = []
    s = -road.half_length_m
    while s < road.half_length_m - 8.0:
        length, depth = float(rng.uniform(11, 26)), float(rng.uniform(10, 16))
        setback, gap = float(rng.uniform(0.8, 5.0)), float(rng.uniform(0.5, 4.0))
        floors, garden = int(rng.integers(2, 9)), rng.uniform() < 0.12
        middle = s + length / 2.0
        away = road.half_width_m + PAVEMENT_M + setback + depth / 2.0
        xy = road.at(middle, side * away)
        base = rectangle(xy, float(road.heading(middle)), length, side * depth)
        s += length + gap
        if garden or not _fits(town, base, taken):
            continue
        taken.append(base.mean(axis=0))
        height = town.hills.height(base)
        houses.append(House(base, float(height.min()) - 1.5, float(height.mean()), floors))
    return houses


def _fits(town: Town, base: FloatArray, taken: list[FloatArray]) -> bool:
    """Return whether a footprint keeps off every pavement, and off other houses' middles."""
    u = np.linspace(0.0, 1.0, 7)[:, None]
    rim = np.concatenate([a + u * (b - a) for a, b in zip(base, np.roll(base, -1, 0), strict=True)])
    on_road = any((r.distance(rim) < r.half_width_m + PAVEMENT_M + 0.3).any() for r in town.roads)
    middle = base.mean(axis=0)
    crowded = any(float(np.hypot(*(middle - other))) < 10.0 for other in taken)
    return not on_road and not crowded


def _draw(quads: Quads, house: House, rng: np.random.Generator) -> None:
    wall = np.array(WALLS[int(rng.integers(len(WALLS)))]) + rng.normal(0.0, 6.0, 3)
    quads.prism(house.base, house.floor_m, house.top_m, wall)
    cornice = rectangle_around(house.base, 0.18)
    quads.prism(cornice, house.top_m - 0.35, house.top_m + 0.12, wall * 0.72)
    width = float(rng.uniform(1.1, 1.9))
    style = _Windows(
        width_m=width,
        every_m=width + float(rng.uniform(0.9, 1.9)),
        height_m=float(rng.uniform(1.3, 2.0)),
    )
    shops = rng.uniform() < 0.5
    for k in range(4):
        a, b = house.base[k], house.base[(k + 1) % 4]
        first = 1 if k == 0 else 0
        _facade(quads, (a, b), house, (style, first), rng)
        if k == 0:
            _ground_floor(quads, (a, b), house, rng, shops=bool(shops))


def rectangle_around(base: FloatArray, margin_m: float) -> FloatArray:
    """Return a rectangle [4, 2] grown by a margin on all sides."""
    along, across = base[1] - base[0], base[2] - base[1]
    along, across = along / np.linalg.norm(along), across / np.linalg.norm(across)
    signs = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * margin_m
    grown: FloatArray = base + signs[:, :1] * along + signs[:, 1:] * across
    return grown


@dataclass(frozen=True)
class _Windows:
    width_m: float
    every_m: float
    height_m: float


def _facade(
    quads: Quads,
    edge: tuple[FloatArray, FloatArray],
    house: House,
    windows: tuple[_Windows, int],
    rng: np.random.Generator,
) -> None:
    """Append a grid of windows before one wall, from a floor upwards."""
    style, first = windows
    a, b = edge
    length = float(np.hypot(*(b - a)))
    count = int((length - 0.8) / style.every_m)
    floors = np.arange(first, house.floors)
    if count < 1 or not len(floors):
        return
    start = (np.arange(count) + 0.5) * length / count - style.width_m / 2.0
    low = house.ground_m + floors * FLOOR_M + 0.95
    u, z = np.meshgrid(start, low, indexing="ij")
    corners = _panes(edge, house, (u, u + style.width_m), (z, z + style.height_m))
    tints = np.array(GLASS)[rng.choice(len(GLASS), u.shape, p=(0.4, 0.25, 0.15, 0.12, 0.08))]
    quads.add(corners, tints)


def _panes(
    edge: tuple[FloatArray, FloatArray],
    house: House,
    along: tuple[FloatArray, FloatArray],
    heights: tuple[FloatArray, FloatArray],
) -> FloatArray:
    """Return upright quads [..., 4, 3] just outside a wall, by metres along it and heights."""
    a, b = edge
    way = (b - a) / np.hypot(*(b - a))
    out = np.array([way[1], -way[0]])
    out *= np.sign(out @ (a - house.base.mean(axis=0)))
    foot = a + OUTSET_M * out

    def at(u: FloatArray, z: FloatArray) -> FloatArray:
        return np.concatenate([foot + u[..., None] * way, z[..., None]], axis=-1)

    (u0, u1), (z0, z1) = along, heights
    return np.stack([at(u0, z0), at(u1, z0), at(u1, z1), at(u0, z1)], axis=-2)


def _ground_floor(
    quads: Quads,
    edge: tuple[FloatArray, FloatArray],
    house: House,
    rng: np.random.Generator,
    *,
    shops: bool,
) -> None:
    """Append shop windows and a sign, or a door and windows, before the front wall."""
    length = float(np.hypot(*(edge[1] - edge[0])))
    z = house.ground_m
    one = np.ones(1)

    def pane(u: tuple[float, float], h: tuple[float, float], colour: object) -> None:
        along, heights = (u[0] * one, u[1] * one), ((z + h[0]) * one, (z + h[1]) * one)
        quads.add(_panes(edge, house, along, heights), np.asarray(colour, float))

    door = float(rng.uniform(0.15, 0.75)) * length
    if shops:
        pane((0.4, door - 0.3), (0.6, 2.4), GLASS[int(rng.integers(3))])
        pane((door + 1.4, length - 0.4), (0.6, 2.4), GLASS[int(rng.integers(3))])
        pane((0.3, length - 0.3), (2.55, 3.1), AWNINGS[int(rng.integers(len(AWNINGS)))])
    else:
        for u in np.arange(0.8, length - 2.0, 3.1):
            if abs(u - door) > 1.9:
                pane((u, u + 1.3), (0.95, 2.4), GLASS[int(rng.integers(4))])
    pane((door, door + 1.1), (-0.2, 2.2), rng.uniform(30, 110, 3))
