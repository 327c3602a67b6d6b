"""Furniture: slabs on legs, backs and boards. z is up; sizes are relative."""

from __future__ import annotations

import numpy as np

from gimbal_nbv.shapes.primitives import box, cylinder, lathe, sweep
from gimbal_nbv.shapes.solid import Points, Solid, merge


def _legs(rng: np.random.Generator, width: float, depth: float, height: float) -> list[Solid]:
    """Four legs under a slab whose lower side is at z = 0."""
    thickness = rng.uniform(0.04, 0.11)
    splay = rng.uniform(0.0, 0.15) if rng.random() < 0.4 else 0.0
    round_leg = rng.random() < 0.5
    inset = 1 - 1.4 * thickness
    legs = []
    for sx in (-1, 1):
        for sy in (-1, 1):
            top = np.array([sx * width / 2 * inset, sy * depth / 2 * inset, 0.02])
            foot = top * [1 + splay, 1 + splay, 1] - [0, 0, height + 0.02]
            legs.append(_bar(top, foot, thickness, round_bar=round_leg))
    return legs


def _bar(start: Points, end: Points, thickness: float, *, round_bar: bool) -> Solid:
    path = np.linspace(start, end, 6)
    return sweep(path, thickness / 2 * (1.0 if round_bar else 1.3), sides=12 if round_bar else 4)


def table(rng: np.random.Generator) -> Solid:
    """A top on four legs or one column, sometimes with a shelf below."""
    width, depth, height = rng.uniform(0.7, 1.6), rng.uniform(0.6, 1.0), rng.uniform(0.4, 0.9)
    thick = rng.uniform(0.04, 0.12)
    round_top = rng.random() < 0.3
    top = cylinder(width / 2, thick) if round_top else box([width, depth, thick], 8)
    side = width * 0.7 if round_top else width
    parts = [top.moved([0, 0, thick / 2])]
    if rng.random() < 0.25:
        parts.append(cylinder(rng.uniform(0.04, 0.1), height).moved([0, 0, -height / 2]))
        parts.append(cylinder(side * 0.3, 0.06, top=side * 0.2).moved([0, 0, -height]))
    else:
        parts.extend(_legs(rng, side, side if round_top else depth, height))
    if rng.random() < 0.35:
        level = -height * rng.uniform(0.4, 0.8)
        parts.append(
            box([side * 0.9, (side if round_top else depth) * 0.9, 0.04]).moved([0, 0, level])
        )
    return merge(parts)


def stool(rng: np.random.Generator) -> Solid:
    """A round seat on three or four splayed legs joined by a ring."""
    seat, height, count = rng.uniform(0.25, 0.4), rng.uniform(0.5, 1.0), int(rng.integers(3, 6))
    parts = [cylinder(seat, rng.uniform(0.05, 0.2)).moved([0, 0, 0.03])]
    for angle in np.arange(count) * (2 * np.pi / count):
        out = np.array([np.cos(angle), np.sin(angle), 0])
        foot = out * seat * rng.uniform(1.0, 1.2) - [0, 0, height]
        parts.append(_bar(out * seat * 0.7, foot, 0.07, round_bar=True))
    turn = np.linspace(0, 2 * np.pi, 33)[:-1]
    ring = np.stack([np.cos(turn), np.sin(turn), 0 * turn - height * 0.6], 1)
    parts.append(sweep(ring * [seat * 0.95, seat * 0.95, 1], 0.025, closed=True))
    return merge(parts)


