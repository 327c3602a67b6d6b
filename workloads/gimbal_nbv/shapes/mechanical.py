"""Machined and printed parts: brackets, frames, gears, drilled and pocketed blocks."""

from __future__ import annotations

import numpy as np

from gimbal_nbv.shapes.implicit import Distance, block, cut, drill, mesh_of
from gimbal_nbv.shapes.primitives import (
    box,
    circle,
    cylinder,
    prism,
    rectangle,
    ring_prism,
    sweep,
)
from gimbal_nbv.shapes.solid import Solid, merge, rotation_about


def l_bracket(rng: np.random.Generator) -> Solid:
    """Two plates at an angle, with ribs."""
    width, long, short = rng.uniform(0.3, 0.8), rng.uniform(0.7, 1.0), rng.uniform(0.4, 0.9)
    thick = rng.uniform(0.015, 0.16)
    angle = rng.uniform(1.2, 2.0) if rng.random() < 0.3 else np.pi / 2
    upright = box([thick, width, short]).moved([0, 0, short / 2])
    parts = [
        box([long, width, thick]).moved([long / 2, 0, 0]),
        upright.turned(rotation_about([0, 1, 0], np.pi / 2 - angle)),
    ]
    if rng.random() < 0.5:
        reach = 0.7 * min(long, short)
        rib = prism(np.array([[0, 0], [reach, 0], [0, reach]]), thick * 0.7)
        rib = rib.turned(rotation_about([1, 0, 0], np.pi / 2))
        parts += [rib.moved([0, y * width, 0]) for y in (-0.35, 0.35)]
    return merge(parts)


def u_channel(rng: np.random.Generator) -> Solid:
    """A channel of three plates, sometimes with a tongue in the middle."""
    width, length, height = rng.uniform(0.3, 0.7), rng.uniform(0.5, 1.2), rng.uniform(0.3, 0.7)
    thick = rng.uniform(0.01, 0.12)
    parts = [box([width, length, thick])]
    levels = [-1.0, 1.0, 0.0] if rng.random() < 0.3 else [-1.0, 1.0]
    for x in levels:
        at = [x * (width - thick) / 2, 0, height / 2]
        parts.append(box([thick, length, height]).moved(at))
    return merge(parts)


def cross_beam(rng: np.random.Generator) -> Solid:
    """Beams of T, I or cross section, or three crossing bars."""
    length, thick = rng.uniform(0.7, 1.3), rng.uniform(0.08, 0.2)
    flange = rng.uniform(0.3, 0.7)
    kind = rng.integers(3)
    web = box([thick, length, flange])
    if kind == 0:
        return merge([web, box([flange, length, thick]).moved([0, 0, flange / 2])])
    if kind == 1:
        caps = [box([flange, length, thick]).moved([0, 0, z * flange / 2]) for z in (-1, 1)]
        return merge([web, *caps])
    sizes = np.where(np.eye(3) > 0, length, thick) * rng.uniform(0.7, 1.2, size=(3, 1))
    return merge([box(size) for size in sizes])


def lattice(rng: np.random.Generator) -> Solid:
    """An open frame of bars along three axes."""
    counts = rng.integers(2, 4, size=3)
    size = rng.uniform(0.5, 1.0, size=3)
    thick = rng.uniform(0.05, 0.12)
    lines = [np.linspace(-s / 2, s / 2, n) for s, n in zip(size, counts, strict=True)]
    parts = []
    for axis in range(3):
        one, two = (axis + 1) % 3, (axis + 2) % 3
        bar = np.full(3, thick)
        bar[axis] = size[axis] + thick
        for u in lines[one]:
            for v in lines[two]:
                at = np.zeros(3)
                at[one], at[two] = u, v
                parts.append(box(bar, 4).moved(at))
    return merge(parts)


def gear(rng: np.random.Generator) -> Solid:
    """A toothed wheel with a bore and a hub."""
    teeth, height = int(rng.integers(8, 18)), rng.uniform(0.1, 0.4)
    angle = np.arange(teeth * 8) * (2 * np.pi / (teeth * 8))
    wave = np.clip(2.5 * np.sin(teeth * angle), -1, 1)
    radius = 0.5 + rng.uniform(0.03, 0.08) * wave
    outer = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    bore = rng.uniform(0.08, 0.25)
    parts = [ring_prism(outer, circle(bore, len(angle)), height)]
    if rng.random() < 0.6:
        hub = ring_prism(circle(bore * 1.6), circle(bore), height * rng.uniform(1.5, 3.5))
        parts.append(hub.moved([0, 0, height * rng.uniform(0, 0.8)]))
    return merge(parts)


