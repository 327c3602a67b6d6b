"""Things on a shelf: packages, cans, tools, shoes: mostly convex, or a handle with a head."""

from __future__ import annotations

import numpy as np

from gimbal_nbv.shapes.implicit import ball, blend, block, cut, displaced, mesh_of, rod
from gimbal_nbv.shapes.primitives import box, cylinder, ellipsoid, lathe, sweep
from gimbal_nbv.shapes.solid import Solid, merge, random_direction, rotation_about


def package(rng: np.random.Generator) -> Solid:
    """A carton, a can, a pouch or a rounded block, sometimes two together."""
    solid = _single(rng)
    if rng.random() < 0.3:
        other = _single(rng).scaled(rng.uniform(0.5, 1.0))
        side = 0.5 * (solid.bounds()[1] + other.bounds()[1]) * [1, rng.uniform(-0.5, 0.5), 0]
        return merge([solid, other.moved(1.6 * side)])
    return solid


def _single(rng: np.random.Generator) -> Solid:
    size = rng.uniform(0.3, 1.0, size=3)
    kind = rng.integers(5)
    if kind == 0:
        return box(size)
    if kind == 1:
        rim = cylinder(size[0] / 2, size[2])
        return merge([rim, cylinder(size[0] * 0.45, size[2] * 1.08)])
    if kind == 2:
        return ellipsoid(size / 2)
    if kind == 3:
        return mesh_of(block([0, 0, 0], size, 0.4 * size.min()), -size / 2, size / 2, 30)
    t = np.linspace(-0.5, 0.5, 24)
    pinch = np.sqrt(np.maximum(1 - (2 * t) ** 4, 0.02))
    half = np.stack([np.full_like(t, size[0] / 2), size[1] / 3 * pinch], axis=1)
    return sweep(np.stack([0 * t, 0 * t, size[2] * t], axis=1), half, sides=24)


def tool(rng: np.random.Generator) -> Solid:
    """A handle with a head across it, along it, or forked."""
    length, grip = rng.uniform(0.6, 1.0), rng.uniform(0.03, 0.08)
    t = np.linspace(0, 1, 24)
    girth = grip * (1 + 0.35 * np.sin(t * rng.uniform(3, 12)))
    bow = rng.uniform(-0.12, 0.12) * np.sin(np.pi * t)
    parts = [sweep(np.stack([bow, 0 * t, length * (t - 1)], axis=1), girth)]
    kind = rng.integers(4)
    if kind == 0:
        head = cylinder(rng.uniform(0.05, 0.12), rng.uniform(0.2, 0.5), top=rng.uniform(0.03, 0.1))
        parts.append(head.turned(rotation_about([0, 1, 0], np.pi / 2)))
    elif kind == 1:
        parts.append(box([rng.uniform(0.1, 0.4), rng.uniform(0.02, 0.3), rng.uniform(0.1, 0.4)]))
    elif kind == 2:
        for side in (-1, 1):
            tip = [side * 0.08, 0, rng.uniform(0.3, 0.5)]
            prong = np.array([[0, 0, 0], [side * 0.15, 0, 0.12], tip])
            line = np.stack([np.interp(2 * t, [0, 1, 2], k) for k in prong.T], axis=1)
            parts.append(sweep(line, rng.uniform(0.025, 0.05)))
    else:
        turn = np.linspace(0, np.pi * 1.6, 24)
        radius = rng.uniform(0.12, 0.2)
        arc = np.stack([radius * np.sin(turn), 0 * turn, radius * (1 - np.cos(turn))], axis=1)
        parts.append(sweep(arc, rng.uniform(0.03, 0.06)))
    return merge(parts)


def pistol_grip(rng: np.random.Generator) -> Solid:
    """A body with a grip and a trigger guard: drills, hair dryers, spray guns."""
    long, thick = rng.uniform(0.6, 0.9), rng.uniform(0.1, 0.17)
    grip = np.array([rng.uniform(-0.3, -0.1) * long, 0, -rng.uniform(0.35, 0.6)])
    parts = [
        rod([-0.5 * long, 0, 0], [0.5 * long, 0, 0], thick, thick * rng.uniform(0.4, 1.0)),
        rod([-0.2 * long, 0, 0], grip, thick * 0.7, thick * 0.6),
    ]
    if rng.random() < 0.6:
        parts.append(block(grip, [0.35, 0.2, 0.15], 0.03))
    guard = [grip * 0.6, grip * 0.6 + [0.25, 0, 0.05], np.array([0.15 * long, 0, 0])]
    parts += [rod(guard[k], guard[k + 1], 0.025) for k in (0, 1)]
    return mesh_of(blend(parts, 0.05), [-0.75, -0.3, -0.8], [0.7, 0.3, 0.3], 52)


def shoe(rng: np.random.Generator) -> Solid:
    """A hollow shoe or boot: a deep opening that only views from above look into."""
    long, shaft = rng.uniform(0.6, 0.9), rng.uniform(0.15, 0.6)
    sole = rod([0.1, 0, 0], [long, 0, -0.03], 0.14, 0.13)
    heel = rod([0.05, 0, 0], [0.05, 0, shaft], 0.16, 0.15)
    inner = rod([0.05, 0, 0.02], [0.05, 0, shaft + 0.3], 0.1, 0.11)
    toe = rod([0.1, 0, 0.02], [long * 0.8, 0, 0], 0.08)
    base = block([0.4 * long, 0, -0.13], [long * 1.15, 0.2, 0.05], 0.02)
    shape = cut(blend([sole, heel, base], 0.08), [inner, toe, ball([0.05, 0, shaft + 0.14], 0.13)])
    return mesh_of(shape, [-0.2, -0.25, -0.25], [1.15, 0.25, 0.85], 52)


def rock(rng: np.random.Generator) -> Solid:
    """A lump: fruit, stones, bread."""
    waves = np.column_stack(
        [
            [random_direction(rng) * rng.uniform(4, 16) for _ in range(8)],
            rng.uniform(0, 6, size=8),
        ]
    ).astype(np.float32)
    centre = rng.normal(size=3) * 0.1
    base = blend([ball([0, 0, 0], 0.32), ball(centre, 0.36)], 0.1)
    stretch = rng.uniform(0.5, 1.0, size=3)
    lump = mesh_of(displaced(base, waves, rng.uniform(0.03, 0.16)), [-0.75] * 3, [0.75] * 3, 40)
    return lump.scaled(stretch)


def funnel(rng: np.random.Generator) -> Solid:
    """A thin turned shell open at both ends: bells, horns, shades, tubes."""
    wall = float(rng.uniform(0.008, 0.05))
    t = np.linspace(0, 1, 20)
    radius = rng.uniform(0.08, 0.35) + rng.uniform(0.05, 0.3) * t ** rng.uniform(0.7, 4)
    height = rng.uniform(0.4, 1.2)
    outer = np.stack([radius + wall, height * t], axis=1)
    inner = np.stack([radius, height * t], axis=1)[::-1]
    return lathe(np.concatenate([outer, inner, outer[:1]]), 40)