def chair(rng: np.random.Generator) -> Solid:
    """Seat, legs and a solid, barred or slatted back; sometimes arms."""
    width, depth, height = rng.uniform(0.45, 0.7), rng.uniform(0.45, 0.65), rng.uniform(0.35, 0.6)
    back = rng.uniform(0.4, 0.9)
    parts = [box([width, depth, 0.07]).moved([0, 0, 0.035]), *_legs(rng, width, depth, height)]
    rear = -depth / 2 + 0.03
    if rng.random() < 0.4:
        parts.append(box([width, 0.06, back]).moved([0, rear, back / 2]))
    else:
        bars = int(rng.integers(2, 6))
        for x in np.linspace(-width / 2 + 0.04, width / 2 - 0.04, bars):
            parts.append(box([0.05, 0.05, back], 4).moved([x, rear, back / 2]))
        parts.append(box([width, 0.06, back * 0.25]).moved([0, rear, back * 0.9]))
    if rng.random() < 0.4:
        for side in (-1, 1):
            x = side * (width / 2 - 0.03)
            parts.append(box([0.06, depth, 0.05], 4).moved([x, 0, 0.28]))
            parts.append(box([0.05, 0.05, 0.28], 4).moved([x, depth / 2 - 0.04, 0.14]))
    return merge(parts)


def armchair(rng: np.random.Generator) -> Solid:
    """A thick seat between thick arms and back: one deep concavity."""
    width, depth, arm = rng.uniform(0.6, 1.6), rng.uniform(0.5, 0.8), rng.uniform(0.1, 0.2)
    seat, back = rng.uniform(0.25, 0.4), rng.uniform(0.6, 0.95)
    side = seat + rng.uniform(0.1, 0.3)
    parts = [
        box([width, depth, seat]).moved([0, 0, seat / 2]),
        box([width + 2 * arm, arm, back]).moved([0, -depth / 2, back / 2]),
    ]
    for x in (-1, 1):
        parts.append(box([arm, depth, side]).moved([x * (width + arm) / 2, 0, side / 2]))
    return merge(parts)


def shelf(rng: np.random.Generator) -> Solid:
    """Boards between two sides, with or without a back."""
    width, depth, height = rng.uniform(0.5, 1.1), rng.uniform(0.2, 0.5), rng.uniform(0.7, 1.3)
    thick = rng.uniform(0.03, 0.06)
    parts = [box([thick, depth, height]).moved([x * width / 2, 0, height / 2]) for x in (-1, 1)]
    for z in np.linspace(thick, height - thick, int(rng.integers(2, 6))):
        parts.append(box([width, depth, thick]).moved([0, 0, z]))
    if rng.random() < 0.6:
        parts.append(box([width, thick, height]).moved([0, -depth / 2, height / 2]))
    return merge(parts)


def lamp(rng: np.random.Generator) -> Solid:
    """A foot, a column and an open shade."""
    height, radius, wall = rng.uniform(0.6, 1.2), rng.uniform(0.2, 0.4), 0.025
    upper, drop = radius * rng.uniform(0.4, 0.9), rng.uniform(0.25, 0.45)
    shade = lathe(
        [
            [radius, 0], [upper, drop], [upper - wall, drop], [radius - wall, 0], [radius, 0],
        ],
        40,
    )  # fmt: skip
    return merge(
        [
            cylinder(radius * rng.uniform(0.5, 0.9), 0.06, top=0.08),
            cylinder(rng.uniform(0.02, 0.05), height).moved([0, 0, height / 2]),
            cylinder(upper, 0.02).moved([0, 0, height - 0.05]),
            shade.moved([0, 0, height - drop - 0.04]),
        ]
    )


def bench(rng: np.random.Generator) -> Solid:
    """A slatted seat on two trestles."""
    length, depth, height = rng.uniform(0.9, 1.8), rng.uniform(0.3, 0.5), rng.uniform(0.3, 0.5)
    slats = int(rng.integers(2, 5))
    pitch = depth / slats
    parts = [
        box([length, pitch * 0.7, 0.05]).moved([0, (k - (slats - 1) / 2) * pitch, 0])
        for k in range(slats)
    ]
    for x in (-0.38, 0.38):
        parts.append(box([0.08, depth, 0.06], 4).moved([x * length, 0, -0.05]))
        for y in (-1, 1):
            top = np.array([x * length, y * depth * 0.3, -0.05])
            foot = np.array([x * length, y * depth * 0.55, -height])
            parts.append(_bar(top, foot, 0.07, round_bar=False))
    return merge(parts)