def pocket_block(rng: np.random.Generator) -> Solid:
    """A block with pockets and bores milled from several sides."""
    size = rng.uniform(0.4, 1.0, size=3)
    holes: list[Distance] = []
    for _ in range(int(rng.integers(2, 6))):
        axis = int(rng.integers(3))
        at = rng.uniform(-0.3, 0.3, size=3) * size
        at[axis] = rng.choice([-0.5, 0.5]) * size[axis]
        if rng.random() < 0.5:
            deep = size[axis] * (10 if rng.random() < 0.4 else rng.uniform(0.6, 1.4))
            holes.append(drill(at, axis, rng.uniform(0.1, 0.28) * size.min(), deep))
        else:
            pocket = rng.uniform(0.25, 0.6, size=3) * size
            pocket[axis] = size[axis] * rng.uniform(0.5, 1.4)
            holes.append(block(at, pocket, 0.02))
    return mesh_of(cut(block([0, 0, 0], size, 0.02), holes), -size / 2, size / 2, 34)


def drilled_plate(rng: np.random.Generator) -> Solid:
    """A plate with holes, bosses and sometimes a flange."""
    size = np.array([rng.uniform(0.7, 1.1), rng.uniform(0.4, 0.9), rng.uniform(0.08, 0.2)])
    holes = [
        drill([x * size[0], y * size[1], 0], 2, rng.uniform(0.04, 0.12))
        for x, y in rng.uniform(-0.4, 0.4, size=(int(rng.integers(2, 7)), 2))
    ]
    parts = [mesh_of(cut(block([0, 0, 0], size, 0.01), holes), -size / 2, size / 2, 44)]
    for x, y in rng.uniform(-0.4, 0.4, size=(int(rng.integers(0, 4)), 2)):
        height = rng.uniform(0.1, 0.5)
        boss = cylinder(rng.uniform(0.05, 0.12), height)
        parts.append(boss.moved([x * size[0], y * size[1], height / 2]))
    if rng.random() < 0.4:
        height = rng.uniform(0.2, 0.6)
        parts.append(box([size[2], size[1], height]).moved([size[0] / 2, 0, height / 2]))
    return merge(parts)


def housing(rng: np.random.Generator) -> Solid:
    """A hollow rounded case open on one side, with posts and bores."""
    size = np.array([rng.uniform(0.6, 1.0), rng.uniform(0.4, 0.8), rng.uniform(0.3, 0.6)])
    wall = rng.uniform(0.06, 0.1)
    inside = block([0, 0, wall + size[2] * 0.5], size - [2 * wall, 2 * wall, -size[2]], 0.03)
    axis = int(rng.integers(2))
    side = drill([0, 0, 0.05], axis, rng.uniform(0.06, 0.14))
    shape = cut(block([0, 0, 0], size, 0.04), [inside, side])
    parts = [mesh_of(shape, -size / 2, size / 2, 38)]
    for x, y in rng.uniform(-0.3, 0.3, size=(int(rng.integers(0, 4)), 2)):
        height = size[2] * rng.uniform(0.4, 0.9)
        post = cylinder(rng.uniform(0.04, 0.09), height)
        parts.append(post.moved([x * size[0], y * size[1], (height - size[2]) / 2]))
    return merge(parts)


def turned_part(rng: np.random.Generator) -> Solid:
    """Discs and shafts on one axis, with a key or an eccentric pin."""
    parts, z = [], 0.0
    for _ in range(int(rng.integers(3, 6))):
        height = rng.uniform(0.1, 0.4)
        parts.append(cylinder(rng.uniform(0.08, 0.4), height).moved([0, 0, z + height / 2]))
        z += height * 0.98
    radius, angle = rng.uniform(0.15, 0.35), rng.uniform(0, 2 * np.pi)
    at = np.array([radius * np.cos(angle), radius * np.sin(angle), 0.0])
    pin = np.linspace(
        at + np.array([0, 0, z * 0.3]), at + np.array([0, 0, z * rng.uniform(0.9, 1.3)]), 6
    )
    parts.append(sweep(pin, rng.uniform(0.04, 0.08)))
    return merge(parts)


def sheet(rng: np.random.Generator) -> Solid:
    """A thin plate bent along its length, flat, arched, corrugated or folded."""
    length, width, thick = rng.uniform(0.7, 1.1), rng.uniform(0.4, 0.9), rng.uniform(0.006, 0.03)
    t = np.linspace(-0.5, 0.5, 40)
    rise = rng.uniform(0.1, 0.45)
    bends = [
        np.cos(np.pi * t),
        0.5 * np.sin(2 * np.pi * t * rng.uniform(0.8, 3)),
        np.abs(2 * t),
        np.clip(4 * np.abs(t) - 1, 0, 1),
    ]
    height = rise * bends[rng.integers(len(bends))]
    path = np.stack([length * t, 0 * t, height], axis=1)
    half = np.tile([width / 2, thick / 2], (len(t), 1))
    parts = [sweep(path, half, section=rectangle(2, 2, 24))]
    if rng.random() < 0.5:
        lip = box([length * rng.uniform(0.3, 0.9), thick, rng.uniform(0.1, 0.3)])
        parts.append(lip.moved([0, width / 2, float(height[20])]))
    return merge(parts)
